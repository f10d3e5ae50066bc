/** Blobs that are dropped and made again: the same bytes or none, whatever wrote the archive. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { Readable, type Transform } from "node:stream";
import { createGzip, createZstdCompress } from "node:zlib";
import { idleKernel } from "../../tests/kits/idle-kernel.ts";
import type { ByteStream } from "../base/compression.ts";
import { openDriver } from "../storage/index.ts";
import { ArchiveFiles } from "../tree/index.ts";
import type { KeepBlobs } from "./dropped.ts";
import { rebuildTar, recipeOf } from "./recipe.ts";
import type { ImageUsers } from "./removal.ts";
import { ImageStore } from "./store.ts";

let dir: string;
let store: ImageStore;
const noUsers: ImageUsers = { of: () => [], chains: new Set() };

beforeEach(async () => {
  dir = mkdtempSync("/tmp/berth-dropped-");
  await open("never");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function open(keepBlobs: KeepBlobs): Promise<void> {
  const driver = await openDriver("overlay2", `${dir}/overlay2`, idleKernel);
  store = new ImageStore({
    root: `${dir}/content`,
    db: new Database(`${dir}/db`),
    driver,
    keepBlobs,
  });
}

async function* stream(bytes: Uint8Array, size = 1000): ByteStream {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function bytesOf(source: ByteStream): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece.slice());
  return Buffer.concat(pieces);
}

const sha = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

/** A directory with all sorts of files, and an archive of it by GNU tar. */
function tar(...flags: string[]): Buffer {
  const from = `${dir}/from`;
  rmSync(from, { recursive: true, force: true });
  mkdirSync(`${from}/${"long/".repeat(40)}`, { recursive: true });
  writeFileSync(`${from}/empty`, "");
  writeFileSync(`${from}/a`, "a");
  writeFileSync(`${from}/block`, new Uint8Array(512));
  writeFileSync(`${from}/${"n".repeat(150)}`, "a long name");
  writeFileSync(`${from}/${"long/".repeat(40)}file`, randomBytes(700_001));
  writeFileSync(`${from}/text`, "some words, again and again. ".repeat(60_000));
  Bun.spawnSync(["ln", `${from}/a`, `${from}/hard`]);
  Bun.spawnSync(["ln", "-s", "a", `${from}/soft`]);
  const done = Bun.spawnSync(["tar", "-c", ...flags, "-C", from, "."]);
  if (done.exitCode !== 0) throw new Error(done.stderr.toString());
  return done.stdout as Buffer;
}

/** An image archive with these layers' blobs, each with its diff id. Its name makes it another image. */
function archive(layers: readonly { blob: Uint8Array; diff: string }[], name: string): Buffer {
  const into = mkdtempSync(`${dir}/archive-`);
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    author: name,
    rootfs: { type: "layers", diff_ids: layers.map(({ diff }) => `sha256:${diff}`) },
  });
  writeFileSync(`${into}/config.json`, config);
  for (const [i, { blob }] of layers.entries()) writeFileSync(`${into}/${i}.tar`, blob);
  writeFileSync(
    `${into}/manifest.json`,
    JSON.stringify([
      { Config: "config.json", RepoTags: [name], Layers: layers.map((_, i) => `${i}.tar`) },
    ]),
  );
  return Bun.spawnSync(["tar", "-c", "-C", into, "."], { maxBuffer: 1 << 28 }).stdout as Buffer;
}

const blobFile = (bytes: Uint8Array) => `${dir}/content/blobs/sha256/${sha(bytes)}`;
const recipeFile = (bytes: Uint8Array) => `${dir}/content/recipes/${sha(bytes)}`;

async function load(blob: Uint8Array, plain: Uint8Array, name = "x:1"): Promise<void> {
  await store.load(stream(archive([{ blob, diff: sha(plain) }], name), 65_536));
  await store.upkeep.settled();
}

/** Compressed by a pipe, as a program does that streams. */
function through(engine: Transform, plain: Buffer): Promise<Buffer> {
  const source = Readable.from(stream(plain, 1 << 18), { objectMode: false });
  return bytesOf(source.pipe(engine) as unknown as ByteStream);
}

test.each(["--format=gnu", "--format=pax", "-b1", "-b200"])(
  "an archive comes out of its recipe and its files again: tar %s",
  async (flag) => {
    const plain = tar(flag);
    const files = new ArchiveFiles(`${dir}/from`);
    for (const size of [511, 512, 4096, 100_000, plain.length]) {
      const recipe = await bytesOf(recipeOf(stream(plain, size)));
      expect(recipe.length).toBeLessThan(plain.length / 10);
      expect(sha(await bytesOf(rebuildTar(stream(recipe, size), files)))).toBe(sha(plain));
    }
    files.close();
  },
);

