/**
 * kill -9 at any moment while images come, go and are made: the next start finds a store in which everything is whole, every
 * file is some record's, and from which everything can be taken away again.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { TestRegistry } from "../kits/registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const seed = Number(process.env.BERTH_TEST_SEED ?? Math.floor(Math.random() * 1e9));
const ROUNDS = Number(process.env.BERTH_TEST_ROUNDS ?? 1);
console.log(`crashes: BERTH_TEST_SEED=${seed}`);

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
let state = seed;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

const before = takeCensus();
const registry = new TestRegistry();
const work = scratchDirectory("bw-");
let remote = "";

beforeAll(async () => {
  await registry.start();
  remote = `${registry.address}/team/app:1`;
});
afterAll(async () => {
  await registry.stop();
  rmSync(work, { recursive: true, force: true });
  expect(await settledLeftover(before)).toEqual([]);
});

interface Operation {
  readonly name: string;
  /** What is there before it; not interrupted. */
  readonly prepare: readonly string[];
  /** What is interrupted. */
  readonly act: readonly string[];
  /** The image that must be there once it has been done, or must not. */
  readonly makes?: string;
  readonly removes?: string;
}

const operations = (): Operation[] => [
  {
    name: "load",
    prepare: ["rmi -f big:1"],
    act: ["load", "-i", `${work}/big.tar`],
    makes: "big:1",
  },
  { name: "pull", prepare: [`rmi -f ${remote}`], act: ["pull", remote], makes: remote },
  {
    name: "import",
    prepare: ["rmi -f imp:1"],
    act: ["import", `${work}/root.tar`, "imp:1"],
    makes: "imp:1",
  },
  { name: "commit", prepare: ["rmi -f com:1"], act: ["commit", "maker", "com:1"], makes: "com:1" },
  {
    name: "rmi",
    prepare: [`load -i ${work}/big.tar`],
    act: ["rmi", "-f", "big:1"],
    removes: "big:1",
  },
  {
    name: "prune",
    prepare: [`load -i ${work}/big.tar`, `pull ${remote}`],
    act: ["image", "prune", "-a", "-f"],
    removes: "big:1",
  },
  {
    name: "save",
    prepare: [`load -i ${work}/big.tar`],
    act: ["save", "-o", `${work}/out.tar`, "big:1"],
    makes: "big:1",
  },
];

async function expectSound(daemon: TestDaemon, when: string): Promise<void> {
  const check = await daemon.berth("system", "check");
  expect([when, check.out, check.status]).toEqual([when, "Everything is as it should be.\n", 0]);
  const { text } = await daemon.api("GET", "/system/df?disk=1");
  const parts = JSON.parse(text).Berth.DataRoot.Parts as { Kind: string; Orphaned: number }[];
  expect([when, parts.filter(({ Orphaned }) => Orphaned > 0)]).toEqual([when, []]);
}

async function names(daemon: TestDaemon): Promise<string[]> {
  const { out } = await daemon.berth(
    "images",
    "-a",
    "--format",
    "{{.Repository}}:{{.Tag}} {{.ID}}",
  );
  return out.split("\n").filter(Boolean);
}

const ok = async (daemon: TestDaemon, ...args: string[]) => {
  const done = await daemon.berth(...args);
  if (done.status !== 0) console.error(daemon.log.slice(-3000));
  expect([args, done.status, done.err]).toEqual([args, 0, done.err]);
  return done.out;
};

async function makeImages(daemon: TestDaemon): Promise<void> {
  const files =
    "mkdir /d; i=0; while [ $i -lt 60 ]; do head -c 3000 /dev/urandom > /d/$i; i=$((i+1)); done; head -c 2000000 /dev/urandom > /big";
  await ok(daemon, "run", "--name", "maker", "busybox", "sh", "-c", files);
  await ok(daemon, "commit", "maker", "big:0");
  await ok(
    daemon,
    "run",
    "--name",
    "second",
    "big:0",
    "sh",
    "-c",
    "head -c 1000000 /dev/urandom > /more",
  );
  await ok(daemon, "commit", "second", "big:1");
  await ok(daemon, "tag", "big:1", remote);
  await ok(daemon, "push", remote);
  await ok(daemon, "save", "-o", `${work}/big.tar`, "big:1");
  await ok(daemon, "export", "-o", `${work}/root.tar`, "maker");
  await ok(daemon, "rm", "second");
  await ok(daemon, "rmi", "big:0", "big:1", remote);
}

/** Whatever is listed runs, and is saved whole. */
async function expectUsable(daemon: TestDaemon): Promise<void> {
  for (const line of await names(daemon)) {
    const id = line.split(" ")[1] ?? "";
    expect([line, (await daemon.berth("run", "--rm", id, "true")).status]).toEqual([line, 0]);
    expect([line, (await daemon.berth("save", "-o", "/dev/null", id)).err]).toEqual([line, ""]);
  }
}

/** Kills the daemon at some moment of an operation, and looks at what the next one finds. */
async function crash(daemon: TestDaemon, operation: Operation): Promise<void> {
  for (const line of operation.prepare) await daemon.berth(...line.split(" "));
  const began = performance.now();
  // As long as it takes when nobody disturbs it, and somewhat more.
  durations.set(operation.name, durations.get(operation.name) ?? 150);
  const moment = random() * 1.2 * (durations.get(operation.name) ?? 0);
  const acting = daemon.berth(...operation.act);
  await Promise.race([acting, Bun.sleep(moment)]);
  await daemon.kill();
  await acting;
  await daemon.start();
  const when = `${operation.name} killed after ${Math.round(performance.now() - began)} ms`;
  await expectSound(daemon, when);
  const again = performance.now();
  if (operation.removes === undefined) await ok(daemon, ...operation.act);
  else await daemon.berth(...operation.act);
  durations.set(operation.name, performance.now() - again);
  const there = await names(daemon);
  const has = (name: string) => there.some((line) => line.startsWith(`${name} `));
  if (operation.makes !== undefined) expect([when, has(operation.makes)]).toEqual([when, true]);
  if (operation.removes !== undefined)
    expect([when, has(operation.removes)]).toEqual([when, false]);
}

/** How long each took the last time. */
const durations = new Map<string, number>();

test.each([["always"], ["never"]])(
  "kills while images come and go, with --keep-blobs=%s",
  async (keep) => {
    const daemon = new TestDaemon([`--keep-blobs=${keep}`]);
    await daemon.start();
    const root = `${daemon.directory}/data`;
    try {
      await makeImages(daemon);
      for (let round = 0; round < ROUNDS; round++) {
        for (const operation of operations()) await crash(daemon, operation);
        await expectUsable(daemon);
      }
      // Everything goes, and nothing is left.
      await ok(daemon, "rm", "maker");
      for (const line of await names(daemon))
        await daemon.berth("rmi", "-f", line.split(" ")[1] ?? "");
      await ok(daemon, "system", "prune", "-a", "-f", "--volumes");
      expect(await names(daemon)).toEqual([]);
      for (const path of [
        "content/blobs/sha256",
        "content/ingest",
        "content/recipes",
        "overlay2/layers",
        "overlay2/new",
        "containers",
      ])
        expect([path, readdirSync(`${root}/${path}`)]).toEqual([path, []]);
      await expectSound(daemon, "after everything");
    } finally {
      await daemon.destroy();
    }
  },
);
