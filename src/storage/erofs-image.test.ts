/** Images as another reader of the format finds them, and what is kept in memory while one is written. */
import { afterAll, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { type DirectoryEntry, ErofsWriter } from "./erofs-image.ts";

const dir = mkdtempSync("/tmp/berth-erofs-");
afterAll(() => rmSync(dir, { recursive: true }));

const plain = { uid: 0, gid: 0, mtime: 1_000_000_000, xattrs: new Map<string, Uint8Array>() };
const file = { ...plain, mode: 0o100644 };
const directory = { ...plain, mode: 0o040755 };

function write(path: string, fill: (image: ErofsWriter) => DirectoryEntry[]): void {
  const fd = openSync(path, "w");
  try {
    const image = new ErofsWriter(fd);
    const entries = fill(image);
    image.finish(directory, () => entries);
  } finally {
    closeSync(fd);
  }
}

function add(image: ErofsWriter, name: string, bytes: Uint8Array, xattrs = plain.xattrs) {
  const sink = image.file(bytes.length);
  for (let at = 0; at < bytes.length; at += 1000) sink.write(bytes.subarray(at, at + 1000));
  return { name, mode: file.mode, nid: sink.end({ ...file, xattrs }) };
}

const sizes = [0, 1, 63, 2047, 2048, 2049, 4095, 4096, 4097, 100_000];
const noFsck = Bun.which("fsck.erofs") === null;

test.skipIf(noFsck)(
  `fsck.erofs finds nothing wrong${noFsck ? " (skipped: it is not installed)" : ""}`,
  () => {
    const path = `${dir}/whole`;
    write(path, (image) => {
      const large = new Map([
        ["user.large", new Uint8Array(9000).fill(7)],
        ["user.other", new Uint8Array(3)],
      ]);
      const entries = sizes.map((size) => add(image, `s${size}`, new Uint8Array(size).fill(65)));
      entries.push(add(image, "attributes", new Uint8Array(5000), large));
      const link = { ...plain, mode: 0o120777 };
      entries.push({ name: "link", mode: link.mode, nid: image.link(link, "x".repeat(4000)) });
      const wide = image.directory(directory, 36, (own) => [
        ...Array.from({ length: 1000 }, (_, at) => add(image, `n${at}`, new Uint8Array([at]))),
        { name: "empty", mode: directory.mode, nid: image.directory(directory, own, () => []) },
      ]);
      return [...entries, { name: "wide", mode: directory.mode, nid: wide }];
    });
    const done = Bun.spawnSync(["fsck.erofs", path]);
    expect([done.exitCode, done.stderr.toString()]).toEqual([0, ""]);
    const dump = Bun.spawnSync(["dump.erofs", "--path=/wide", path]).stdout.toString();
    expect(dump).toContain("Links: 3");
    expect(Bun.spawnSync(["dump.erofs", "-s", path]).stdout.toString()).toMatch(
      /inode count: +1015\n/,
    );
  },
);

test("the same content makes the same image", () => {
  for (const name of ["one", "two"])
    write(`${dir}/${name}`, (image) => sizes.map((n) => add(image, `s${n}`, new Uint8Array(n))));
  expect(readFileSync(`${dir}/one`).equals(readFileSync(`${dir}/two`))).toBe(true);
});

test("a root whose attributes do not fit its place is refused", () => {
  const fd = openSync(`${dir}/root`, "w");
  const xattrs = new Map([["user.large", new Uint8Array(4000)]]);
  expect(() => new ErofsWriter(fd).finish({ ...directory, xattrs }, () => [])).toThrow(/too large/);
  closeSync(fd);
});

test("what is larger than the format can say is refused", () => {
  const fd = openSync(`${dir}/huge`, "w");
  const image = new ErofsWriter(fd);
  expect(() => image.file(2 ** 44)).toThrow(/larger than an image can be/);
  closeSync(fd);
});
