/**
 * Who has taken over a daemon that runs as an ordinary user (`--user`) tries to get out: from a process that is started as the
 * daemon is, in its namespaces, with its user and the guard's socket.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { defaultPool } from "../../../src/engine/user-ids.ts";
import { connectShim, LaunchFailure } from "../../../src/runtime/index.ts";
import { type PlanOp, planOps } from "../../../src/spec/wire.ts";
import { encodeRecords } from "../../../src/spec/wire-codec.ts";
import { settledLeftover, takeCensus } from "../../kits/census.ts";
import { GROUP, GuardedDaemon, USER } from "../../kits/guarded.ts";
import { scratchDirectory } from "../../kits/scratch.ts";

const before = takeCensus();
const shared = scratchDirectory("bt-shared-");
const [free, fixed, raced] = [`${shared}/binds`, `${shared}/fixed`, `${shared}/raced`];
const program = `${shared}/takeover`;
const daemon = new GuardedDaemon({
  binds: [free, { path: fixed, readonly: true }, raced],
  ports: ["81-82"],
  addresses: ["127.0.0.0/8"],
});
/** Of a range that no container has by chance: the last of the pool. */
const pool = String(defaultPool.start + defaultPool.count - 65536);

beforeAll(async () => {
  chmodSync(shared, 0o755);
  for (const path of [free, fixed, raced]) mkdirSync(path);
  for (const path of [free, fixed]) writeFileSync(`${path}/file`, "of the host\n");
  symlinkSync("/etc", `${free}/link`);
  mkdirSync(`${raced}/directory`);
  symlinkSync("/etc", `${raced}/link`);
  for (const path of [raced, `${raced}/directory`]) chownSync(path, USER, GROUP);
  const kits = join(import.meta.dir, "../../kits");
  const include = join(import.meta.dir, "../../../native");
  const flags = ["-static", "-O1", "-D_GNU_SOURCE", "-I", include, "-o", program];
  const built = Bun.spawnSync(["gcc", ...flags, `${kits}/takeover.c`]);
  expect(built.stderr.toString()).toBe("");
  await daemon.start();
});

afterAll(async () => {
  await daemon.destroy();
  rmSync(shared, { recursive: true });
  expect(await settledLeftover(before)).toEqual([]);
});

/** What root runs to become what the daemon is. */
const asDaemon = () => [daemon.helper, "join", daemon.guardSocket];

