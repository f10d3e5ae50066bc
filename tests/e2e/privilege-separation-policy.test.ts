/**
 * The policy of a daemon with a guard: each of its keys allows and refuses, which is seen by what a container then has; a refusal
 * names the file and the key, and is in the daemon's log with who has asked.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import type { Done } from "../kits/daemon.ts";
import { GuardedDaemon, USER } from "../kits/guarded.ts";

const before = takeCensus();
const shared = mkdtempSync("/tmp/bt-shared-");
chmodSync(shared, 0o755);
// Closed to the daemon's user: that it may be bound is the policy's alone.
mkdirSync(`${shared}/free`, { mode: 0o700 });
writeFileSync(`${shared}/free/file`, "of the host\n", { mode: 0o600 });
symlinkSync("/etc", `${shared}/free/link`);
// Nodes that everybody may open, in a file system that has devices: what there is in /dev differs.
mkdirSync(`${shared}/dev`);
host("mount", "-t", "tmpfs", "-o", "mode=755", "none", `${shared}/dev`);
host("mknod", "-m", "666", `${shared}/dev/fuse`, "c", "10", "229");
host("mknod", "-m", "666", `${shared}/dev/other`, "c", "10", "229");
const free = new GuardedDaemon({
  binds: [`${shared}/free`],
  ports: ["8101-8103", "8200"],
  addresses: ["127.0.0.0/8"],
  devices: [`${shared}/dev/fuse`],
  privileged: true,
});
const strict = new GuardedDaemon({ addresses: [], ports: [] });

beforeAll(async () => {
  await free.start();
  process.env.HTTP_PROXY = "http://proxy.invalid:3128";
  await strict.start();
  delete process.env.HTTP_PROXY;
});

afterAll(async () => {
  await free.destroy();
  await strict.destroy();
  host("umount", `${shared}/dev`);
  rmSync(shared, { recursive: true });
  expect(await settledLeftover(before)).toEqual([]);
});

function host(...argv: string[]): void {
  expect(Bun.spawnSync(argv).stderr.toString(), argv.join(" ")).toBe("");
}

function run(daemon: GuardedDaemon, flags: readonly string[], script = "true"): Promise<Done> {
  return daemon.docker("run", "--rm", ...flags, "busybox", "sh", "-c", script);
}

/** Refused in words that name the policy's file and the key, and noted with who has asked. */
async function refused(daemon: GuardedDaemon, flags: readonly string[], what: string, key: string) {
  const done = await run(daemon, flags);
  expect(done.status, flags.join(" ")).toBeGreaterThan(0);
  expect(done.err).toContain(`${what} needs a daemon that is root, or `);
  expect(done.err).toContain(`"${key}`);
  expect(done.err).toContain(`in the guard's policy, ${daemon.policy} (`);
  const line = daemon.log.split("\n").findLast((one) => one.includes("msg=refused")) ?? "";
  expect(line).toContain(`what="${what} needs`);
  expect(line).toMatch(/ pid=\d+ uid=\d+ program=docker$/);
}

test("privileged: the daemon's own user namespace and all of its rights, which are none on the host", async () => {
  const mounts = "mount -t tmpfs none /tmp && echo mounted; head -1 /proc/self/uid_map";
  const done = await run(free, ["--privileged"], mounts);
  expect(done.out).toMatch(new RegExp(`^mounted\n *0 +${USER} +1\n$`));
  const beyond = "echo taken >/proc/sys/kernel/hostname; date -s 2000-01-01; hostname";
  const host = await run(free, ["--privileged", "--uts=host"], beyond);
  expect(host.out).not.toContain("taken");
  expect(host.err).toContain("Operation not permitted");
  await refused(strict, ["--privileged"], "--privileged", "privileged");
});

test("the host's processes, shared memory and user namespace are seen where the policy has it", async () => {
  const own = readlinkSync(`/proc/${free.pid}/ns/ipc`);
  const seen = `cat /proc/${process.pid}/comm; readlink /proc/self/ns/ipc`;
  const both = await run(free, ["--pid=host", "--ipc=host"], seen);
  expect(both.out).toBe(`bun\n${own}\n`);
  const apart = await run(free, [], seen);
  expect(apart.out).not.toContain("bun");
  expect(apart.out).not.toContain(own);
  const user = await run(free, ["--userns=host"], "head -1 /proc/self/uid_map");
  expect(user.out).toMatch(new RegExp(`^ *0 +${USER} +1\n$`));
  for (const flag of ["--pid=host", "--ipc=host", "--userns=host"])
    await refused(strict, [flag], flag, "privileged");
});

test("the host's network is nobody's, whatever the policy has", async () => {
  for (const daemon of [free, strict]) {
    const done = await run(daemon, ["--network=host"]);
    expect(done.err).toContain("--network=host needs a daemon that is root (");
    expect(done.status).toBeGreaterThan(0);
  }
});

