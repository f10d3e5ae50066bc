/** Builds on a data root without room: clear errors, all room comes back, and what else runs does not notice. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { unmountSettled } from "../kits/file-system.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const before = takeCensus();
const small = scratchDirectory("berth-small-");
// The later of two flags holds.
const daemon = new TestDaemon(["--data-root", `${small}/data`]);
const MIB = 2 ** 20;
/** Less than what the builds want, each by another way. */
const ROOM = 24;

beforeAll(async () => {
  const mount = ["mount", "-t", "tmpfs", "-o", `size=${ROOM}m`, "t", small];
  if (Bun.spawnSync(mount).exitCode !== 0) throw new Error("mount");
  await daemon.start();
  await daemon.berth("run", "-d", "--name", "lives", "busybox", "sleep", "1000");
});
afterAll(async () => {
  await daemon.destroy();
  await unmountSettled(small);
  rmdirSync(small);
  expect(await settledLeftover(before)).toEqual([]);
});

function room(): number {
  const { bavail, bsize } = statfsSync(small);
  return bavail * bsize;
}

/** Bytes that nothing makes smaller. */
const noise = (length: number) =>
  Buffer.concat(
    Array.from({ length: length / MIB }, () =>
      crypto.getRandomValues(Buffer.alloc(65_536)),
    ).flatMap((piece) => Array.from({ length: 16 }, () => piece)),
  );

/** A context on another disk. */
async function within<T>(
  files: Readonly<Record<string, string | Uint8Array>>,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = scratchDirectory("context-");
  try {
    for (const [name, content] of Object.entries(files))
      writeFileSync(`${directory}/${name}`, content);
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The archive of a directory; compressed, it may be very much smaller than what is in it. */
function packed(directory: string, compress: boolean): Uint8Array {
  const { stdout } = Bun.spawnSync(["tar", "-C", directory, compress ? "-cz" : "-c", "."]);
  return stdout;
}

async function post(body: Uint8Array): Promise<string> {
  const answer = await fetch("http://x/build", { method: "POST", unix: daemon.socket, body });
  return answer.text();
}

const zeros = (mib: number) => new Uint8Array(mib * MIB);
const no = /no space left|disk is full|ENOSPC/i;

/** Each gives what is told of it. */
const builds: Readonly<Record<string, () => Promise<string>>> = {
  "a context that is sent whole": () =>
    within({ Dockerfile: "FROM scratch\nCOPY . /\n", f: noise(40 * MIB) }, (directory) =>
      post(packed(directory, false)),
    ),
  "a context of which what has changed is sent": () =>
    within(
      { Dockerfile: "FROM scratch\nCOPY . /\n", f: noise(40 * MIB) },
      async (directory) => (await daemon.berth("build", directory)).err,
    ),
  "a context that is small until it is unpacked": () =>
    within({ Dockerfile: "FROM scratch\n", f: zeros(100) }, (directory) =>
      post(packed(directory, true)),
    ),
  COPY: () =>
    within(
      { Dockerfile: "FROM scratch\nCOPY f /a\n", f: noise(10 * MIB) },
      async (directory) => (await daemon.berth("build", directory)).err,
    ),
  "ADD of an archive that is small until it is unpacked": () =>
    within({}, async (directory) => {
      mkdirSync(`${directory}/in`);
      writeFileSync(`${directory}/in/f`, zeros(100));
      writeFileSync(`${directory}/bomb.tgz`, packed(`${directory}/in`, true));
      rmSync(`${directory}/in`, { recursive: true });
      writeFileSync(`${directory}/Dockerfile`, "FROM scratch\nADD bomb.tgz /x/\n");
      return (await daemon.berth("build", directory)).err;
    }),
  "RUN that writes": () =>
    within(
      { Dockerfile: "FROM busybox\nRUN dd if=/dev/zero of=/f bs=1M count=60\n" },
      async (directory) => (await daemon.berth("build", directory)).err,
    ),
  "RUN whose layer has no room": () =>
    within(
      { Dockerfile: "FROM busybox\nRUN dd if=/dev/urandom of=/f bs=1M count=11\n" },
      async (directory) => (await daemon.berth("build", directory)).err,
    ),
};

test.each(Object.keys(builds))(
  "no room for %s: it is told, and everything comes back",
  async (name) => {
    await daemon.berth("builder", "prune", "-af");
    const free = room();
    expect(await builds[name]?.()).toMatch(no);
    expect((await daemon.berth("exec", "lives", "echo", "well")).out).toBe("well\n");
    await daemon.berth("builder", "prune", "-af");
    const deadline = Date.now() + 20_000;
    // What is deleted goes beside; the database and the log may have grown a little.
    while (room() < free - MIB && Date.now() < deadline) await Bun.sleep(50);
    expect(room()).toBeGreaterThan(free - MIB);
    const well = await within(
      { Dockerfile: "FROM busybox\nCOPY f /f\nRUN cat /f\n", f: "f" },
      (at) => daemon.berth("build", "-q", at),
    );
    expect([well.status, well.err]).toEqual([0, ""]);
    await daemon.berth("image", "prune", "-af");
    // Whatever is logged, it is the disk.
    const errors = daemon.log.split("\n").filter((line) => line.includes("level=error"));
    expect(errors.filter((line) => !no.test(line))).toEqual([]);
  },
  60_000,
);

test("after all of it nothing is wrong", async () => {
  const check = await daemon.berth("system", "check");
  expect([check.out, check.status]).toEqual(["Everything is as it should be.\n", 0]);
});
