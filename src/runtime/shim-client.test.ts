/** berth-shim on the real kernel, started by berth-helper; a busybox root of its own. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type Kernel, startKernel } from "../kernel/index.ts";
import type { OciSpec } from "../spec/oci-runtime.ts";
import { planOps } from "../spec/wire.ts";
import { encodeRecords } from "../spec/wire-codec.ts";
import {
  attachShim,
  connectShim,
  execInShim,
  LaunchFailure,
  type PlanExtras,
  type ShimConnection,
  toExecPlan,
  toLaunchPlan,
} from "./index.ts";

const dir = mkdtempSync("/tmp/berth-shim-");
let kernel: Kernel;
let count = 0;

beforeAll(async () => {
  for (const program of ["helper", "shim"]) {
    const built = Bun.spawnSync([
      "sh",
      `native/${program}/build.sh`,
      `${dir}/${program}`,
      ...(process.env.BERTH_TEST_SANITIZE ? ["sanitize"] : []),
    ]);
    if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  }
  for (const name of ["root/bin", "root/proc", "root/etc", "mnt", "outside"])
    mkdirSync(`${dir}/${name}`, { recursive: true });
  Bun.spawnSync(["cp", "/bin/busybox", `${dir}/root/bin/busybox`]);
  for (const name of [
    "sh",
    "cat",
    "echo",
    "true",
    "sleep",
    "head",
    "stty",
    "tty",
    "id",
    "yes",
    "wc",
    "kill",
    "test",
    "pwd",
    "ls",
  ])
    linkSync(`${dir}/root/bin/busybox`, `${dir}/root/bin/${name}`);
  kernel = await startKernel({
    helperPath: `${dir}/helper`,
    shimPath: `${dir}/shim`,
    socketPath: `${dir}/helper.sock`,
  });
}, 600_000); // Compilers with sanitizers, on a busy machine.

afterAll(async () => {
  await kernel.stop();
  rmSync(dir, { recursive: true });
});

const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };

function processOf(args: string[], more: Partial<OciSpec["process"]> = {}): OciSpec["process"] {
  return {
    terminal: false,
    cwd: "/",
    env: ["PATH=/bin"],
    args,
    rlimits: [],
    capabilities: none,
    noNewPrivileges: true,
    user: { uid: 0, gid: 0, additionalGids: [] },
    ...more,
  };
}

function specOf(
  process: OciSpec["process"],
  more: Partial<OciSpec["linux"]> = {},
  mounts: OciSpec["mounts"] = [],
): OciSpec {
  return {
    ociVersion: "1.2.0",
    hostname: "unit",
    root: { path: `${dir}/root`, readonly: false },
    process,
    mounts: [
      {
        destination: "/proc",
        type: "proc",
        source: "proc",
        options: ["nosuid", "noexec", "nodev"],
      },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["newinstance", "ptmxmode=0666", "mode=0620"],
      },
      ...mounts,
    ],
    linux: {
      namespaces: [
        { type: "pid" },
        { type: "mount" },
        { type: "uts" },
        { type: "ipc" },
        { type: "network" },
      ],
      devices: [
        { type: "c", path: "/dev/null", major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 },
      ],
      resources: {},
      cgroupsPath: "",
      sysctl: {},
      maskedPaths: [],
      readonlyPaths: [],
      ...more,
    },
  };
}

interface Running {
  readonly rundir: string;
  readonly control: ShimConnection;
  readonly shimPid: number;
  readonly events: string[];
  readonly closed: Promise<void>;
}

const plainLog = { maxSize: 0, maxFiles: 1, attributes: "", compress: false, ring: 0 };

function planOf(rundir: string, spec: OciSpec, more: Partial<PlanExtras> = {}): Uint8Array {
  const ops = toLaunchPlan(spec, {
    id: `c${count}`,
    root: { kind: "bind", path: spec.root.path },
    mountPoint: `${dir}/mnt`,
    cgroupJoinFiles: [],
    cgroupMounts: [],
    stdin: { open: false, once: false },
    log: { ...plainLog, path: `${rundir}/log` },
    exitFile: `${rundir}/exit`,
    lowerdirPlus: true,
    init: false,
    subpaths: new Map(),
    hostMounts: "/proc/self/ns/mnt",
    ...more,
  });
  return encodeRecords(planOps, ...ops);
}

async function spawn(spec: OciSpec, more: Partial<PlanExtras> = {}) {
  const rundir = `${dir}/run${++count}`;
  mkdirSync(rundir);
  writeFileSync(`${rundir}/plan`, planOf(rundir, spec, more));
  return { rundir, shimPid: await kernel.spawnShim(rundir, []) };
}

async function prepare(spec: OciSpec, more: Partial<PlanExtras> = {}): Promise<Running> {
  return connect(await spawn(spec, more));
}

async function connect({ rundir, shimPid }: Awaited<ReturnType<typeof spawn>>): Promise<Running> {
  const events: string[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const control = await connectShim(`${rundir}/shim.sock`, {
    event: (event) => {
      if (event.name === "exited") events.push(`exited ${event.status} ${event.signal}`);
      if (event.name === "log_files") events.push("files");
      if (event.name === "exec_exited") events.push(`exec ${event.exec} ${event.status}`);
    },
    closed: resolve,
  });
  return { rundir, control, shimPid, events, closed };
}

async function attach(
  rundir: string,
  streams: number,
): Promise<{ stream: Awaited<ReturnType<typeof attachShim>>; text: Promise<string> }> {
  const chunks: Uint8Array[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  const stream = await attachShim(`${rundir}/shim.sock`, streams, {
    data: (chunk) => chunks.push(chunk.slice()),
    end: () => resolve(Buffer.concat(chunks).toString("latin1")),
    drain: () => {},
  });
  return { stream, text: promise };
}

const logOf = (rundir: string) =>
  readFileSync(`${rundir}/log`, "utf8")
    .trimEnd()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { log: string; stream: string; time: string });

async function failure(promise: Promise<unknown>): Promise<LaunchFailure> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof LaunchFailure) return error;
    throw error;
  }
  throw new Error("no failure");
}

test("output is logged as Docker logs it, in Docker's frames to the attached, and the status is recorded", async () => {
  const script = 'echo out "<&>" \\\\; echo err >&2; printf "no newline"; exit 7';
  const run = await prepare(specOf(processOf(["sh", "-c", script])));
  const { text } = await attach(run.rundir, 6);
  await run.control.start();
  await run.closed;
  expect(run.events).toEqual(["exited 7 0"]);
  expect(readFileSync(`${run.rundir}/exit`, "utf8")).toMatch(/^7 0 0 \d{19} 0 0\n$/);
  expect(existsSync(`${run.rundir}/shim.sock`)).toBe(false);
  const raw = readFileSync(`${run.rundir}/log`, "utf8");
  expect(raw).toContain('{"log":"out \\u003c\\u0026\\u003e \\\\\\n","stream":"stdout","time":"20');
  const records = logOf(run.rundir);
  const of = (stream: string) =>
    records
      .filter((r) => r.stream === stream)
      .map((r) => r.log)
      .join("");
  expect(of("stdout")).toBe("out <&> \\\nno newline");
  expect(of("stderr")).toBe("err\n");
  expect(await text).toContain("\u0002\0\0\0\0\0\0\u0004err\n");
});

test("long lines are split at 16 KiB without tearing characters; invalid UTF-8 is replaced", async () => {
  writeFileSync(`${dir}/root/long`, `${"é".repeat(20000)}\n\xff\n`.replace("\xff", "X"));
  writeFileSync(`${dir}/root/bad`, new Uint8Array([0xff, 0x41, 0xe2, 0x80, 0xa8, 0x01, 0x0a]));
  const run = await prepare(specOf(processOf(["sh", "-c", "cat /long /bad"])));
  await run.control.start();
  await run.closed;
  const records = logOf(run.rundir).map((record) => record.log);
  expect(records.slice(0, -2).join("")).toBe(`${"é".repeat(20000)}\n`);
  expect(records[0]?.length).toBe(8192);
  expect(records.at(-1)).toBe("\ufffdA\u2028\u0001\n");
});

test("the log rotates and keeps so many files", async () => {
  const run = await prepare(specOf(processOf(["sh", "-c", "yes 0123456789 | head -n 20000"])));
  await run.control.start();
  await run.closed;
  expect(logOf(run.rundir).length).toBe(20000);
  const small = await prepare(specOf(processOf(["sh", "-c", "yes 0123456789 | head -n 20000"])), {
    log: { ...plainLog, path: `${dir}/rotated`, maxSize: 200_000, maxFiles: 3 },
  });
  await small.control.start();
  await small.closed;
  expect(existsSync(`${dir}/rotated.2`)).toBe(true);
  expect(existsSync(`${dir}/rotated.3`)).toBe(false);
  for (const name of ["rotated", "rotated.1", "rotated.2"])
    expect(readFileSync(`${dir}/${name}`).length).toBeLessThanOrEqual(200_000);
});

test("a compressed file goes where the plain one is by then, with a ring and without; what has gone is removed", async () => {
  for (const ring of [0, 1 << 20]) {
    const path = `${dir}/swapped${ring}`;
    const numbered = (name: string) => Number(name.slice(path.length + 1)) || 0;
    const log = { ...plainLog, path, maxSize: 100_000, maxFiles: 30, compress: true, ring };
    rmSync(`${dir}/root/go`, { force: true });
    const lines = "yes 0123456789 | head -n 4000";
    const script = `${lines}; while ! test -e /go; do sleep 0.01; done; ${lines}`;
    const run = await prepare(specOf(processOf(["sh", "-c", script])), { log });
    await run.control.start();
    const all = () =>
      [...new Bun.Glob(`swapped${ring}*`).scanSync(dir)].map((name) => `${dir}/${name}`);
    const counted = () => Number(Bun.spawnSync(["sh", "-c", `cat ${path}* | wc -l`]).stdout);
    // Twice, since one that is renamed meanwhile may be seen twice or not at all.
    while (counted() !== 4000 || counted() !== 4000) await Bun.sleep(2);
    const compressed = (name: string) => {
      writeFileSync(`${path}.${name}`, name);
      return `${path}.${name}`;
    };
    const { ino } = statSync(`${path}.1`);
    const told = run.events.length;
    expect(await run.control.swapLog(ino, compressed("one"))).toBe(0);
    while (!existsSync(`${path}.1.gz`) || run.events.length === told) await Bun.sleep(2);
    expect([existsSync(`${path}.1`), existsSync(`${path}.one`)]).toEqual([false, false]);
    expect(await run.control.swapLog(1, compressed("two"))).toBe(0);
    while (existsSync(`${path}.two`)) await Bun.sleep(2);
    writeFileSync(`${dir}/root/go`, "");
    await run.closed;
    const names = all();
    const [gz, ...more] = names.filter((name) => name.endsWith(".gz"));
    expect([readFileSync(gz ?? "", "utf8"), more]).toEqual(["one", []]);
    expect(numbered(gz?.slice(0, -3) ?? "")).toBeGreaterThan(1);
    expect(names.filter((name) => name !== gz).every((name) => numbered(name) < 30)).toBe(true);
    expect(run.events.at(-1)).toBe("exited 0 0");
  }
});

test("a ring keeps order and counts what goes, whatever the sizes of records", async () => {
  const sizes = [1, 10, 100, 1000, 16_384, 20_000, 70_000];
  const body = sizes.map((size) => `${String(size).padEnd(size, "x")}\n`).join("");
  writeFileSync(`${dir}/root/body`, body.repeat(40));
  for (const ring of [1, 4096, 1 << 16, 1 << 26]) {
    const run = await prepare(specOf(processOf(["cat", "/body"])), {
      log: { ...plainLog, path: `${dir}/ringed${ring}`, ring, attributes: '{"a":"b"}' },
    });
    await run.control.start();
    await run.closed;
    const [, , , , dropped, failed] = readFileSync(`${run.rundir}/exit`, "utf8").trim().split(" ");
    const records = readFileSync(`${dir}/ringed${ring}`, "utf8").trimEnd().split("\n");
    const texts = records.map((line) => (JSON.parse(line) as { log: string }).log);
    const notes = texts.filter((text) => text.startsWith("berth: "));
    const lost = notes.map((text) => Number(text.split(" ")[1]));
    expect([failed, dropped]).toEqual(["0", String(lost.reduce((a, b) => a + b, 0))]);
    // Each line over 16 KiB is several records.
    const whole = body.repeat(40).match(/[^\n]{16384}|[^\n]*\n/g) ?? [];
    expect(texts.length - notes.length + Number(dropped)).toBe(whole.length);
    let at = 0;
    for (const text of texts)
      if (text.startsWith("berth: ")) at += Number(text.split(" ")[1]);
      else expect(text).toBe(whole[at++] ?? "");
    if (ring === 1 << 26) expect(dropped).toBe("0");
  }
});

test("stdin ends when its attached client ends it, and not before", async () => {
  const run = await prepare(specOf(processOf(["cat"])), { stdin: { open: true, once: true } });
  const { stream, text } = await attach(run.rundir, 3);
  await run.control.start();
  const big = new Uint8Array(300_000).fill(0x61);
  stream.write(big);
  stream.end();
  const got = await text;
  let length = 0;
  for (let at = 0; at < got.length; ) {
    const size = Buffer.from(got.slice(at + 4, at + 8), "latin1").readUInt32BE();
    length += size;
    at += 8 + size;
  }
  expect(length).toBe(300_000);
  await run.closed;
  expect(run.events).toEqual(["exited 0 0"]);
});

test("a signal by number ends the container, and the record says which", async () => {
  const run = await prepare(specOf(processOf(["sleep", "1000"])));
  await run.control.start();
  expect(await run.control.signal(0, 9)).toBe(0);
  await run.closed;
  expect(run.events).toEqual(["exited 137 9"]);
});

test("an exec runs beside PID 1, reports its own status, and leaves the container alone", async () => {
  const run = await prepare(specOf(processOf(["sleep", "1000"])));
  await run.control.start();
  const plan = encodeRecords(
    planOps,
    ...toExecPlan(processOf(["sh", "-c", "echo $$; cat /proc/1/cmdline; exit 3"]), {
      cgroupJoinFiles: [],
      stdin: false,
    }),
  );
  const chunks: Uint8Array[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  await execInShim(`${run.rundir}/shim.sock`, 5, 6, Promise.resolve(plan), {
    data: (chunk) => chunks.push(chunk.slice()),
    end: resolve,
    drain: () => {},
  });
  await ended;
  const text = Buffer.concat(chunks).toString("latin1");
  expect(text).toContain("sleep\x001000");
  while (run.events.length === 0) await Bun.sleep(2);
  expect(run.events).toEqual(["exec 5 3"]);
  const missing = encodeRecords(
    planOps,
    ...toExecPlan(processOf(["/nothing"]), { cgroupJoinFiles: [], stdin: false }),
  );
  const refused = await failure(
    execInShim(`${run.rundir}/shim.sock`, 6, 6, Promise.resolve(missing), {
      data: () => {},
      end: () => {},
      drain: () => {},
    }),
  );
  expect([refused.op, refused.error]).toEqual(["exec", 2]);
  await run.control.signal(0, 9);
  await run.closed;
});

test("a terminal has its size, its name and both directions", async () => {
  const process = processOf(
    ["sh", "-c", "stty size; tty; test -c /dev/console && echo console; cat"],
    { terminal: true, consoleSize: { height: 33, width: 77 } },
  );
  const run = await prepare(specOf(process), { stdin: { open: true, once: true } });
  const { stream, text } = await attach(run.rundir, 7);
  await run.control.start();
  expect(await run.control.resize(0, 40, 100)).toBe(0);
  stream.write(new TextEncoder().encode("typed\n\u0004"));
  const got = await text;
  // The terminal's echo of what was typed may come between the lines.
  expect(got.replace("typed\r\n", "")).toMatch(
    /(33 77|40 100)\r\n\/dev\/(pts\/0|console)\r\nconsole\r\n/,
  );
  expect(got.split("typed\r\n").length).toBe(3);
  await run.closed;
});

test("a command that is missing or cannot be executed is told by errno, and nothing remains", async () => {
  writeFileSync(`${dir}/root/plain`, "text", { mode: 0o644 });
  for (const [command, errno] of [
    ["nothing", 2],
    ["/plain", 13],
  ] as const) {
    const run = await prepare(specOf(processOf([command])));
    const refused = await failure(run.control.start());
    expect([refused.op, refused.error, refused.detail]).toEqual(["exec", errno, command]);
    await run.closed;
    expect(existsSync(`${run.rundir}/exit`)).toBe(false);
  }
});

test("a launch that has failed before anybody connects is told of to the first who does", async () => {
  const spawned = await spawn(specOf(processOf(["true"]), { sysctl: { "no.such": "1" } }));
  const children = `/proc/${spawned.shimPid}/task/${spawned.shimPid}/children`;
  while (readFileSync(children, "utf8") !== "") await Bun.sleep(5);
  const run = await connect(spawned);
  expect(run.control.running).toBe(false);
  const refused = await failure(run.control.start());
  expect([refused.op, refused.error]).toEqual(["sysctl", 2]);
  await run.closed;
  expect(existsSync(`${run.rundir}/exit`)).toBe(false);
});

test("no link in the image leads a mount outside of the root", async () => {
  mkdirSync(`${dir}/evil/bin`, { recursive: true });
  linkSync(`${dir}/root/bin/busybox`, `${dir}/evil/bin/sh`);
  mkdirSync(`${dir}/evil/proc`);
  symlinkSync(`${dir}/outside`, `${dir}/evil/data`);
  symlinkSync("../../../../../../../../tmp", `${dir}/evil/up`);
  const spec = specOf(processOf(["/bin/sh", "-c", "exit 0"]), {}, [
    { destination: "/data/made", type: "tmpfs", source: "tmpfs", options: [] },
  ]);
  const run = await prepare({ ...spec, root: { path: `${dir}/evil`, readonly: false } });
  const refused = await failure(run.control.start());
  expect(refused.op).toBe("mount");
  await run.closed;
  expect(existsSync(`${dir}/outside/made`)).toBe(false);
});

test("masked, read-only and sysctl paths are what they should be inside", async () => {
  const script =
    "cat /proc/kcore | wc -c; echo 1 > /proc/sys/kernel/domainname || echo refused; cat /proc/sys/net/ipv4/ip_forward";
  const run = await prepare(
    specOf(processOf(["sh", "-c", script]), {
      maskedPaths: ["/proc/kcore", "/nowhere"],
      readonlyPaths: ["/proc/sys"],
      sysctl: { "net.ipv4.ip_forward": "1" },
    }),
  );
  await run.control.start();
  await run.closed;
  const out = logOf(run.rundir)
    .filter((r) => r.stream === "stdout")
    .map((r) => r.log);
  expect(out).toEqual(["0\n", "refused\n", "1\n"]);
});

test("kill -9 of the shim takes the container along", async () => {
  const run = await prepare(specOf(processOf(["sleep", "1000"])));
  const pid = await run.control.start();
  process.kill(run.shimPid, "SIGKILL");
  await run.closed;
  while (existsSync(`/proc/${pid}`)) await Bun.sleep(2);
  expect(run.events).toEqual([]);
});

/** Processes that carry a run directory in their command line: a shim, and its child before it has executed anything. */
function processesOf(rundir: string): string[] {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, "utf8").includes(rundir);
    } catch {
      return false;
    }
  });
}