test("control groups outside of the daemon's are nobody's; those within it are", async () => {
  const outside = await run(free, ["--cgroup-parent=/somewhere"]);
  expect(outside.err).toContain("--cgroup-parent=/somewhere needs a daemon that is root (");
  expect(outside.status).toBeGreaterThan(0);
  const script = "cat /proc/self/cgroup";
  const inside = await run(free, ["--cgroup-parent=group", "--cgroupns=host"], script);
  const own = /(\/\S+)\/group\/[0-9a-f]{64}\n/.exec(inside.out)?.[1] ?? "";
  expect(own).not.toBe("");
  const named = await run(free, [`--cgroup-parent=${own}/other`, "--cgroupns=host"], script);
  expect(named.out).toContain(`${own}/other/`);
});

test("devices: those of the list are opened, others refused", async () => {
  const flags = ["--device", `${shared}/dev/fuse:/dev/fuse`];
  expect((await run(free, flags, "exec 3<>/dev/fuse && echo open")).out).toBe("open\n");
  const other = `${shared}/dev/other`;
  await refused(free, ["--device", other], `--device=${other}`, "devices");
  await refused(strict, flags, `--device=${shared}/dev/fuse`, "devices");
});

test("binds: what lies in a source, also where the daemon's user may not look; nothing by a link out of it", async () => {
  const script = "cat /x/file; echo new >/x/new; stat -c %u /x/new";
  expect((await run(free, ["-v", `${shared}/free:/x`], script)).out).toBe("of the host\n0\n");
  const mount = `type=bind,src=${shared}/free/new,dst=/file`;
  expect((await run(free, ["--mount", mount], "cat /file")).out).toBe("new\n");
  const out = await run(free, ["-v", `${shared}/free/link:/x`], "cat /x/hostname");
  expect(out.status).toBeGreaterThan(0);
  expect(free.refusals).toMatch(
    new RegExp(`pid=\\d+ uid=${USER} what="a bind of ${shared}/free/link `),
  );
  await refused(free, ["-v", "/etc:/x"], "the bind of /etc", "binds");
  await refused(strict, ["-v", `${shared}/free:/x`], `the bind of ${shared}/free`, "binds");
});

test("ports and addresses: of the ranges one is had, and one is chosen of them where none is named", async () => {
  const serve = "echo hello >/index.html; exec httpd -f -h /";
  const web = ["-d", "--name", "web", "-p", "127.0.0.1:8200:80", "-p", "127.0.0.2::80"];
  expect((await free.docker("run", ...web, "busybox", "sh", "-c", serve)).status).toBe(0);
  const chosen = (await free.docker("port", "web")).out;
  expect(chosen).toContain("80/tcp -> 127.0.0.1:8200\n");
  const port = Number(/127\.0\.0\.2:(\d+)/.exec(chosen)?.[1]);
  expect([8101, 8102, 8103]).toContain(port);
  for (const at of ["127.0.0.1:8200", `127.0.0.2:${port}`])
    expect(await fetch(`http://${at}/`).then((one) => one.text())).toBe("hello\n");
  const later = await free.berth("update", "-p", "127.0.0.1:8300:80", "web");
  expect(later.err).toContain(
    `the port 8300 needs a daemon that is root, or the port among "ports"`,
  );
  await free.docker("rm", "-f", "web");
  await refused(free, ["-p", "127.0.0.1:8104:80"], "the port 8104", "ports");
  await refused(free, ["-p", "127.0.0.1:8102-8104:80"], "a port of 8102-8104", "ports");
  await refused(free, ["-p", "8101:80"], "a port at 0.0.0.0", "addresses");
  await refused(free, ["-p", "[::1]:8101:80"], "a port at ::1", "addresses");
  await refused(strict, ["-p", "127.0.0.1:8101:80"], "a port at 127.0.0.1", "addresses");
});

test("a stopped container is given nothing by a change that it would not be given at its creation", async () => {
  await strict.docker("create", "--name", "still", "busybox", "sleep", "1000");
  const bind = await strict.berth("update", "-v", "/etc:/x", "still");
  expect(bind.err).toContain(`"binds" in the guard's policy, ${strict.policy}`);
  const port = await strict.berth("update", "-p", "127.0.0.1:8101:80", "still");
  expect(port.err).toContain(`"addresses" in the guard's policy, ${strict.policy}`);
  expect((await strict.docker("start", "still")).status).toBe(0);
  await strict.docker("rm", "-f", "still");
});

test("info says that it runs so, as whom, and by which policy", async () => {
  const { out } = await free.berth("info");
  expect(out).toContain(`  guarded\n   User: ${USER}:61235\n   Policy: ${free.policy}\n`);
  expect((await free.docker("info")).out).toContain("  guarded\n");
});

test("of the environment that it is started in the daemon has the proxies", async () => {
  expect((await strict.berth("info")).out).toContain("HTTP Proxy: http://proxy.invalid:3128\n");
});

test("nobody else of the host can open, and so hold, the lock of its start", () => {
  expect(statSync(`${free.directory}/data-guard/lock`).mode & 0o077).toBe(0);
});
