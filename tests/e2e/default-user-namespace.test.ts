/** Containers that ask for no user namespace have one of their own, unless something of theirs only works in the host's. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const scratch = scratchDirectory("bt-own-");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const daemon = daemonOfFile();

/** What a container prints on both streams. */
async function run(...args: string[]): Promise<string> {
  const { out, err } = await daemon.berth("run", "--rm", ...args);
  return `${out}${err}`.trim();
}

const shell = (script: string) => ["busybox", "sh", "-c", script] as const;

async function sleeper(name: string, ...options: string[]): Promise<void> {
  const args = ["run", "-d", "--name", name, ...options, "busybox", "sleep", "10000"];
  const { err, status } = await daemon.berth(...args);
  expect(status, err).toBe(0);
}

/** Where the container's root is on the host. */
async function rootOf(name: string): Promise<number> {
  const { out, err } = await daemon.berth("exec", name, "awk", "{print $2}", "/proc/self/uid_map");
  expect(err).toBe("");
  return Number(out);
}

const reasonOf = (name: string) => daemon.inspect(name, "{{.Berth.UserNamespace.Reason}}");

test("every container has ids of its own, and says so where Docker's client looks", async () => {
  const { SecurityOptions } = JSON.parse((await daemon.api("GET", "/info")).text);
  expect(SecurityOptions).toContain("name=userns");
  // More than are held ready, at once.
  const names = Array.from({ length: 12 }, (_, at) => `own-${at}`);
  await Promise.all(
    names.map((name, at) => sleeper(name, ...(at % 3 === 0 ? ["--network", "none"] : []))),
  );
  const roots = await Promise.all(names.map(rootOf));
  expect(new Set(roots).size).toBe(names.length);
  for (const root of roots) expect(root).toBeGreaterThanOrEqual(0x70000000);
  expect(await daemon.inspect("own-1", "{{.HostConfig.UsernsMode}}")).toBe("");
  await daemon.berth("restart", "-t", "0", "own-1");
  const others = new Set(roots.toSpliced(1, 1));
  expect(others.has(await rootOf("own-1"))).toBe(false);
  await daemon.berth("rm", "-f", ...names);
});

test("namespaces that are ready serve containers on networks of their own as well", async () => {
  await daemon.berth("network", "create", "apart");
  for (let round = 0; round < 3; round++) {
    await sleeper("there", "--network", "apart");
    expect(await run("--network", "apart", ...shell("ping -c 1 -W 5 there | grep -c seq=0"))).toBe(
      "1",
    );
    await daemon.berth("rm", "-f", "there");
  }
  await daemon.berth("network", "rm", "apart");
});

test("what only works in the host's user namespace gets it, and inspect says why", async () => {
  const node = `${scratch}/node`;
  Bun.spawnSync(["mknod", "-m", "600", node, "c", "1", "3"]);
  const wishes: [reason: string, ...args: string[]][] = [
    ["--cap-add=SYS_NICE", "--cap-add", "SYS_NICE"],
    ["--cap-add=ALL", "--cap-add", "all"],
    ['--device-cgroup-rule="c 1:3 mr"', "--device-cgroup-rule", "c 1:3 mr"],
    [`--device=${node} (not everybody may open it)`, "--device", `${node}:/dev/other`],
    ["--user=100000 (beyond a container's ids)", "--user", "100000"],
    ["the group 70000 (beyond a container's ids)", "--group-add", "70000"],
    ["the file system of /s cannot map owners", "-v", "/sys:/s:ro"],
    ["--privileged", "--privileged"],
    ["--pid=host", "--pid", "host"],
  ];
  for (const [reason, ...args] of wishes) {
    await sleeper("needs", ...args);
    expect(await rootOf("needs"), `${args}`).toBe(0);
    expect(await reasonOf("needs")).toBe(reason);
    expect(await daemon.inspect("needs", "{{.Berth.UserNamespace.Mode}}")).toBe("host");
    await daemon.berth("rm", "-f", "needs");
  }
  // Whoever asks for one of its own has it.
  expect(
    await run("--userns=auto", "--cap-add", "SYS_NICE", ...shell("cat /proc/self/uid_map")),
  ).toMatch(/^0 +[1-9]\d+ +65536$/);
});

test("what a container has from a file system that comes to be mapped no longer counts at its next start", async () => {
  const place = `${scratch}/place`;
  Bun.spawnSync(["mkdir", place]);
  await sleeper("turns", "-v", `${place}:/p`);
  expect(await rootOf("turns")).not.toBe(0);
  Bun.spawnSync(["mount", "-t", "proc", "proc", place]);
  try {
    await daemon.berth("restart", "-t", "0", "turns");
    expect(await rootOf("turns")).toBe(0);
    expect(await reasonOf("turns")).toBe("the file system of /p cannot map owners");
  } finally {
    await daemon.berth("stop", "-t", "0", "turns");
    Bun.spawnSync(["umount", place]);
  }
  await daemon.berth("start", "turns");
  expect(await rootOf("turns")).not.toBe(0);
  expect(await reasonOf("turns")).toBe("");
  await daemon.berth("rm", "-f", "turns");
});

