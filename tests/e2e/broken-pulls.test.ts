/**
 * Pulls that break off with the daemon, and images that do not fit on the disk: what has come of a pull is gone on with after
 * a restart or given up by a prune, and what does not fit leaves nothing.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";
import { unmountSettled } from "../kits/file-system.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const before = takeCensus();
const small = scratchDirectory("berth-small-");
const daemon = new TestDaemon(["--data-root", `${small}/data`]);
const registry = new FakeRegistry();
const text = randomBytes(2_000_000).toString("base64");
let name = "";
let layer = "";

beforeAll(async () => {
  if (Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=24m", "t", small]).exitCode !== 0)
    throw new Error("mount");
  await Promise.all([daemon.start(), registry.start()]);
  name = `${registry.address}/app:1`;
  const tar = tarOf({ file: text });
  registry.image(tar, "1");
  layer = [...registry.blobs.entries()].find(([, bytes]) => bytes.length === tar.length)?.[0] ?? "";
});
afterAll(async () => {
  await daemon.destroy();
  await registry.stop();
  await unmountSettled(small);
  rmdirSync(small);
  expect(await settledLeftover(before)).toEqual([]);
});

const root = `${small}/data`;
const ingest = () => readdirSync(`${root}/content/ingest`);

/** The registry sends half of the layer and then nothing. */
function sendHalf(): void {
  registry.lie = (asked, response) => {
    const bytes = registry.blobs.get(layer);
    if (bytes === undefined || !asked.path.endsWith(layer)) return false;
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.subarray(0, 1_000_000));
    return true;
  };
}

/** Gives how many bytes had reached the disk. */
async function killInTheMiddle(): Promise<number> {
  sendHalf();
  const pulling = daemon.berth("pull", name);
  const here = () =>
    Math.max(0, ...ingest().map((one) => statSync(`${root}/content/ingest/${one}`).size));
  // What is written last may wait for more to come.
  for (let tries = 0; here() < 200_000 && tries < 1000; tries++) await Bun.sleep(5);
  await daemon.kill();
  await pulling;
  const size = here();
  expect(size).toBeGreaterThanOrEqual(200_000);
  registry.lie = () => false;
  registry.asked.length = 0;
  await daemon.start();
  return size;
}

async function part(kind: string): Promise<{ Bytes: number; Orphaned: number }> {
  const { Berth } = JSON.parse((await daemon.api("GET", "/system/df?disk=1")).text);
  return Berth.DataRoot.Parts.find((one: { Kind: string }) => one.Kind === kind);
}

test("a pull that broke off with the daemon goes on where it was", async () => {
  const size = await killInTheMiddle();
  const there = await part("downloads");
  expect(there.Bytes).toBeGreaterThanOrEqual(size);
  expect(there.Orphaned).toBe(0);
  expect((await daemon.berth("system", "check")).out).toBe("Everything is as it should be.\n");
  expect(await daemon.berth("pull", name)).toMatchObject({ status: 0 });
  const asked = registry.asked.filter(({ path }) => path.endsWith(layer));
  expect(asked.map(({ headers }) => headers.range)).toEqual([`bytes=${size}-`]);
  expect(ingest()).toEqual([]);
  expect((await daemon.berth("rmi", name)).status).toBe(0);
});

test("a prune gives up what has come of a pull, and says how much that is", async () => {
  const size = await killInTheMiddle();
  const filtered = await daemon.berth("image", "prune", "-f", "--filter", "until=1h");
  expect(filtered.out).toBe("Total reclaimed space: 0B\n");
  expect(ingest()).toEqual([`${layer.slice(7)}.partial`]);
  const dry = await daemon.berth("image", "prune", "--dry-run");
  const said = /would be reclaimed: ([\d.]+)(k|M)B\n/.exec(dry.out) ?? [];
  const bytes = Number(said[1]) * (said[2] === "M" ? 1e6 : 1e3);
  expect(Math.abs(bytes - size)).toBeLessThan(6000);
  const done = await daemon.berth("image", "prune", "-f");
  expect(done.out).toBe(`Total reclaimed space: ${said[1]}${said[2]}B\n`);
  expect(ingest()).toEqual([]);
  expect(await daemon.berth("pull", name)).toMatchObject({ status: 0 });
  expect(
    registry.asked.filter(({ path }) => path.endsWith(layer))[0]?.headers.range,
  ).toBeUndefined();
  expect((await daemon.berth("rmi", name)).status).toBe(0);
});

/** What is left of images. */
const left = () =>
  ["content/blobs/sha256", "content/ingest", "overlay2/layers", "overlay2/new"].flatMap((path) =>
    readdirSync(`${root}/${path}`).map((entry) => `${path}/${entry}`),
  );

function available(): number {
  const { bavail, bsize } = statfsSync(small);
  return bavail * bsize;
}

/** Waits until what has been deleted is free, but for what the database has grown: files that are deleted may be open. */
async function settled(free: number): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const now = available();
    await Bun.sleep(20);
    if (now >= free - 500_000 && now === available()) return;
  }
  throw new Error(`${available()} bytes are free, and ${free} were`);
}

const trash = () => readdirSync(`${root}/overlay2/trash`);

async function expectNothingLeft(): Promise<void> {
  // What has been answered is cleaned up behind it.
  for (let tries = 0; tries < 500 && (left().length > 0 || trash().length > 0); tries++)
    await Bun.sleep(10);
  expect(left()).toEqual([]);
  expect((await daemon.berth("system", "check")).out).toBe("Everything is as it should be.\n");
}

test("an image that does not fit on the disk leaves nothing, wherever the room ends", async () => {
  const work = scratchDirectory("bw-");
  try {
    expect(await daemon.berth("pull", name)).toMatchObject({ status: 0 });
    expect(await daemon.berth("save", "-o", `${work}/image.tar`, name)).toMatchObject({
      status: 0,
    });
    expect((await daemon.berth("rmi", name)).status).toBe(0);
    mkdirSync(`${work}/root`);
    writeFileSync(`${work}/root/file`, text);
    Bun.spawnSync(["tar", "-cf", `${work}/root.tar`, "-C", `${work}/root`, "."]);
    const acts = [
      ["load", "-i", `${work}/image.tar`],
      ["import", `${work}/root.tar`, "imported:1"],
      ["pull", name],
    ];
    await settled(0);
    const free = available();
    // Room for a part of the archive, for all of it and a part of the layer, and for both and nothing more.
    for (const room of [1.5, 4, 5.2])
      for (const act of acts) {
        await settled(free);
        writeFileSync(`${small}/fill`, new Uint8Array(available() - room * 1_000_000));
        const done = await daemon.berth(...act);
        expect([room, act[0], done.status]).toEqual([room, act[0], 1]);
        expect([act[0], done.out + done.err]).toEqual([
          act[0],
          expect.stringMatching(/no space left|ENOSPC|full/i),
        ]);
        rmSync(`${small}/fill`);
        // What has come of the pull is kept to go on with, until somebody wants the room back.
        await daemon.berth("image", "prune", "-f");
        await expectNothingLeft();
      }
    for (const act of acts) expect(await daemon.berth(...act)).toMatchObject({ status: 0 });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
