/**
 * A recipe: what of a layer's archive is not in its unpacked files (headers, padding, what follows the end), with a mark
 * where each file's content stood. From it and the files the archive comes out again, byte for byte; whoever rebuilds one
 * compares its digest.
 */
import { closeSync, readSync } from "node:fs";
import { type ByteStream, decompress } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import type { ArchiveFiles } from "../tree/index.ts";

const RAW = 0;
const FILE = 1;
const CHUNK = 1 << 18;
/** Kind and length. */
const HEAD = 9;

/** Keeps what passes until it is taken. */
class Tap {
  private pieces: Uint8Array[] = [];
  private length = 0;

  async *through(source: ByteStream): ByteStream {
    for await (const chunk of source) {
      this.pieces.push(chunk);
      this.length += chunk.length;
      yield chunk;
    }
  }

  /** What has passed since the last time, but for the last `unread` bytes. */
  take(unread: number): Uint8Array[] {
    const taken: Uint8Array[] = [];
    while (this.length > unread) {
      const first = this.pieces.shift();
      if (first === undefined) break;
      const part = first.subarray(0, this.length - unread);
      if (part.length < first.length) this.pieces.unshift(first.subarray(part.length));
      this.length -= part.length;
      taken.push(part);
    }
    return taken;
  }
}

function head(kind: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(HEAD);
  bytes[0] = kind;
  bytes.writeBigUInt64BE(BigInt(length), 1);
  return bytes;
}

function* rawRecord(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  // A copy: what is taken from a stream is only good until the stream goes on.
  const whole = Buffer.concat(pieces);
  if (whole.length === 0) return;
  yield head(RAW, whole.length);
  yield whole;
}

/** Takes an archive apart: gives the recipe, uncompressed. Throws a Fault "invalid" for a damaged archive. */
export async function* recipeOf(tar: ByteStream): ByteStream {
  const tap = new Tap();
  const reader = new TarReader(tap.through(tar));
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    if (entry.type !== "file" || entry.size === 0) continue;
    yield* rawRecord(tap.take(reader.unread));
    const path = Buffer.from(entry.path);
    yield head(FILE, entry.size);
    yield head(RAW, path.length);
    yield path;
    for await (const _ of reader.data()) tap.take(reader.unread);
  }
  yield* rawRecord(tap.take(reader.unread));
  await reader.drain();
  yield* rawRecord(tap.take(0));
}

/** Reads a recipe's records from its stream. */
class Records {
  private readonly iterator: AsyncIterator<Uint8Array>;
  private chunk: Uint8Array = new Uint8Array(0);

  constructor(source: ByteStream) {
    this.iterator = source[Symbol.asyncIterator]();
  }

  /** Between 1 and `most` bytes; none at the end. */
  async some(most: number): Promise<Uint8Array> {
    while (this.chunk.length === 0) {
      const next = await this.iterator.next();
      if (next.done) return this.chunk;
      this.chunk = next.value;
    }
    const piece = this.chunk.subarray(0, most);
    this.chunk = this.chunk.subarray(piece.length);
    return piece;
  }

  async exactly(length: number): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for (let have = 0; have < length; ) {
      const piece = await this.some(length - have);
      if (piece.length === 0) throw damaged();
      pieces.push(piece);
      have += piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** A record's kind and length; undefined at the end. */
  async head(): Promise<{ kind: number; length: number } | undefined> {
    const first = await this.some(1);
    if (first.length === 0) return undefined;
    const kind = first[0] ?? 0;
    return { kind, length: Number((await this.exactly(HEAD - 1)).readBigUInt64BE()) };
  }
}

function damaged(): Error {
  return fault("failed", "recipe", "the recipe of a layer's archive is damaged");
}

/** The content of a file, which must be of the size that it had in the archive. */
async function* contentOf(files: ArchiveFiles, path: string, size: number): ByteStream {
  const { fd, size: found } = files.open(path);
  try {
    if (found !== size)
      throw fault(
        "failed",
        "recipe",
        `the unpacked file ${JSON.stringify(path)} has ${found} bytes instead of ${size}`,
      );
    for (let at = 0; at < size; ) {
      const chunk = new Uint8Array(Math.min(CHUNK, size - at));
      const length = readSync(fd, chunk, 0, chunk.length, at);
      if (length === 0) throw damaged();
      at += length;
      yield chunk.subarray(0, length);
      // So that a large file leaves the others their turns.
      await new Promise(setImmediate);
    }
  } finally {
    closeSync(fd);
  }
}

/** The archive that a recipe (compressed or not) and unpacked files make. Rejects with what stands against it. */
export async function* rebuildTar(recipe: ByteStream, files: ArchiveFiles): ByteStream {
  const records = new Records(await decompress(recipe));
  for (let record = await records.head(); record !== undefined; record = await records.head()) {
    if (record.kind === FILE) {
      const name = await records.head();
      if (name === undefined || name.kind !== RAW) throw damaged();
      const path = (await records.exactly(name.length)).toString();
      yield* contentOf(files, path, record.length);
      continue;
    }
    if (record.kind !== RAW) throw damaged();
    for (let left = record.length; left > 0; ) {
      const piece = await records.some(left);
      if (piece.length === 0) throw damaged();
      left -= piece.length;
      yield piece;
    }
  }
}
