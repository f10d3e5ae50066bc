/**
 * `bench/run`: berth beside dockerd and runc in one run, on this machine. Prints a table and writes bench/RESULTS.md.
 *
 * Each comparison alternates between its candidates, so that what else the machine does falls on all alike; medians are
 * compared. dockerd gets its own socket, roots and bridge address, and is stopped again.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const berth = join(root, "dist/berth");
const directory = mkdtempSync("/tmp/bench-");
const rounds = Number(process.env.BENCH_ROUNDS ?? 30);

interface Candidate {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

interface Row {
  readonly what: string;
  readonly berth: string;
  readonly other: string;
  readonly ratio: string;
}

const rows: Row[] = [];
const base = { PATH: process.env.PATH ?? "", HOME: directory };
const berthEnv = { BERTH_HOST: `unix://${directory}/b.sock` };
const dockerEnv = { DOCKER_HOST: `unix://${directory}/d.sock` };

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function once(candidate: Candidate): Promise<number> {
  const began = performance.now();
  const child = Bun.spawn([...candidate.argv], {
    env: { ...base, ...candidate.env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const status = await child.exited;
  const took = performance.now() - began;
  if (status !== 0)
    throw new Error(`${candidate.name}: status ${status}: ${await child.stderr.text()}`);
  return took;
}

/** Medians of alternating runs, in milliseconds. */
async function compare(candidates: readonly Candidate[], count = rounds): Promise<number[]> {
  const times = candidates.map((): number[] => []);
  for (const candidate of candidates) await once(candidate);
  for (let round = 0; round < count; round++)
    for (const [index, candidate] of candidates.entries())
      times[index]?.push(await once(candidate));
  return times.map(median);
}

const ms = (value: number) => `${value.toFixed(value < 100 ? 1 : 0)} ms`;
function report(what: string, own: number, other: number, otherName: string, show = ms): void {
  const row = {
    what,
    berth: show(own),
    other: `${show(other)} (${otherName})`,
    ratio: (other / own).toFixed(1),
  };
  rows.push(row);
  console.log(`${what}: berth ${row.berth}, ${row.other}: ${row.ratio} times`);
}

async function waitFor(socket: string): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (
      existsSync(socket) &&
      (await fetch("http://x/_ping", { unix: socket }).then(
        (r) => r.ok,
        () => false,
      ))
    )
      return;
    await Bun.sleep(20);
  }
  throw new Error(`nothing answers at ${socket}`);
}

const log = Bun.file(`${directory}/log`);
const berthd = Bun.spawn(
  [
    berth,
    "daemon",
    "-H",
    berthEnv.BERTH_HOST,
    "--data-root",
    `${directory}/b`,
    "--exec-root",
    `${directory}/bx`,
  ],
  { stdin: "ignore", stdout: log, stderr: log },
);
// In a network namespace of its own, so that its bridge and rules are gone with it.
const dockerd = Bun.spawn(
  [
    "unshare",
    "--net",
    "dockerd",
    "-H",
    dockerEnv.DOCKER_HOST,
    "--data-root",
    `${directory}/d`,
    "--exec-root",
    `${directory}/dx`,
    "-p",
    `${directory}/d.pid`,
    "--bip",
    "172.31.250.1/24",
  ],
  { stdin: "ignore", stdout: log, stderr: log },
);

const own = (...args: string[]): Candidate => ({
  name: "berth",
  argv: [berth, ...args],
  env: berthEnv,
});
const docker = (...args: string[]): Candidate => ({
  name: "dockerd",
  argv: ["docker", ...args],
  env: dockerEnv,
});

/** The same image for both: the busybox that is built into berth. */
async function loadImages(): Promise<void> {
  await once(own("run", "--rm", "busybox", "true"));
  const image = Bun.spawn(
    [
      "sh",
      "-c",
      `mkdir -p ${directory}/rootfs/bin ${directory}/rootfs/proc ${directory}/rootfs/dev && cp /bin/busybox ${directory}/rootfs/bin && for a in sh true yes head cat; do ln -f ${directory}/rootfs/bin/busybox ${directory}/rootfs/bin/$a; done && tar -C ${directory}/rootfs -c . | docker import - busybox`,
    ],
    { env: { ...base, ...dockerEnv }, stdout: "ignore" },
  );
  if ((await image.exited) !== 0) throw new Error("docker import");
}

