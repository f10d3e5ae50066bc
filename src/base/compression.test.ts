/** Decompressing: several members and frames, and damaged ones. */
import { expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { checkAll, damaged, valueOrFault } from "../../tests/kits/fuzz.ts";
import { type ByteStream, decompress } from "./compression.ts";

const text = Buffer.from("a layer's bytes, over and over. ".repeat(2000));
const whole = { gzip: gzipSync(text), zstd: zstdCompressSync(text) };

async function* pieces(bytes: Uint8Array, size: number): ByteStream {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function plain(bytes: Uint8Array, size = 1000): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of await decompress(pieces(bytes, size))) all.push(piece);
  return Buffer.concat(all);
}

test.each(["gzip", "zstd"] as const)("%s, one and several", async (kind) => {
  const one = whole[kind];
  expect(await plain(one)).toEqual(text);
  expect(await plain(one, 1)).toEqual(text);
  expect(await plain(Buffer.concat([one, one]))).toEqual(Buffer.concat([text, text]));
  // Wherever it is cut, but behind its end.
  for (let at = 7; at < one.length; at += 3)
    await expect(plain(one.subarray(0, at))).rejects.toThrow("damaged or cut short");
});

test("what is not compressed is passed on", async () => {
  expect(await plain(text)).toEqual(text);
  expect(await plain(Buffer.from("ab"), 1)).toEqual(Buffer.from("ab"));
  expect(await plain(Buffer.alloc(0))).toEqual(Buffer.alloc(0));
});

test.each(["gzip", "zstd"] as const)(
  "whatever comes as %s, it is read or a Fault",
  async (kind) => {
    const corpus = [whole[kind], Buffer.concat([whole[kind], whole[kind]])];
    const sizes = fc.integer({ min: 1, max: 5000 });
    await checkAll(fc.tuple(damaged(corpus), sizes), async ([bytes, size]) => {
      await valueOrFault(() => plain(bytes, size));
    });
  },
);