test("kill -9 of the shim at any moment of the launch leaves no process, and nobody waits", async () => {
  for (let round = 0; round < 150; round++) {
    const rundir = `${dir}/killed-${round}`;
    mkdirSync(rundir);
    writeFileSync(`${rundir}/plan`, planOf(rundir, specOf(processOf(["sleep", "1000"]))));
    const pid = await kernel.spawnShim(rundir, []);
    // Between the shim's first instruction and the moment in which it would wait for the start.
    const until = performance.now() + Math.random() * 4;
    while (performance.now() < until);
    process.kill(pid, "SIGKILL");
    const connected = connectShim(`${rundir}/shim.sock`, { event: () => {}, closed: () => {} });
    await connected.then(
      (shim) => shim.close(),
      () => {},
    );
    const deadline = Date.now() + 5000;
    while (processesOf(rundir).length > 0 && Date.now() < deadline) await Bun.sleep(2);
    expect(processesOf(rundir)).toEqual([]);
  }
});

test("a shim whose controller goes away before the start gives up; one that runs goes on", async () => {
  const waiting = await prepare(specOf(processOf(["sleep", "1000"])));
  waiting.control.close();
  while (existsSync(`/proc/${waiting.shimPid}`)) await Bun.sleep(2);
  expect(existsSync(`${waiting.rundir}/shim.sock`)).toBe(false);
  const running = await prepare(
    specOf(processOf(["sh", "-c", "while ! test -e /go; do sleep 0.01; done; echo later; exit 4"])),
  );
  await running.control.start();
  running.control.close();
  await running.closed;
  writeFileSync(`${dir}/root/go`, "");
  while (!existsSync(`${running.rundir}/exit`)) await Bun.sleep(2);
  expect(readFileSync(`${running.rundir}/exit`, "utf8")).toStartWith("4 0 0 ");
  expect(logOf(running.rundir).map((r) => r.log)).toEqual(["later\n"]);
});