test("namespaces of others are joined as ever, whosever they are", async () => {
  await sleeper("one");
  await sleeper("two", "--ipc", "shareable");
  await sleeper("root", "--privileged", "--ipc", "shareable");
  await sleeper("with-a", "--network", "container:one");
  expect(await rootOf("with-a")).toBe(await rootOf("one"));
  await sleeper("with-both", "--network", "container:one", "--ipc", "container:two");
  expect(await rootOf("with-both")).toBe(0);
  expect(await reasonOf("with-both")).toBe(
    "it joins the namespaces of containers that are in different ones",
  );
  await sleeper("with-root", "--ipc", "container:root");
  expect(await rootOf("with-root")).toBe(0);
  expect(await reasonOf("with-root")).toBe("it joins the namespaces of root, which has the host's");
  await daemon.berth("rm", "-f", "with-a", "with-both", "with-root", "one", "two", "root");
});

test("devices that everybody may open, and mounts with SYS_ADMIN", async () => {
  const open =
    "echo x >/dev/other && stat -c %t:%T /dev/other; awk '{print $2}' /proc/self/uid_map";
  const [device, root] = (await run("--device", "/dev/null:/dev/other", ...shell(open))).split(
    "\n",
  );
  expect(device).toBe("1:3");
  expect(Number(root)).toBeGreaterThan(0);
  const mounts = "mkdir /m && mount -t tmpfs none /m && mount --bind /bin /mnt && ls /mnt/busybox";
  const admin = ["--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined"];
  expect(await run(...admin, ...shell(`mkdir -p /mnt; ${mounts}`))).toBe("/mnt/busybox");
});

test.skipIf(!existsSync("/dev/fuse"))("a container mounts FUSE", async () => {
  const mount = "mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 one /m";
  const script = `mkdir /m; exec 3<>/dev/fuse; ${mount}; grep -c '^one /m fuse' /proc/mounts`;
  // As udev has it.
  Bun.spawnSync(["mknod", "-m", "666", `${scratch}/fuse`, "c", "10", "229"]);
  const flags = ["--device", `${scratch}/fuse:/dev/fuse`, "--cap-add", "SYS_ADMIN"];
  expect(
    await run(...flags, ...shell(`${script}; awk '{exit $2==0}' /proc/self/uid_map && echo own`)),
  ).toBe("1\nown");
});

test("sysctls of its own namespaces", async () => {
  const wanted = {
    "net.core.somaxconn": "2048",
    "net.ipv4.ip_local_port_range": "2000\t3000",
    "net.ipv4.ip_unprivileged_port_start": "500",
    "net.ipv4.tcp_keepalive_time": "77",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "kernel.msgmax": "9000",
    "kernel.shm_rmid_forced": "1",
    "fs.mqueue.msg_max": "20",
  };
  const flags = Object.entries(wanted).flatMap(([key, value]) => ["--sysctl", `${key}=${value}`]);
  const files = Object.keys(wanted).map((key) => `/proc/sys/${key.replaceAll(".", "/")}`);
  const seen = await run(...flags, "busybox", "cat", ...files);
  expect(seen.split("\n")).toEqual(Object.values(wanted));
});

test("a directory that the daemon's own files are in is bound as it is", async () => {
  await sleeper("around", "-v", `${dirname(scratch)}:/t`);
  expect(await rootOf("around")).not.toBe(0);
  // No layer of its own comes along at the place where the engine mounts roots.
  const { out } = await daemon.berth("exec", "around", "cat", "/proc/self/mountinfo");
  expect(out.split("\n").filter((line) => / \/t\/\S*\/root /.test(line))).toEqual([]);
  await daemon.berth("rm", "-f", "around");
});

test("the daemon's socket serves a client in a container", async () => {
  const { mode } = statSync(daemon.socket);
  expect(mode & 0o777).toBe(0o660);
  const libraries = ["/lib", "/lib64"]
    .filter(existsSync)
    .flatMap((path) => ["-v", `${path}:${path}:ro`]);
  const client = [
    ...libraries,
    "-v",
    `${join(import.meta.dir, "../../dist/berth")}:/berth:ro`,
    "-v",
    `${daemon.socket}:/s`,
  ];
  const seen = await run(
    ...client,
    "--name",
    "client",
    "busybox",
    "/berth",
    "-H",
    "unix:///s",
    "ps",
    "--format",
    "{{.Names}}",
  );
  expect(seen).toBe("client");
  // Whom the socket's file does not let in is not let in from a container either.
  expect(
    await run(...client, "--user", "1000", "busybox", "/berth", "-H", "unix:///s", "ps"),
  ).toContain("Cannot connect");
});
