/**
 * What every measurement needs: berth and dockerd side by side on this machine, each on its own roots, and a table.
 */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** The checkout. */
export const root = join(import.meta.dir, "..");

/** A command to be timed. */
export interface Candidate {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** One comparison, as it is printed. */
export interface Row {
  readonly what: string;
  readonly berth: string;
  readonly other: string;
  readonly ratio: string;
}

/** What a daemon gets to tidy up after its answer. */
const SETTLE_MS = 50;

/** The middle of several figures. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Milliseconds, as the table shows them. */
export const ms = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} ms`;
/** Milliseconds that are shown as seconds. */
export const seconds = (value: number): string => `${(value / 1000).toFixed(2)} s`;
/** KiB, as the table shows them. */
export const kib = (value: number): string => `${value.toFixed(0)} KiB`;

/** How long something takes, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** The processes whose command line matches. */
export function pidsOf(pattern: RegExp): number[] {
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

/** An engine under measurement. */
export interface Side {
  readonly name: string;
  readonly socket: string;
  readonly pid: number;
  /** A call of its own command line. */
  cli(...args: string[]): Candidate;
}

async function answers(socket: string): Promise<boolean> {
  return fetch("http://x/_ping", { unix: socket }).then(
    (response) => response.ok,
    () => false,
  );
}

async function waitFor(socket: string): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (existsSync(socket) && (await answers(socket))) return;
    await Bun.sleep(20);
  }
  throw new Error(`nothing answers at ${socket}`);
}

/** Room for both engines' data; it is taken only as it is used. */
const DISK_BYTES = 24 * 2 ** 30;

function must(...argv: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(argv);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
}

/** A new ext4 for everything: on one that has seen mass deletes, creating files takes ten times as long. */
function freshDisk(): string {
  const directory = mkdtempSync("/tmp/bench-");
  const image = `${directory}.img`;
  writeFileSync(image, "");
  truncateSync(image, DISK_BYTES);
  must("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image);
  must("mount", "-o", "loop", image, directory);
  return directory;
}

/** Both engines, their files, and what has been measured so far. */
export class Bench {
  readonly directory = freshDisk();
  readonly rounds = Number(process.env.BENCH_ROUNDS ?? 30);
  readonly rows: Row[] = [];
  readonly berth: Side;
  readonly docker: Side;
  private readonly daemons: readonly Bun.Subprocess[];

  constructor() {
    const [own, other] = [`${this.directory}/b.sock`, `${this.directory}/d.sock`];
    const executable = join(root, "dist/berth");
    const berthd = this.spawn(
      [executable, "daemon", "-H", `unix://${own}`],
      ["--data-root", `${this.directory}/b`, "--exec-root", `${this.directory}/bx`],
    );
    // In a network namespace of its own, so that its bridge and rules are gone with it.
    const dockerd = this.spawn(
      ["unshare", "--net", "dockerd", "-H", `unix://${other}`, "-p", `${this.directory}/d.pid`],
      ["--data-root", `${this.directory}/d`, "--exec-root", `${this.directory}/dx`],
      ["--bip", "172.31.250.1/24"],
    );
    this.daemons = [berthd, dockerd];
    this.berth = {
      name: "berth",
      socket: own,
      pid: berthd.pid,
      cli: (...args) => ({
        name: "berth",
        argv: [executable, ...args],
        env: { BERTH_HOST: `unix://${own}` },
      }),
    };
    this.docker = {
      name: "dockerd",
      socket: other,
      pid: dockerd.pid,
      cli: (...args) => ({
        name: "dockerd",
        argv: ["docker", ...args],
        env: { DOCKER_HOST: `unix://${other}` },
      }),
    };
  }

  private spawn(...argv: readonly (readonly string[])[]): Bun.Subprocess {
    const log = Bun.file(`${this.directory}/log`);
    return Bun.spawn(argv.flat(), { stdin: "ignore", stdout: log, stderr: log });
  }

  /** The environment of every command. */
  get env(): Record<string, string> {
    return { PATH: process.env.PATH ?? "", HOME: this.directory };
  }

  /** Both engines, in the order in which they take turns. */
  get sides(): readonly [Side, Side] {
    return [this.berth, this.docker];
  }

  /** Waits for both, and gives them the same image: the busybox that is built into berth. */
  async ready(): Promise<void> {
    await Promise.all(this.sides.map(({ socket }) => waitFor(socket)));
    await this.once(this.berth.cli("run", "--rm", "busybox", "true"));
    const rootfs = `${this.directory}/rootfs`;
    const script = `mkdir -p ${rootfs}/bin ${rootfs}/proc ${rootfs}/dev && cp /bin/busybox ${rootfs}/bin &&
      for a in sh true yes head cat sleep seq mkdir dd; do ln -f ${rootfs}/bin/busybox ${rootfs}/bin/$a; done &&
      tar -C ${rootfs} -c . | docker import - busybox`;
    await this.once({ ...this.docker.cli(), name: "import", argv: ["sh", "-c", script] });
  }

  /** Ends both and deletes their files. */
  async close(): Promise<void> {
    for (const daemon of this.daemons) daemon.kill("SIGTERM");
    await Promise.all(this.daemons.map(({ exited }) => exited));
    must("umount", this.directory);
    rmdirSync(this.directory);
    rmSync(`${this.directory}.img`);
  }

  /** Runs a command; gives the milliseconds that it took. Throws when it fails. */
  async once(candidate: Candidate): Promise<number> {
    const began = performance.now();
    const child = Bun.spawn([...candidate.argv], {
      env: { ...this.env, ...candidate.env },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [status, error] = await Promise.all([child.exited, child.stderr.text()]);
    const took = performance.now() - began;
    if (status !== 0) throw new Error(`${candidate.name}: status ${status}: ${error}`);
    return took;
  }

  /** Medians of alternating runs, in milliseconds. */
  async compare(candidates: readonly Candidate[], count = this.rounds): Promise<number[]> {
    for (const candidate of candidates) await this.once(candidate);
    return this.alternate(
      candidates.map((candidate) => () => this.once(candidate)),
      count,
    );
  }

  /**
   * Medians of what measurements give that take turns. Each begins when the one before is over: a daemon may tidy up for
   * tens of milliseconds after its answer, and that is its own work, not the next one's.
   */
  async alternate(
    measurements: readonly (() => Promise<number>)[],
    count: number,
  ): Promise<number[]> {
    const found = measurements.map((): number[] => []);
    for (let round = 0; round < count; round++)
      for (const [index, measure] of measurements.entries()) {
        await Bun.sleep(SETTLE_MS);
        found[index]?.push(await measure());
      }
    return found.map(median);
  }

  /** Adds a comparison to the table. */
  report(what: string, own: number, other: number, otherName: string, show = ms, digits = 1): void {
    const row = {
      what,
      berth: show(own),
      other: `${show(other)} (${otherName})`,
      ratio: (other / own).toFixed(digits),
    };
    this.rows.push(row);
    console.log(`${what}: berth ${row.berth}, ${row.other}: ${row.ratio} times`);
  }
}