test("an init reaps orphans, passes signals on and ends as its program does", async () => {
  const run = await prepare(
    specOf(
      processOf(["sh", "-c", "trap 'exit 9' TERM; echo ready; while true; do sleep 0.01; done"]),
    ),
    { init: true },
  );
  await run.control.start();
  while (
    !existsSync(`${run.rundir}/log`) ||
    !readFileSync(`${run.rundir}/log`, "utf8").includes("ready")
  )
    await Bun.sleep(2);
  await run.control.signal(0, 15);
  await run.closed;
  expect(run.events).toEqual(["exited 9 0"]);
});

test("hundreds of connections leave no descriptor behind in the shim", async () => {
  const run = await prepare(specOf(processOf(["sleep", "1000"])));
  await run.control.start();
  const descriptors = () =>
    Array.from(new Bun.Glob("*").scanSync({ cwd: `/proc/${run.shimPid}/fd`, onlyFiles: false }))
      .length;
  const before = descriptors();
  for (let i = 0; i < 300; i++) (await attach(run.rundir, 6)).stream.close();
  while (descriptors() > before) await Bun.sleep(2);
  expect(descriptors()).toBe(before);
  expect(await Bun.file("/proc/self/mountinfo").text()).not.toContain(dir);
  await run.control.signal(0, 9);
  await run.closed;
});

