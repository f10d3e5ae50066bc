/** Threads that unpack archives while they arrive. */
import { afterAll, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { gzipSync } from "node:zlib";
import { ArrivingFile } from "../base/arriving-file.ts";
import { messageOf } from "../base/errors.ts";
import type { TarType } from "../base/tar.ts";
import { tarEnd, tarHeader, tarPadding } from "../base/tar-writer.ts";
import { Unpacker } from "./unpacker.ts";

const dir = mkdtempSync("/tmp/berth-unpacker-");
afterAll(() => rmSync(dir, { recursive: true }));
const made: string[] = [];
const unpacker = new Unpacker({
  mknod: async (path) => {
    made.push(path);
    if (path.endsWith("refused")) throw Object.assign(new Error("not here"), { code: "EPERM" });
  },
  setXattr: async () => {},
  xattrs: async () => new Map(),
});
let counter = 0;

function entry(path: string, text: string, type: TarType = "file"): Uint8Array {
  const about = { mode: 0o644, uid: 0, gid: 0, mtime: 0, linkPath: "", major: 1, minor: 3 };
  const header = tarHeader({ ...about, path, type, size: text.length, xattrs: new Map() });
  return Buffer.concat([header, Buffer.from(text), tarPadding(text.length)]);
}

/** Begins to unpack a file of which nothing has come yet. */
function begin() {
  const [path, directory] = [`${dir}/${++counter}.tar`, `${dir}/${counter}`];
  writeFileSync(path, "");
  mkdirSync(directory);
  const archive = new ArrivingFile(path);
  const done = unpacker.unpack({ archive, directory, whiteouts: "overlay", written() {} });
  done.catch(() => {});
  let size = 0;
  const arrive = (bytes: Uint8Array) => {
    appendFileSync(path, bytes);
    size += bytes.length;
    archive.grow(size);
  };
  return { archive, directory, done, arrive };
}

/** Why something rejects. Bun's own `rejects` waits in a loop of its own, in which threads are not heard. */
function reasonOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => "it did not", messageOf);
}

async function appears(path: string): Promise<void> {
  while (!existsSync(path)) await Bun.sleep(5);
}

const digest = (bytes: Uint8Array) =>
  `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;

test("what has come is unpacked before the rest is there; the writer's digest is the diff id", async () => {
  const { archive, directory, done, arrive } = begin();
  arrive(entry("first", "1"));
  await appears(`${directory}/first`);
  arrive(Buffer.concat([entry("second", "22"), tarEnd()]));
  archive.finish("sha256:told");
  expect(await done).toEqual({ diffId: "sha256:told", size: 3 });
  expect(readFileSync(`${directory}/second`, "utf8")).toBe("22");
});

test("a compressed archive's diff id is that of what is in it", async () => {
  const tar = Buffer.concat([entry("a", "x".repeat(300_000)), tarEnd()]);
  const { archive, done, arrive } = begin();
  const bytes = gzipSync(tar);
  arrive(bytes.subarray(0, 100));
  arrive(bytes.subarray(100));
  archive.finish(digest(bytes));
  expect(await done).toEqual({ diffId: digest(tar), size: 300_000 });
});

test("a writer that gives up ends it with its own error, and others go on", async () => {
  const [one, other] = [begin(), begin()];
  one.arrive(entry("half", "1"));
  await appears(`${one.directory}/half`);
  one.archive.fail(Object.assign(new Error("the line is cut"), { code: "ECUT" }));
  expect(await reasonOf(one.done)).toBe("the line is cut");
  other.arrive(tarEnd());
  other.archive.finish("sha256:empty");
  expect(await other.done).toEqual({ diffId: "sha256:empty", size: 0 });
});

test("devices come from the daemon's helper, and its refusal names the entry", async () => {
  const good = begin();
  good.arrive(Buffer.concat([entry("null", "", "fifo").subarray(0, 512), tarEnd()]));
  good.archive.finish("sha256:x");
  await good.done.catch(() => {});
  expect(made.some((path) => path.endsWith("/null"))).toBe(true);
  const bad = begin();
  bad.arrive(Buffer.concat([entry("refused", "", "char").subarray(0, 512), tarEnd()]));
  bad.archive.finish("sha256:x");
  expect(await reasonOf(bad.done)).toContain('"refused" is refused: not here');
});

test("more archives than threads have hands are all unpacked", async () => {
  const all = Array.from({ length: 40 }, begin);

  for (const [index, { arrive, archive }] of all.entries()) {
    arrive(Buffer.concat([entry(`f${index}`, "1"), tarEnd()]));
    archive.finish("sha256:x");
  }
  const ends = await Promise.all(all.map(({ done }) => done));
  expect(ends.length).toBe(40);
  for (const [index, { directory }] of all.entries())
    expect(existsSync(`${directory}/f${index}`)).toBe(true);
});
