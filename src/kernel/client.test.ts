/** berth-helper on the real kernel: every namespace and file made here is gone at the end. */
import { expect, test } from "bun:test";
import { lstatSync, symlinkSync, writeFileSync } from "node:fs";
import { helperOfFile } from "../../tests/kits/helper.ts";
import { KernelError } from "./index.ts";

const helper = helperOfFile();
const dir = helper.directory;

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
  return "no error";
}

/** An RTM_GETLINK dump request. */
function linkDump(seq: number): Uint8Array {
  const message = new DataView(new ArrayBuffer(32));
  message.setUint32(0, 32, true);
  message.setUint16(4, 18, true);
  message.setUint16(6, 0x301, true);
  message.setUint32(8, seq, true);
  return new Uint8Array(message.buffer);
}

function linkCount(answer: Uint8Array): number {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  let links = 0;
  for (let at = 0; at < answer.length; at += (view.getUint32(at, true) + 3) & ~3) {
    if (view.getUint16(at + 4, true) === 16) links++;
  }
  return links;
}

test("a new network namespace has only its loopback interface, and the helper stays at home", async () => {
  const netns = await helper.kernel.newNetns();
  expect(linkCount(await helper.kernel.netlink(netns, 0, linkDump(7), 7))).toBe(1);
  const home = linkCount(await helper.kernel.netlink(0, 0, linkDump(8), 8));
  expect(home).toBe(
    Bun.spawnSync(["ls", "/sys/class/net"]).stdout.toString().trim().split("\n").length,
  );
  await helper.kernel.close(netns);
  expect(await refusal(helper.kernel.netlink(netns, 0, linkDump(9), 9))).toBe("EBADF");
});

test("a user namespace has its maps, and a network namespace may belong to it", async () => {
  const map = "0 1879048192 65536\n";
  const userns = await helper.kernel.newUserNamespace(map, map);
  const netns = await helper.kernel.newNetns(userns);
  expect(linkCount(await helper.kernel.netlink(netns, 0, linkDump(7), 7))).toBe(1);
  // Its owner's root may do in it what the host's root may do at home.
  const inside = ["nsenter", `--user=/proc/${helper.kernel.pid}/fd/${userns}`];
  const network = `--net=/proc/${helper.kernel.pid}/fd/${netns}`;
  const script = "cat /proc/self/uid_map; ip link set lo up && ip -o link show lo";
  const done = Bun.spawnSync([...inside, network, "sh", "-c", script]);
  expect(done.stdout.toString(), done.stderr.toString()).toMatch(/^\s+0 1879048192\s+65536\n.*,UP/);
  expect(await refusal(helper.kernel.newUserNamespace("0 5 1\n0 6 1\n", map))).toBe("EINVAL");
  for (const handle of [userns, netns]) await helper.kernel.close(handle);
});

test("whether a file system can show owners through a user namespace", async () => {
  const map = "0 1879048192 65536\n";
  const userns = await helper.kernel.newUserNamespace(map, map);
  expect(await refusal(helper.kernel.probeOwners("/proc", userns, false))).toBe("EINVAL");
  expect(await refusal(helper.kernel.probeOwners(`${dir}/missing`, userns, false))).toBe("ENOENT");
  await helper.kernel.probeOwners(dir, userns, false);
  await helper.kernel.close(userns);
});

test("a claimed port is refused to a second claim until its handle is closed", async () => {
  const netns = await helper.kernel.newNetns();
  const request = { netns, protocol: "tcp", address: "0.0.0.0", port: 0, listen: true } as const;
  const first = await helper.kernel.socket(request);
  expect(first.port).toBeGreaterThan(0);
  expect(await refusal(helper.kernel.socket({ ...request, port: first.port }))).toBe("EADDRINUSE");
  await helper.kernel.close(first.handle);
  const again = await helper.kernel.socket({ ...request, port: first.port });
  expect(again.port).toBe(first.port);
  await helper.kernel.close(again.handle);
  await helper.kernel.close(netns);
});

test("device nodes and attributes are made without following links", async () => {
  await helper.kernel.mknod(`${dir}/null`, 0o020666, 1, 3);
  const info = lstatSync(`${dir}/null`);
  expect(info.isCharacterDevice()).toBe(true);
  expect(info.rdev).toBe(0x103);
  expect(info.mode & 0o777).toBe(0o666);
  writeFileSync(`${dir}/file`, "");
  symlinkSync("file", `${dir}/link`);
  await helper.kernel.setXattr(`${dir}/file`, "user.a", new Uint8Array([1, 2]));
  expect([...(await helper.kernel.xattrs(`${dir}/file`))]).toEqual([
    ["user.a", new Uint8Array([1, 2])],
  ]);
  expect((await helper.kernel.xattrs(`${dir}/link`)).size).toBe(0);
  expect(await refusal(helper.kernel.mknod(`${dir}/link`, 0o020666, 1, 3))).toBe("EEXIST");
});

test("a read in a root never leaves it, blocks on no fifo, and has a bound", async () => {
  writeFileSync(`${dir}/inside`, "inside");
  symlinkSync("../../../../../inside", `${dir}/up`);
  symlinkSync("/etc/passwd", `${dir}/out`);
  Bun.spawnSync(["mkfifo", `${dir}/fifo`]);
  const text = new TextDecoder().decode(await helper.kernel.readInRoot(dir, "up", 100));
  expect(text).toBe("inside");
  expect(await refusal(helper.kernel.readInRoot(dir, "out", 100))).toBe("ENOENT");
  expect(await refusal(helper.kernel.readInRoot(dir, "fifo", 100))).toBe("EINVAL");
  expect(await refusal(helper.kernel.readInRoot(dir, "inside", 3))).toBe("EFBIG");
});

test("a seccomp filter is compiled; names that no kernel has are skipped", async () => {
  const rule = { action: 0x7fff0000, args: [], names: ["read", "write", "no_such_call"] };
  const filter = await helper.kernel.compileSeccomp(0x00050001, ["x86_64"], [rule]);
  expect(filter.length).toBeGreaterThan(0);
  expect(filter.length % 8).toBe(0);
});

test("a mount is tried without leaving a trace", async () => {
  await helper.kernel.probeMount("tmpfs", ["mode=0700"], dir);
  expect(await Bun.file("/proc/self/mountinfo").text()).not.toContain(dir);
  expect(await refusal(helper.kernel.probeMount("no-such-fs", [], ""))).toBe("ENODEV");
});

test("a shim that cannot be found in its run directory's parent is refused with the path", async () => {
  expect(await refusal(helper.kernel.spawnShim(`${dir}/missing`, []))).toBe("ENOENT");
});
