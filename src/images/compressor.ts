/**
 * How a blob was compressed: found out by trying, so that the same bytes come out again. What another program's algorithm
 * made does not, and is told so.
 */
import { Readable } from "node:stream";
import {
  constants,
  crc32,
  createDeflateRaw,
  createZstdCompress,
  type ZlibOptions,
} from "node:zlib";
import type { ByteStream } from "../base/compression.ts";

/** The settings that a compressed blob was made with. */
export type Form =
  | { readonly kind: "plain" }
  | {
      readonly kind: "gzip";
      /** The member's header, in base 64. */
      readonly header: string;
      readonly level: number;
      readonly memory: number;
    }
  | { readonly kind: "zstd"; readonly level: number; readonly checksum: boolean };

/** Another version may make other bytes of the same. */
export const compressorVersion = `zlib ${process.versions.zlib}, zstd ${process.versions.zstd}`;

/** Pieces of one size: the compressor's output depends on the sizes of what it is given. */
const PIECE = 1 << 18;
/** So much is compressed to see whether settings fit. */
const SAMPLE = 4 * PIECE;
const HEADER_MAX = 4096;

/** The same bytes in pieces of one size. */
async function* evenly(source: ByteStream): ByteStream {
  let held = Buffer.alloc(0);
  for await (const chunk of source) {
    held = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk]);
    while (held.length >= PIECE) {
      yield held.subarray(0, PIECE);
      held = held.subarray(PIECE);
    }
  }
  if (held.length > 0) yield held;
}

function deflater(level: number, memory: number) {
  const options: ZlibOptions = { level, memLevel: memory, chunkSize: PIECE };
  return createDeflateRaw(options);
}

function zstandard(level: number, checksum: boolean) {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_checksumFlag]: checksum ? 1 : 0,
  };
  return createZstdCompress({ params, chunkSize: PIECE });
}

async function* gzipped(source: ByteStream, form: Form & { kind: "gzip" }): ByteStream {
  let [sum, size] = [0, 0];
  const counted = (async function* () {
    for await (const chunk of evenly(source)) {
      sum = crc32(chunk, sum);
      size += chunk.length;
      yield chunk;
    }
  })();
  yield Buffer.from(form.header, "base64");
  const input = Readable.from(counted, { objectMode: false });
  const engine = deflater(form.level, form.memory);
  input.on("error", (error) => engine.destroy(error));
  for await (const chunk of input.pipe(engine)) yield chunk as Uint8Array;
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(sum, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield trailer;
}

/** Compresses as a form says. */
export async function* compressAs(source: ByteStream, form: Form): ByteStream {
  if (form.kind === "plain") yield* source;
  else if (form.kind === "gzip") yield* gzipped(source, form);
  else {
    const input = Readable.from(evenly(source), { objectMode: false });
    const engine = zstandard(form.level, form.checksum);
    input.on("error", (error) => engine.destroy(error));
    for await (const chunk of input.pipe(engine)) yield chunk as Uint8Array;
  }
}

/** The header of a gzip member (RFC 1952); undefined when there is none, or a longer one than anybody writes. */
export function gzipHeader(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes[2] !== 8) return undefined;
  const flags = bytes[3] ?? 0;
  let at = 10;
  if (flags & 4) at += 2 + (bytes[10] ?? 0) + 256 * (bytes[11] ?? 0);
  for (const flag of [8, 16])
    if (flags & flag) {
      const end = bytes.indexOf(0, at);
      if (end < 0) return undefined;
      at = end + 1;
    }
  if (flags & 2) at += 2;
  return at < Math.min(bytes.length, HEADER_MAX) ? bytes.slice(0, at) : undefined;
}

function candidates(head: Uint8Array): Form[] {
  const header = gzipHeader(head);
  if (header !== undefined) {
    const text = Buffer.from(header).toString("base64");
    const levels = [6, 9, 1, 5, 4, 7, 8, 3, 2];
    return [8, 9].flatMap((memory) =>
      levels.map((level): Form => ({ kind: "gzip", header: text, level, memory })),
    );
  }
  if (head[0] !== 0x28 || head[1] !== 0xb5) return [];
  const checksum = ((head[4] ?? 0) & 4) !== 0;
  return [3, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 19].map((level) => ({
    kind: "zstd",
    level,
    checksum,
  }));
}

/** What comes out of a compressor that has been given a sample and no end: whole blocks, as they stand in the blob. */
async function begun(form: Form, sample: readonly Uint8Array[]): Promise<Buffer> {
  const engine =
    form.kind === "gzip"
      ? deflater(form.level, form.memory)
      : zstandard(form.kind === "zstd" ? form.level : 3, form.kind === "zstd" && form.checksum);
  const pieces: Uint8Array[] = form.kind === "gzip" ? [Buffer.from(form.header, "base64")] : [];
  engine.on("data", (piece: Uint8Array) => pieces.push(piece));
  for (const piece of sample) await new Promise((done) => engine.write(piece, done));
  await new Promise(setImmediate);
  engine.destroy();
  return Buffer.concat(pieces);
}

/**
 * The forms that a blob may be of, by its beginning and its archive's: the likeliest first, none when nothing here makes
 * such bytes.
 */
export async function likelyForms(head: Uint8Array, tar: ByteStream): Promise<Form[]> {
  const sample: Uint8Array[] = [];
  let length = 0;
  for await (const piece of evenly(tar)) {
    sample.push(piece.slice());
    length += piece.length;
    if (length >= SAMPLE) break;
  }
  const found: Form[] = [];
  for (const form of candidates(head)) {
    const made = await begun(form, sample);
    const compared = Math.min(made.length, head.length);
    if (Buffer.compare(made.subarray(0, compared), head.subarray(0, compared)) === 0)
      found.push(form);
  }
  // Of a small archive nothing may have come out yet: then all are tried, which costs little.
  return length < SAMPLE ? found : found.slice(0, 3);
}