async function starts(): Promise<void> {
  const [b = 0, d = 0] = await compare([
    own("run", "--rm", "busybox", "true"),
    docker("run", "--rm", "busybox", "true"),
  ]);
  report("run --rm busybox true, default bridge", b, d, "dockerd");
  const [bn = 0, dn = 0] = await compare([
    own("run", "--rm", "--network", "none", "busybox", "true"),
    docker("run", "--rm", "--network", "none", "busybox", "true"),
  ]);
  report("run --rm --network none busybox true", bn, dn, "dockerd");
  const [stock = 0] = await compare([
    {
      name: "stock docker on berth",
      argv: ["docker", "run", "--rm", "busybox", "true"],
      env: { DOCKER_HOST: berthEnv.BERTH_HOST },
    },
  ]);
  report("the same on the bridge, stock docker command line against berth", stock, d, "dockerd");
  await runc(bn);
}

async function runc(berthMs: number): Promise<void> {
  const bundle = `${directory}/bundle`;
  mkdirSync(bundle);
  Bun.spawnSync(["runc", "spec"], { cwd: bundle });
  const config = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8")) as {
    process: { terminal: boolean; args: string[] };
    root: { path: string };
  };
  config.process.terminal = false;
  config.process.args = ["/bin/true"];
  config.root.path = `${directory}/rootfs`;
  writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
  const [r = 0] = await compare([
    { name: "runc", argv: ["runc", "--root", `${directory}/runc`, "run", "-b", bundle, "bench"] },
  ]);
  report(
    "berth run --network none (client, daemon, overlay, log) beside bare runc run",
    berthMs,
    r,
    "runc",
  );
}

async function parallel(): Promise<void> {
  const all = async (candidate: Candidate) => {
    const began = performance.now();
    await Promise.all(Array.from({ length: 64 }, () => once(candidate)));
    return performance.now() - began;
  };
  const times = { b: [] as number[], d: [] as number[] };
  for (let round = 0; round < 3; round++) {
    times.b.push(await all(own("run", "--rm", "busybox", "true")));
    times.d.push(await all(docker("run", "--rm", "busybox", "true")));
  }
  report("64 parallel run --rm busybox true", median(times.b), median(times.d), "dockerd");
}

async function commandLine(): Promise<void> {
  const format = ["version", "--format", "{{.Client.Version}}"];
  const [b = 0, d = 0] = await compare([own(...format), docker(...format)]);
  report("version --format {{.Client.Version}}", b, d, "docker against dockerd");
}

/** Private memory of a process in KiB: what it has written, or with `clean` the pages of its own program as well. */
function privateKib(pid: number, clean = false): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const pattern = clean ? /^Private_\w+:\s+(\d+) kB/gm : /^Private_Dirty:\s+(\d+) kB/gm;
  return [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0);
}

