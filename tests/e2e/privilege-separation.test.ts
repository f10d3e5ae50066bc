/**
 * `berth daemon --user`: root starts it, it runs as somebody else, and what people do with containers works.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { GROUP, GuardedDaemon, USER } from "../kits/guarded.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const before = takeCensus();
const shared = scratchDirectory("bt-shared-");
chmodSync(shared, 0o755);
mkdirSync(`${shared}/free`);
mkdirSync(`${shared}/fixed`);
writeFileSync(`${shared}/free/file`, "of the host\n");
writeFileSync(`${shared}/fixed/file`, "of the host\n");
const policy = {
  binds: [`${shared}/free`, { path: `${shared}/fixed`, readonly: true }],
  ports: ["81", "1024-65535"],
  devices: ["/dev/fuse"],
};
const daemon = new GuardedDaemon(policy);

beforeAll(async () => {
  await daemon.start();
});

afterAll(async () => {
  await daemon.destroy();
  rmSync(shared, { recursive: true });
  expect(await settledLeftover(before)).toEqual([]);
});

function fieldOf(pid: number, name: string): string {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1]?.trim() ?? "";
}

/** The oldest of the processes with such a command line: others are its children of a moment. */
function processOf(pattern: string): number {
  return Number(Bun.spawnSync(["pgrep", "-o", "-f", pattern]).stdout.toString());
}

test("the daemon, its helper and its shims are the user's processes, in a user namespace that is not the host's", async () => {
  expect(
    (await daemon.berth("run", "-d", "--name", "one", "busybox", "sleep", "1000")).status,
  ).toBe(0);
  const own = [
    daemon.pid,
    processOf(`^${daemon.directory}/data/bin/berth-helper`),
    processOf(`^berth-shim ${daemon.directory}/exec/c`),
  ];
  for (const pid of own) {
    expect(fieldOf(pid, "Uid").split("\t")).toEqual(Array(4).fill(String(USER)));
    expect(fieldOf(pid, "Gid").split("\t")).toEqual(Array(4).fill(String(GROUP)));
    expect(fieldOf(pid, "Groups")).toBe("");
    // What capabilities a process has counts in its user namespace alone.
    expect(readlinkSync(`/proc/${pid}/ns/user`)).not.toBe(readlinkSync("/proc/self/ns/user"));
    const root = /^\s*0\s+(\d+)\s+1$/m.exec(readFileSync(`/proc/${pid}/uid_map`, "utf8"))?.[1];
    expect(root).toBe(String(USER));
  }
  const guard = processOf(`^${daemon.directory}/data-guard/bin/berth-helper.* guard`);
  expect(fieldOf(guard, "Uid")).toBe("0\t0\t0\t0");
  // Its log, which the daemon can have it write to, fills no disk.
  expect(readFileSync(`/proc/${guard}/limits`, "utf8")).toMatch(/^Max file size +67108864 /m);
  await daemon.berth("rm", "-f", "one");
});

test("a container has ids of the host that are neither root's nor the daemon's, and its files' owners are the image's", async () => {
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "ids",
    "busybox",
    "sh",
    "-c",
    "touch /mine; chown 33:44 /mine; sleep 1000",
  );
  const pid = Number(await daemon.inspect("ids", "{{.State.Pid}}"));
  const uid = Number(fieldOf(pid, "Uid").split("\t")[0]);
  expect(uid).toBeGreaterThan(65536);
  expect(uid).not.toBe(USER);
  const seen = await daemon.docker("exec", "ids", "stat", "-c", "%u:%g %n", "/mine", "/bin/sh");
  expect(seen.out).toBe("33:44 /mine\n0:0 /bin/sh\n");
  expect((await daemon.docker("diff", "ids")).out).toContain("A /mine");
  await daemon.docker("rm", "-f", "ids");
});

test("images are built, committed, saved and loaded, with owners and whiteouts", async () => {
  const context = scratchDirectory("bt-context-");
  writeFileSync(
    `${context}/Dockerfile`,
    "FROM busybox\nRUN mkdir /d && echo a >/d/a && echo b >/d/b && chown 12:34 /d/a\nRUN rm /d/b && rm -r /home && mkdir /home\nCMD stat -c '%u:%g %n' /d/* /home/*",
  );
  const built = await daemon.berth("build", "-q", "-t", "own", context);
  expect([built.err, built.status]).toEqual(["", 0]);
  expect((await daemon.docker("run", "--rm", "own")).out).toBe("12:34 /d/a\n");
  const archive = `${context}/own.tar`;
  expect((await daemon.docker("save", "-o", archive, "own")).status).toBe(0);
  await daemon.docker("rmi", "own");
  expect((await daemon.docker("load", "-i", archive)).out).toContain("own:latest");
  expect((await daemon.berth("run", "--rm", "own")).out).toBe("12:34 /d/a\n");
  rmSync(context, { recursive: true });
});

