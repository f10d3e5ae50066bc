/** Reading archives: those of GNU tar in each of its formats, and damaged ones. */
import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { checkAll, damaged, valueOrFault } from "../../tests/kits/fuzz.ts";
import type { ByteStream } from "./compression.ts";
import { TarReader } from "./tar.ts";
import { tarHeader } from "./tar-writer.ts";

const LONG = `${"long-name/".repeat(15)}file`;

/** An archive with a bit of everything. */
function archive(format: string): Uint8Array {
  const directory = mkdtempSync("/tmp/berth-tar-");
  try {
    if (format !== "v7") {
      mkdirSync(`${directory}/${LONG}`.replace(/\/[^/]*$/, ""), { recursive: true });
      writeFileSync(`${directory}/${LONG}`, "deep");
      execFileSync("mkfifo", ["fifo"], { cwd: directory });
    }
    writeFileSync(`${directory}/plain`, "x".repeat(1000));
    writeFileSync(`${directory}/größe`, "");
    symlinkSync("plain", `${directory}/link`);
    execFileSync("ln", ["plain", "hard"], { cwd: directory });
    const how = format === "pax" ? ["--mtime=@1.5", "--xattrs"] : ["--mtime=@1"];
    return execFileSync("tar", ["-c", `--format=${format}`, ...how, "."], { cwd: directory });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const formats = ["gnu", "pax", "ustar", "v7"] as const;
const corpus = formats.map(archive);

async function* pieces(bytes: Uint8Array, size: number): ByteStream {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function entriesOf(bytes: Uint8Array, size = 10_000) {
  const reader = new TarReader(pieces(bytes, size));
  const found = new Map<string, number>();
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    let length = 0;
    for await (const piece of reader.data()) length += piece.length;
    found.set(entry.path, length);
    expect(length).toBe(entry.size);
    for (const number of [entry.uid, entry.gid, entry.mtime, entry.major, entry.minor])
      expect(Number.isFinite(number)).toBe(true);
    expect(entry.mode).toBeLessThanOrEqual(0o7777);
  }
  return found;
}

test.each([0, 1, 2])("GNU tar's format %#", async (at) => {
  const found = await entriesOf(corpus[at] ?? new Uint8Array(0));
  expect(found.get(`./${LONG}`)).toBe(4);
  expect(found.get("./größe")).toBe(0);
  expect(found.get("./link")).toBe(0);
  // Whatever the pieces are that it comes in.
  expect(await entriesOf(corpus[at] ?? new Uint8Array(0), 7)).toEqual(found);
});

/** A header whose checksum holds, whatever else is in it. */
function sealed(block: Uint8Array): Uint8Array {
  const copy = block.slice();
  copy.fill(0x20, 148, 156);
  const sum = copy.reduce((all, byte) => all + byte, 0);
  copy.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return copy;
}

test("whatever an archive is, it is read or a Fault", async () => {
  await checkAll(fc.tuple(damaged(corpus), fc.integer({ min: 1, max: 20_000 })), ([bytes, size]) =>
    valueOrFault(() => entriesOf(bytes, size)),
  );
});

test("whatever is in a header with a good checksum, it is read or a Fault", async () => {
  const plain = tarHeader({
    path: "a",
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 3,
    mtime: 0,
    linkPath: "",
    major: 0,
    minor: 0,
    xattrs: new Map(),
  }).subarray(0, 512);
  const fields = fc.array(fc.tuple(fc.nat(511), fc.uint8Array({ minLength: 1, maxLength: 12 })), {
    maxLength: 5,
  });
  const kinds = fc.constantFrom(..."0\x00123456 7xgLKSVDNX".split(""));
  await checkAll(fc.tuple(fields, kinds), ([edits, kind]) => {
    const block = plain.slice();
    for (const [at, bytes] of edits) block.set(bytes.subarray(0, 512 - at), at);
    block[156] = kind.charCodeAt(0);
    const after = Buffer.alloc(2048, "12 path=abc\n");
    return valueOrFault(() => entriesOf(Buffer.concat([sealed(block), after])));
  });
});

test("whatever is in a pax header, it is read or a Fault", async () => {
  const records = [
    "30 mtime=1350244992.023960108\n",
    "12 path=abc\n",
    "13 size=1000\n",
    "27 SCHILY.xattr.user.a=bcde\n",
  ];
  await checkAll(damaged([records.join(""), ...records]), (data) => {
    const header = (path: string, kind: string, size: number) => {
      const block = tarHeader({
        path,
        type: "file",
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        mtime: 0,
        linkPath: "",
        major: 0,
        minor: 0,
        xattrs: new Map(),
      }).subarray(0, 512);
      const copy = block.slice();
      copy[156] = kind.charCodeAt(0);
      return sealed(copy);
    };
    const padding = Buffer.alloc((512 - (data.length % 512)) % 512);
    const whole = [
      header("pax", "x", data.length),
      data,
      padding,
      header("a", "0", 3),
      Buffer.alloc(2560),
    ];
    return valueOrFault(() => entriesOf(Buffer.concat(whole)));
  });
});