function pidsOf(pattern: RegExp): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return pattern.test(readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "));
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Longer than the quiet time after which the daemon gives memory back. */
const IDLE_MS = 12_000;

async function memory(): Promise<void> {
  const kib = (value: number) => `${value.toFixed(0)} KiB`;
  await once(own("run", "-d", "--name", "mem", "busybox", "sleep", "1000"));
  await once(docker("run", "-d", "--name", "mem", "busybox", "busybox", "sleep", "1000"));
  const shim = median(
    pidsOf(new RegExp(`^berth-shim ${directory}`)).map((pid) => privateKib(pid, true)),
  );
  const containerdShim = median(
    pidsOf(new RegExp(`containerd-shim.*${directory}`)).map((pid) => privateKib(pid, true)),
  );
  report(
    "private memory of a container's supervisor",
    shim,
    containerdShim,
    "containerd-shim",
    kib,
  );
  await Bun.sleep(IDLE_MS);
  const containerd = pidsOf(new RegExp(`^containerd.*${directory}`));
  for (const clean of [true, false]) {
    const others = [dockerd.pid, ...containerd].reduce(
      (sum, pid) => sum + privateKib(pid, clean),
      0,
    );
    const what = clean
      ? "private memory of the idle daemon (after the runs above)"
      : "of that, what the daemon has written";
    report(what, privateKib(berthd.pid, clean), others, "dockerd and containerd", kib);
  }
  await once(own("rm", "-f", "mem"));
  await once(docker("rm", "-f", "mem"));
}

const MANY = 500;

async function many(): Promise<void> {
  const times: number[] = [];
  const names = Array.from({ length: MANY }, (_, index) => `many-${index}`);
  for (const name of names)
    times.push(await once(own("run", "-d", "--name", name, "busybox", "sleep", "1000")));
  const [first, last] = [median(times.slice(0, 20)), median(times.slice(-20))];
  const row = {
    what: `run -d: containers 1-20 beside containers ${MANY - 19}-${MANY}`,
    berth: ms(last),
    other: `${ms(first)} (the first)`,
    ratio: (first / last).toFixed(2),
  };
  rows.push(row);
  console.log(`${row.what}: ${row.berth}, ${row.other}`);
  await once(own("rm", "-f", ...names));
}

const LINES =
  "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678 | head -c 200000000";

/** Detached, so that only the log path is measured; the wait is part of the run. */
async function timedLog(candidate: (...args: string[]) => Candidate): Promise<number> {
  const began = performance.now();
  await once(candidate("run", "-d", "--name", "log", "busybox", "sh", "-c", LINES));
  await once(candidate("wait", "log"));
  const took = performance.now() - began;
  await once(candidate("rm", "log"));
  return took;
}

/** Seconds of processor time that processes have used. */
function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return sum + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);
}

/** Processor time that the engine, not the container, spends on the same output. */
async function logCpu(
  candidate: (...args: string[]) => Candidate,
  engine: () => number[],
): Promise<number> {
  const script = `${LINES}; sleep 1000`;
  const before = cpuSeconds(engine());
  await once(candidate("run", "-d", "--name", "log", "busybox", "sh", "-c", script));
  let [last, spent] = [-1, cpuSeconds(engine())];
  // The container stays; the output is through when the engine has rested for a second.
  while (spent !== last) {
    await Bun.sleep(1000);
    [last, spent] = [spent, cpuSeconds(engine())];
  }
  await once(candidate("rm", "-f", "log"));
  return spent - before;
}

async function logging(): Promise<void> {
  const seconds = (value: number) => `${(value / 1000).toFixed(2)} s`;
  const times = { b: [] as number[], d: [] as number[] };
  for (let round = 0; round < 3; round++) {
    times.b.push(await timedLog(own));
    times.d.push(await timedLog(docker));
  }
  report(
    "a container that writes 200 MB of lines to its log",
    median(times.b),
    median(times.d),
    "dockerd",
    seconds,
  );
  const b = await logCpu(own, () => [
    berthd.pid,
    ...pidsOf(new RegExp(`^(berth-shim |\\S*/berth-helper).*${directory}`)),
  ]);
  const d = await logCpu(docker, () => [
    dockerd.pid,
    ...pidsOf(new RegExp(`^\\S*containerd.*${directory}`)),
  ]);
  report("processor time of the engine for that", b * 1000, d * 1000, "dockerd", seconds);
}

function results(): string {
  const cpu = cpus();
  const table = rows
    .map((row) => `| ${row.what} | ${row.berth} | ${row.other} | ${row.ratio} |`)
    .join("\n");
  return `# Results

Written by \`bench/run\` on ${new Date().toISOString().slice(0, 10)}: ${cpu.length} cores (${cpu[0]?.model.trim()}), Linux ${release()}. Medians of ${rounds} alternating
runs (parallel starts and log: of 3; memory and processor time: one). The last column says how many times the other's figure is berth's.

| what | berth | other | ratio |
|---|---|---|---|
${table}
`;
}

try {
  await Promise.all([waitFor(`${directory}/b.sock`), waitFor(`${directory}/d.sock`)]);
  await loadImages();
  await starts();
  await commandLine();
  await memory();
  await parallel();
  await many();
  await logging();
  writeFileSync(join(root, "bench/RESULTS.md"), results());
  console.log("\nwritten to bench/RESULTS.md");
} finally {
  berthd.kill("SIGTERM");
  dockerd.kill("SIGTERM");
  await Promise.all([berthd.exited, dockerd.exited]);
  rmSync(directory, { recursive: true, force: true });
}