test("volumes keep what containers write, and cp goes both ways", async () => {
  await daemon.berth(
    "run",
    "--rm",
    "-v",
    "kept:/v",
    "busybox",
    "sh",
    "-c",
    "echo x >/v/x; chown 5 /v/x",
  );
  const seen = await daemon.berth(
    "run",
    "--rm",
    "-v",
    "kept:/v",
    "busybox",
    "stat",
    "-c",
    "%u",
    "/v/x",
  );
  expect(seen.out).toBe("5\n");
  await daemon.berth("run", "-d", "--name", "cp", "busybox", "sleep", "1000");
  const file = `${shared}/copied`;
  writeFileSync(file, "copied\n");
  expect((await daemon.docker("cp", file, "cp:/root/there")).status).toBe(0);
  expect((await daemon.docker("exec", "cp", "cat", "/root/there")).out).toBe("copied\n");
  expect((await daemon.docker("cp", "cp:/root/there", `${shared}/back`)).status).toBe(0);
  expect(readFileSync(`${shared}/back`, "utf8")).toBe("copied\n");
  await daemon.berth("rm", "-f", "cp");
  await daemon.berth("volume", "rm", "kept");
});

test("networks connect containers by their names, and published ports are the host's, while it runs and after the daemon's death", async () => {
  await daemon.docker("network", "create", "net");
  const serve = "echo hello >/index.html; httpd -f -h /";
  const started = await daemon.docker(
    "run",
    "-d",
    "--name",
    "web",
    "--network",
    "net",
    "-p",
    "127.0.0.1:81:80",
    "busybox",
    "sh",
    "-c",
    serve,
  );
  expect([started.err, started.status]).toEqual(["", 0]);
  const fetched = await daemon.docker(
    "run",
    "--rm",
    "--network",
    "net",
    "busybox",
    "wget",
    "-qO-",
    "http://web/",
  );
  expect(fetched.out).toBe("hello\n");
  const get = () => fetch("http://127.0.0.1:81/").then((response) => response.text());
  expect(await get()).toBe("hello\n");
  await daemon.kill();
  expect(await get()).toBe("hello\n");
  await daemon.start();
  expect(await get()).toBe("hello\n");
  expect((await daemon.docker("exec", "web", "cat", "/index.html")).out).toBe("hello\n");
  await daemon.docker("rm", "-f", "web");
  await daemon.docker("network", "rm", "net");
});

test("limits hold", async () => {
  const read =
    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
  const seen = await daemon.docker(
    "run",
    "--rm",
    "-m",
    "32m",
    "--pids-limit",
    "25",
    "busybox",
    "sh",
    "-c",
    read,
  );
  expect(seen.out).toBe(`${32 << 20}\n25\n`);
});

test("what the policy allows is there: directories with the host's owners, ports, devices", async () => {
  const change = "cat /s/file; echo new >/s/new; chown 7 /s/new";
  const written = await daemon.berth(
    "run",
    "--rm",
    "-v",
    `${shared}/free:/s`,
    "busybox",
    "sh",
    "-c",
    change,
  );
  expect(written.out).toBe("of the host\n");
  expect(statSync(`${shared}/free/new`).uid).toBe(7);
  const fixed = await daemon.berth(
    "run",
    "--rm",
    "-v",
    `${shared}/fixed:/s:ro`,
    "busybox",
    "sh",
    "-c",
    "cat /s/file; echo x >/s/file",
  );
  expect(fixed.out).toBe("of the host\n");
  expect(fixed.err).toContain("Read-only file system");
  expect(readFileSync(`${shared}/fixed/file`, "utf8")).toBe("of the host\n");
});

test("what it does not allow is refused in words", async () => {
  const refused: [string, string[]][] = [
    ["--privileged needs", ["--privileged"]],
    ["--userns=host needs", ["--userns=host"]],
    ["--pid=host needs", ["--pid=host"]],
    ["--network=host needs a daemon that is root", ["--network=host"]],
    ["the bind of /etc needs", ["-v", "/etc:/x:ro"]],
    ["the bind of / needs", ["-v", "/:/x"]],
    [`the bind of ${shared}/fixed needs to be read-only`, ["-v", `${shared}/fixed:/x`]],
    ["--device=/dev/kmsg needs", ["--device", "/dev/kmsg"]],
    ["the port 82 needs", ["-p", "82:80"]],
  ];
  for (const [words, flags] of refused) {
    const done = await daemon.docker("run", "--rm", ...flags, "busybox", "true");
    expect(done.err).toContain(words);
    expect(done.status).toBeGreaterThan(0);
  }
});

test("another policy is not that of containers which run already", async () => {
  await daemon.berth("run", "-d", "--name", "old", "busybox", "sleep", "1000");
  await daemon.stop();
  writeFileSync(daemon.policy, JSON.stringify({ ...policy, ports: ["1-65535"] }));
  await expect(daemon.start()).rejects.toThrow("the guard's policy has changed");
  writeFileSync(daemon.policy, JSON.stringify(policy));
  await daemon.start();
  await daemon.berth("rm", "-f", "old");
  // With nothing running the next start has another guard.
  await daemon.stop();
  writeFileSync(daemon.policy, JSON.stringify({ ...policy, ports: ["1-65535"] }));
  await daemon.start();
  const serve = ["run", "--rm", "-p", "127.0.0.1:82:80", "busybox", "true"];
  expect((await daemon.berth(...serve)).status).toBe(0);
  await daemon.stop();
  writeFileSync(daemon.policy, JSON.stringify(policy));
  await daemon.start();
});