/** Tries; gives the errors by what was tried. */
async function attempts(
  args: readonly string[],
  descriptors: readonly number[] = [],
): Promise<Record<string, string>> {
  const child = Bun.spawn([...asDaemon(), program, daemon.guardSocket, ...args], {
    stdio: ["ignore", "pipe", "pipe", ...descriptors],
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect([err, await child.exited]).toEqual(["", 0]);
  const rows = out.trim().split("\n");
  return Object.fromEntries(rows.map((row) => row.split("\t") as [string, string]));
}

/** What may have changed on the host. */
function hostState(): unknown {
  const of = (path: string) => {
    const { uid, gid, mode, size, mtimeMs } = statSync(path);
    return { uid, gid, mode, size, mtimeMs };
  };
  return {
    etc: readdirSync("/etc").sort(),
    files: ["/etc", "/etc/passwd", "/etc/shadow"].map(of),
    mounts: readFileSync("/proc/self/mountinfo", "utf8"),
    name: readFileSync("/proc/sys/kernel/hostname", "utf8"),
  };
}

test("the kernel gives nothing of the host's: namespaces, disks, files, the guard, control groups", async () => {
  const state = hostState();
  const guard = Bun.spawnSync(["pgrep", "-f", `^${daemon.directory}/data-guard/bin/.* guard`]);
  const others = readdirSync("/sys/fs/cgroup").filter((name) => !name.startsWith("berth"));
  const groups = [".", ...others].flatMap((name) =>
    ["tasks", "cgroup.procs"].map((file) => `/sys/fs/cgroup/${name}/${file}`),
  );
  const closed = [
    ...groups.filter((path) => existsSync(path)),
    "/etc/passwd",
    ...["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern"].filter((path) => existsSync(path)),
    daemon.policy,
    `${daemon.directory}/data-guard/refusals.log`,
    `${daemon.directory}/data-guard/policy`,
    daemon.helper,
  ];
  const kinds = ["mnt", "net", "pid", "user", "uts", "ipc"];
  const descriptors = kinds.map((kind) => openSync(`/proc/self/ns/${kind}`, "r"));
  const scratch = `${daemon.directory}/data`;
  const disk = String((254 << 8) | 0);
  const tried = await attempts(
    ["host", scratch, disk, guard.stdout.toString().trim(), ...closed],
    descriptors,
  );
  expect(Object.keys(tried).length).toBe(2 * kinds.length + 9 + closed.length);
  for (const [what, error] of Object.entries(tried))
    expect([what, error]).toEqual([what, expect.stringMatching(/^(EACCES|EPERM)$/)]);
  expect(hostState()).toEqual(state);
});

test("what is mounted over /etc is seen by nobody on the host", async () => {
  const state = hostState();
  const child = Bun.spawn([...asDaemon(), program, daemon.guardSocket, "mount", "/etc"], {
    stdin: "pipe",
    stdout: "pipe",
  });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("mount over /etc\tdone\n");
  expect(hostState()).toEqual(state);
  child.stdin.end();
  await child.exited;
});

test("the guard gives what its policy has, and refuses and notes everything else", async () => {
  const state = hostState();
  const tried = await attempts(["guard", pool, free, fixed]);
  const {
    "owners of a container": own,
    "bind BINDS": bind,
    "bind FIXED": other,
    "publish datagrams": datagrams,
    ...refused
  } = tried;
  expect([own, bind, other, datagrams]).toEqual(["done", "done", "done", "done"]);
  expect(Object.keys(refused).length).toBe(30);
  expect(refused["publish datagrams where others have them"]).toBe("EADDRINUSE");
  expect(Object.entries(refused).filter(([, error]) => error === "done")).toEqual([]);
  const noted = [
    "owners from the ids 0 and 0 on",
    `owners from the ids ${pool} and 1000 on`,
    `owners from the ids ${Number(pool) + 1} and ${pool} on`,
    "a mount with owners through another user namespace",
    "a bind of /etc through another user namespace",
    "a bind of / (Operation not permitted)",
    "a bind of /etc/shadow (Operation not permitted)",
    "a bind of /proc/1/root (Operation not permitted)",
    `a bind of ${free}/../../etc (Invalid cross-device link)`,
    `a bind of ${free}/link (Too many levels of symbolic links)`,
    "the port 83",
    "any port (which would be ",
    "a port of the address 0.0.0.0",
    "a port of the address ::1",
    "a socket of family 2, type 3, protocol 1",
    "a socket of family 17, type 3, protocol 0",
    "a socket of family 16, type 3, protocol 0",
    "a request of the kind 99",
    "a message of 1 bytes",
  ];
  for (const what of noted) expect(daemon.refusals).toContain(`uid=${USER} what="${what}`);
  expect(hostState()).toEqual(state);
});

test("through a container's owners files of others are nobody's, whatever is mounted", async () => {
  const tried = await attempts(["through", pool]);
  const { "clone /etc": clone, "owners of a container": own, ...rest } = tried;
  expect(own).toBe("done");
  // Where something is mounted below /etc, the kernel does not even copy it.
  if (clone === "done") expect(rest["map /etc"]).toBe("done");
  for (const what of ["read its shadow", "write its passwd", "chown its passwd", "mkdir in it"])
    expect([what, rest[what]]).not.toEqual([what, "done"]);
});

test("a directory that is exchanged for a link while the guard looks leads nowhere", async () => {
  const tried = await attempts(["race", pool, `${raced}/directory`, `${raced}/link`, "4000"]);
  expect(tried).toEqual({ escaped: "0", taken: "some", refused: "some" });
});

/** Has a shim carry out a plan, as the daemon's helper would; gives what its program has said. */
async function carriedOut(name: string, ops: readonly PlanOp[], script: string): Promise<string> {
  const directory = `${daemon.directory}/exec/${name}`;
  mkdirSync(directory);
  const plan: PlanOp[] = [
    { name: "shim", clone_flags: 0n, options: 0, id: name },
    {
      ...{ name: "log", path: `${directory}/log`, max_size: 0n, max_files: 1 },
      ...{ attrs: "", ring: 0n, options: 0 },
    },
    { name: "exit_file", path: `${directory}/exit` },
    ...ops,
    { name: "exec", args: ["/bin/sh", "-c", script], env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] },
  ];
  writeFileSync(`${directory}/plan`, encodeRecords(planOps, ...plan));
  for (const path of [directory, `${directory}/plan`]) chownSync(path, USER, GROUP);
  const programs = `${daemon.directory}/data/bin`;
  const shim = `${programs}/${readdirSync(programs).find((one) => one.startsWith("berth-shim"))}`;
  const socket = `${directory}/shim.sock`;
  const listen = [daemon.helper, "listen", "0", socket, "--"];
  const child = Bun.spawn([...listen, ...asDaemon(), shim, directory], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const ended = Promise.withResolvers<void>();
  const connect = () => connectShim(socket, { event() {}, closed: () => ended.resolve() });
  // Its name is there a moment before anybody listens.
  const connected = async (tries = 0): Promise<Awaited<ReturnType<typeof connect>>> =>
    connect().catch(async (error) => {
      if (tries === 2000 || child.exitCode !== null) throw error;
      await Bun.sleep(5);
      return connected(tries + 1);
    });
  try {
    const control = await connected();
    await control.start();
    await ended.promise;
  } catch (error) {
    // Its connection stays open as long as this process: it would wait.
    child.kill("SIGKILL");
    throw error;
  } finally {
    await child.exited;
  }
  return readFileSync(`${directory}/log`, "utf8");
}

test("a plan without any namespace, with all capabilities, has the user's rights on the host", async () => {
  const state = hostState();
  const everything = (1n << 41n) - 1n;
  const said = await carriedOut(
    "hostile",
    [
      {
        name: "capabilities",
        effective: everything,
        permitted: everything,
        inheritable: everything,
        ambient: everything,
      },
    ],
    "cat /etc/shadow; echo x >/etc/taken; chown 0:0 /etc/passwd; cat /proc/1/environ; echo $$ >/sys/fs/cgroup/pids/tasks; grep CapEff /proc/self/status; readlink /proc/1/root",
  );
  for (const what of [
    "/etc/shadow",
    "/etc/taken",
    "/etc/passwd",
    "/proc/1/environ",
    "/sys/fs/cgroup/pids/tasks",
  ])
    expect(said).toMatch(new RegExp(`${what}[^"]*(Permission denied|Operation not permitted)`));
  expect(said).toContain("CapEff:\\t000001ffffffffff");
  expect(hostState()).toEqual(state);
});

test("a plan that binds the host's directories, joins its namespaces or leaves berth's control group is refused by the kernel", async () => {
  const refused: [string, PlanOp][] = [
    ["join_ns", { name: "join_ns", fd: 0xffffffff, path: "/proc/1/ns/mnt", type: 0x20000n }],
    ["join_cgroup", { name: "join_cgroup", path: "/sys/fs/cgroup/pids/tasks" }],
    [
      "root_bind",
      { name: "root_bind", source: "/", attrs: 0n, target: `${daemon.directory}/exec/root` },
    ],
    ["rlimit", { name: "rlimit", resource: 8, soft: 2n ** 63n, hard: 2n ** 63n }],
  ];
  for (const [name, op] of refused) {
    const error = await carriedOut(name, [op], "true").then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(LaunchFailure);
    expect((error as LaunchFailure).op).toBe(op.name);
  }
});

test("another user of the host is not asked by the guard what it wants", () => {
  const command = ["setpriv", `--reuid=${USER + 7}`, `--regid=${GROUP}`, "--clear-groups", program];
  const done = Bun.spawnSync([...command, daemon.guardSocket, "through", pool]);
  expect(done.stdout.toString()).toContain("owners of a container\tEACCES");
});
