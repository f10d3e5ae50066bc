/** mode=non-blocking: a disk that stands still, which a frozen file system is, holds no container up. */
import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const work = scratchDirectory("bt-ring-");
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await holds()); await Bun.sleep(20))
    if (Date.now() > end) throw new Error("it does not come");
}

function command(...argv: string[]): void {
  const done = Bun.spawnSync(argv);
  if (done.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
}

/** A container's files on a file system of their own, which can be made to stand still. */
class Disk {
  private constructor(private readonly at: string) {}

  static under(id: string): Disk {
    const [image, at] = [`${work}/${id}`, `${daemon.directory}/data/containers/${id}`];
    writeFileSync(image, "");
    truncateSync(image, 64 << 20);
    command("mkfs.ext4", "-q", "-F", image);
    command("mount", "-o", "loop", image, at);
    return new Disk(at);
  }

  freeze(): void {
    command("fsfreeze", "-f", this.at);
  }

  thaw(): void {
    command("fsfreeze", "-u", this.at);
  }

  async remove(): Promise<void> {
    // A writer that was killed in the middle is gone in a moment.
    await until(() => Bun.spawnSync(["umount", this.at]).exitCode === 0);
  }
}

const LINES = 20_000;
const text = "x".repeat(100);
const script = [
  "echo begun; while [ ! -e /go ]; do usleep 10000; done",
  `i=0; while [ $i -lt ${LINES} ]; do echo line $i ${text}; i=$((i+1)); done`,
  "echo made; while [ ! -e /end ]; do usleep 10000; done",
].join("; ");

async function created(name: string, ...flags: string[]): Promise<Disk> {
  await daemon.docker("create", "--name", name, ...flags, "busybox", "sh", "-c", script);
  return Disk.under(await daemon.inspect(name, "{{.Id}}"));
}

const ring = (size: string) => [
  "--log-opt",
  "mode=non-blocking",
  "--log-opt",
  `max-buffer-size=${size}`,
];
const touch = (name: string, path: string) => daemon.docker("exec", name, "touch", path);

/** The numbers of the lines in a log, and the numbers of lost records that it tells of. */
async function seenIn(name: string): Promise<{ seen: number[]; lost: number[] }> {
  const { out, err } = await daemon.docker("logs", name);
  return {
    seen: [...out.matchAll(/^line (\d+) x{100}$/gm)].map((match) => Number(match[1])),
    lost: [...err.matchAll(/^berth: (\d+) log records lost: the log buffer was full$/gm)].map(
      (match) => Number(match[1]),
    ),
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

async function droppedOf(name: string): Promise<number> {
  const { text } = await daemon.api("GET", `/containers/${name}/stats?stream=false&one-shot=true`);
  return JSON.parse(text).Berth.Log.Dropped;
}

async function shimOf(name: string): Promise<number> {
  const pid = await daemon.inspect(name, "{{.State.Pid}}");
  return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

test("output goes on, the oldest records go, and that is counted, told of and known to the next daemon", async () => {
  const disk = await created("still", ...ring("256k"));
  let shown = "";
  const attached = Bun.spawn(["docker", "start", "-a", "still"], {
    env: { PATH: process.env.PATH ?? "", DOCKER_HOST: `unix://${daemon.socket}` },
    stdout: "pipe",
  });
  const reading = (async () => {
    for await (const piece of attached.stdout) shown += Buffer.from(piece).toString();
  })();
  await until(async () => (await daemon.docker("logs", "still")).out === "begun\n");
  disk.freeze();
  try {
    await touch("still", "/go");
    await until(() => shown.endsWith("made\n"));
    expect(shown.split("\n").length).toBe(LINES + 3);
    await until(async () => (await droppedOf("still")) > 10_000);
    const events = await daemon.docker(
      ...["events", "--since", "1", "--until", "0s", "--filter", "event=log-lost"],
      ...["--format", "{{.Actor.Attributes.reason}} {{.Actor.Attributes.records}}"],
    );
    expect(events.out).toMatch(/^buffer-full \d+$/m);
    await daemon.kill();
    await reading;
    await daemon.start();
    expect(await droppedOf("still")).toBeGreaterThan(10_000);
  } finally {
    disk.thaw();
  }
  await until(async () => (await daemon.docker("logs", "--tail", "1", "still")).out === "made\n");
  const { seen, lost } = await seenIn("still");
  // What was being written, then nothing, then the newest.
  expect(lost.length).toBe(1);
  expect(seen.length + sum(lost)).toBe(LINES);
  const gap = seen.findIndex((number, i) => number !== i);
  expect(seen.slice(gap)).toEqual(
    Array.from({ length: seen.length - gap }, (_, i) => LINES - seen.length + gap + i),
  );
  await until(async () => (await droppedOf("still")) === sum(lost));
  await touch("still", "/end");
  expect((await daemon.docker("wait", "still")).out).toBe("0\n");
  await disk.remove();
  await daemon.berth("rm", "still");
}, 60_000);

test("a container ends while the disk stands still, and what it could not write is counted", async () => {
  const disk = await created("ends", ...ring("128k"));
  await daemon.docker("start", "ends");
  await until(async () => (await daemon.docker("logs", "ends")).out === "begun\n");
  disk.freeze();
  try {
    await touch("ends", "/go");
    await touch("ends", "/end");
    expect((await daemon.docker("wait", "ends")).out).toBe("0\n");
  } finally {
    disk.thaw();
  }
  const { seen } = await seenIn("ends");
  // What was being written when the shim gave up may have come through after all.
  expect(seen.length + (await droppedOf("ends"))).toBeGreaterThanOrEqual(LINES);
  await disk.remove();
  await daemon.berth("rm", "ends");
}, 60_000);

test("without it the container waits, and nothing is lost", async () => {
  const disk = await created("waits");
  await daemon.docker("start", "waits");
  await until(async () => (await daemon.docker("logs", "waits")).out === "begun\n");
  const shim = await shimOf("waits");
  disk.freeze();
  // The exec, too, is answered by a shim that stands still.
  const touched = touch("waits", "/go");
  try {
    await until(() => /^State:\tD/m.test(readFileSync(`/proc/${shim}/status`, "utf8")));
  } finally {
    disk.thaw();
  }
  await touched;
  await until(async () => (await daemon.docker("logs", "--tail", "1", "waits")).out === "made\n");
  const { seen, lost } = await seenIn("waits");
  expect(seen).toEqual(Array.from({ length: LINES }, (_, i) => i));
  expect([lost, await droppedOf("waits")]).toEqual([[], 0]);
  await touch("waits", "/end");
  await daemon.docker("wait", "waits");
  await disk.remove();
  await daemon.berth("rm", "waits");
}, 60_000);

test("a ring that is smaller than what comes at once loses nothing unsaid, in order, over rotation", async () => {
  const flags = [...ring("16k"), "--log-opt", "max-size=200k", "--log-opt", "max-file=100"];
  const flood = `i=0; while [ $i -lt ${LINES} ]; do echo line $i ${text}; i=$((i+1)); done; echo; printf last`;
  const run = ["run", "--name", "flood", ...flags, "--log-opt", "compress=true"];
  await daemon.docker(...run, "busybox", "sh", "-c", flood);
  const { seen, lost } = await seenIn("flood");
  expect(seen.length + sum(lost)).toBe(LINES);
  expect(await droppedOf("flood")).toBe(sum(lost));
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect((await daemon.docker("logs", "--tail", "1", "flood")).out).toBe("last");
  const path = await daemon.inspect("flood", "{{.LogPath}}");
  await until(() =>
    readdirSync(path.slice(0, path.lastIndexOf("/"))).some((n) => n.endsWith(".gz")),
  );
  await daemon.berth("rm", "flood");
}, 60_000);

/** The process that writes a container's log. */
function writerOf(shim: number): number {
  const children = readFileSync(`/proc/${shim}/task/${shim}/children`, "utf8").trim().split(" ");
  return Number(
    children.find((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, "utf8") === "berth-log\n";
      } catch {
        // It has ended since it was listed.
        return false;
      }
    }),
  );
}

test("a writer that is killed is made anew; one whose shim is killed writes what there is", async () => {
  const run = ["run", "-d", "--name", "writer", ...ring("64k"), "busybox", "sh", "-c"];
  await daemon.docker(
    ...run,
    "echo one; while [ ! -e /go ]; do usleep 10000; done; echo two; sleep 1000",
  );
  await until(async () => (await daemon.docker("logs", "writer")).out === "one\n");
  const shim = await shimOf("writer");
  const first = writerOf(shim);
  // One that dies at once is not made again.
  await Bun.sleep(1100);
  process.kill(first, "SIGKILL");
  await until(() => writerOf(shim) > 0 && writerOf(shim) !== first);
  await touch("writer", "/go");
  await until(async () => (await daemon.docker("logs", "writer")).out === "one\ntwo\n");
  process.kill(shim, "SIGKILL");
  expect((await daemon.docker("wait", "writer")).out).toBe("137\n");
  await daemon.berth("rm", "writer");
}, 30_000);