test("it is back as often as it is killed, with nothing running and with something", async () => {
  for (let round = 0; round < 5; round++) {
    await daemon.kill();
    await daemon.start();
    if (round === 2) await daemon.berth("run", "-d", "--name", "on", "busybox", "sleep", "1000");
  }
  expect((await daemon.docker("exec", "on", "echo", "here")).out).toBe("here\n");
  await daemon.berth("rm", "-f", "on");
});

test("whoever finds that its guard has ended since begins anew, as root", () => {
  const again = Bun.spawnSync([daemon.helper, "join", `${shared}/no-guard`, "/bin/echo", "again"]);
  expect(again.stdout.toString()).toBe("again\n");
  const asked = Bun.spawnSync([daemon.helper, "join", `${shared}/no-guard`]);
  expect(asked.exitCode).toBe(1);
});

test("root is not the user, and a data root of a daemon that is root is left alone", async () => {
  const start = (...flags: string[]) =>
    Bun.spawnSync([
      `${import.meta.dir}/../../dist/berth`,
      "daemon",
      "-H",
      `unix://${shared}/s`,
      ...flags,
    ]);
  const root = start(
    "--user",
    "0:0",
    "--data-root",
    `${shared}/data`,
    "--exec-root",
    `${shared}/exec`,
  );
  expect(root.stderr.toString()).toContain("it must be a user other than root");
  const used = start(
    "--user",
    `${USER}:${GROUP}`,
    "--data-root",
    `${shared}/free`,
    "--exec-root",
    `${shared}/exec`,
  );
  expect(used.stderr.toString()).toContain(
    "belongs to another user, or a daemon that is root has used it",
  );
  expect(statSync(`${shared}/free`).uid).toBe(0);
  // And a daemon that is root goes nowhere where the user could lead it.
  const { directory } = daemon;
  const here = start("--data-root", `${directory}/data`, "--exec-root", `${shared}/exec`);
  expect(here.stderr.toString()).toContain(`${directory}/data belongs to another user`);
  expect(here.exitCode).toBe(1);
});

/** A mount namespace in which /sys/fs/cgroup is version 2 and nothing else, whatever is mounted below what is seen. */
const onlyUnified = `
  mount --make-rprivate /
  umount -l /sys
  for round in 1 2; do
    for at in $(awk '$5 ~ "^/sys/fs/cgroup" { print $5 }' /proc/self/mountinfo | sort -r); do
      umount -l "$at" 2>/dev/null
    done
  done
  mountpoint -q /sys || mount -t sysfs sysfs /sys
  mount -t cgroup2 none /sys/fs/cgroup
  exec "$@"`;

test("with control groups of version 2 the daemon and its containers have groups of the user's, and devices are guarded", async () => {
  const unified = new GuardedDaemon(policy);
  unified.within = ["unshare", "--mount", "sh", "-c", onlyUnified, "sh"];
  try {
    await unified.start();
    await unified.berth("run", "-d", "--name", "two", "busybox", "sleep", "1000");
    const pid = Number(await unified.inspect("two", "{{.State.Pid}}"));
    const groupOf = (one: number | string) =>
      /^0::(.*)$/m.exec(readFileSync(`/proc/${one}/cgroup`, "utf8"))?.[1] ?? "";
    const own = groupOf(unified.pid);
    expect(own).toMatch(/\/berth-[0-9a-f]{8}\/daemon$/);
    const id = (await unified.inspect("two", "{{.Id}}")).trim();
    expect(groupOf(pid)).toBe(`${own.replace(/daemon$/, "containers")}/${id}`);
    expect((await unified.berth("pause", "two")).status).toBe(0);
    expect((await unified.berth("unpause", "two")).status).toBe(0);
    const exec = await unified.docker("exec", "two", "cat", "/proc/self/cgroup");
    expect(exec.out).toContain("0::/\n");
    // Also who is root on the host opens no other devices there.
    const enter = `echo $$ >/sys/fs/cgroup/${own.split("/").at(-2)}/daemon/cgroup.procs`;
    const open = `${enter}; head -c 1 /dev/zero | wc -c; head -c 1 /dev/kmsg`;
    const opened = Bun.spawnSync(["nsenter", "-t", String(unified.pid), "-m", "sh", "-c", open]);
    expect(opened.stdout.toString().trim()).toBe("1");
    expect(opened.stderr.toString()).toContain("Operation not permitted");
    await unified.kill();
    await unified.start();
    expect((await unified.docker("exec", "two", "echo", "again")).out).toBe("again\n");
    expect((await unified.berth("rm", "-f", "two")).status).toBe(0);
  } finally {
    await unified.destroy();
  }
});