test("a plain layer's blob goes, is here while somebody needs it, and goes again", async () => {
  const plain = tar();
  await load(plain, plain);
  expect(existsSync(blobFile(plain))).toBe(false);
  expect(readFileSync(recipeFile(plain)).length).toBeLessThan(plain.length / 50);
  await store.withBlobs(store.resolve("x:1"), async () => {
    expect(sha(readFileSync(blobFile(plain)))).toBe(sha(plain));
  });
  await store.upkeep.settled();
  expect(existsSync(blobFile(plain))).toBe(false);
  // The same again changes nothing, and with its image goes everything.
  await load(plain, plain, "y:1");
  expect(existsSync(blobFile(plain))).toBe(false);
  store.remove({ name: "x:1", force: false }, noUsers);
  store.remove({ name: "y:1", force: false }, noUsers);
  expect(readdirSync(`${dir}/content/recipes`)).toEqual([]);
  expect(readdirSync(`${dir}/content/blobs/sha256`)).toEqual([]);
});

test.each([
  ["gzip 6", () => createGzip({ chunkSize: 1 << 18 }), true],
  ["gzip 9", () => createGzip({ level: 9 }), true],
  ["gzip 1", () => createGzip({ level: 1 }), true],
  ["zstd 3", () => createZstdCompress(), true],
  ["gzip with a window that nobody has", () => createGzip({ windowBits: 9 }), false],
] as const)("a blob of %s comes out again, or stays", async (_name, engine, again) => {
  const plain = tar();
  const blob = await through(engine(), plain);
  await load(blob, plain);
  expect(existsSync(blobFile(blob))).toBe(!again);
  await store.withBlobs(store.resolve("x:1"), async () => {
    expect(sha(readFileSync(blobFile(blob)))).toBe(sha(blob));
  });
  await store.upkeep.settled();
  expect(existsSync(blobFile(blob))).toBe(!again);
  expect(store.upkeep.keptBlobs()).toEqual(
    again
      ? []
      : [{ digest: `sha256:${sha(blob)}`, why: "no compressor here makes the same bytes" }],
  );
});

test("an archive whose files are not what it says stays", async () => {
  // The second entry of a name takes the first one's place.
  const first = tar();
  writeFileSync(`${dir}/from/block`, new Uint8Array(512).fill(7));
  writeFileSync(`${dir}/once.tar`, first);
  Bun.spawnSync(["tar", "-r", "-f", `${dir}/once.tar`, "-C", `${dir}/from`, "./block"]);
  const twice = readFileSync(`${dir}/once.tar`);
  await load(twice, twice);
  expect(existsSync(blobFile(twice))).toBe(true);
  expect(store.upkeep.keptBlobs()[0]?.why).toMatch(/does not come out|instead of/);
});

test("compressed blobs stay where only plain ones are to go; with always, everything stays", async () => {
  await open("compressed");
  const plain = tar();
  const blob = await through(createGzip(), plain);
  await load(blob, plain);
  await load(plain, plain, "y:1");
  expect([existsSync(blobFile(blob)), existsSync(blobFile(plain))]).toEqual([true, false]);
  await open("always");
  await store.withBlobs(store.resolve("y:1"), async () => {});
  await store.upkeep.settled();
  expect(existsSync(blobFile(plain))).toBe(true);
  store.upkeep.sweep(new Set());
  expect(existsSync(recipeFile(plain))).toBe(false);
});

test("what has been changed under it is never handed out", async () => {
  const plain = tar();
  await load(plain, plain);
  const [layer] = readdirSync(`${dir}/overlay2/layers`);
  const file = `${dir}/overlay2/layers/${layer}/text`;
  const text = readFileSync(file, "utf8");
  let called = false;
  const use = () =>
    store.withBlobs(store.resolve("x:1"), async () => {
      called = true;
    });
  writeFileSync(file, text.replace("words", "wordz"));
  await expect(use()).rejects.toThrow(
    /blob sha256:.* cannot be rebuilt: what comes out has the digest/,
  );
  writeFileSync(file, "short");
  await expect(use()).rejects.toThrow(/cannot be rebuilt: the unpacked file ".\/text" has 5 bytes/);
  rmSync(file);
  await expect(use()).rejects.toThrow(/cannot be rebuilt: ENOENT/);
  expect(called).toBe(false);
  expect(readdirSync(`${dir}/content/ingest`)).toEqual([]);
  writeFileSync(file, text);
  await use();
  expect(called).toBe(true);
});