test("ports are claimed for a running container, held without a daemon, and let go by list and at its end", async () => {
  const run = await prepare(specOf(processOf(["sleep", "1000"])));
  await run.control.start();
  const [protocol, address, listen] = ["tcp", "127.0.0.1", true] as const;
  const request = { netns: 0, protocol, address, port: 0, listen };
  const held = (port: number) =>
    kernel.socket({ ...request, port }).then(({ handle }) => kernel.close(handle), String);
  const first = await run.control.claimPort(request);
  const second = await run.control.claimPort(request);
  const udp = await run.control.claimPort({ ...request, protocol: "udp", listen: false });
  await expect(run.control.claimPort({ ...request, port: first })).rejects.toThrow("EADDRINUSE");
  run.control.close();
  await run.closed;
  const { promise: ended, resolve: closed } = Promise.withResolvers<void>();
  const next = await connectShim(`${run.rundir}/shim.sock`, { event: () => {}, closed });
  for (const port of [first, second]) expect(await held(port)).toContain("EADDRINUSE");
  const keep = { protocol, address, port: second };
  expect(await next.retainPorts([keep, { ...keep, address: "127.0.0.2", port: first }])).toBe(0);
  expect([await held(first), await held(second)]).toEqual([undefined, expect.any(String)]);
  // The UDP port is free again.
  expect(await next.claimPort({ ...request, protocol: "udp", port: udp, listen: false })).toBe(udp);
  await next.signal(0, 9);
  await ended;
  expect(await held(second)).toBeUndefined();
});
