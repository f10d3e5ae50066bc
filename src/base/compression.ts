/**
 * Streams of bytes, decompressed by what they begin with.
 */
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { fault, messageOf } from "./errors.ts";
import { decompressByHost, type HostCompression } from "./host-decompress.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/** A stream of bytes, as the rest of berth passes it around. */
export type ByteStream = AsyncIterable<Uint8Array>;

/** What is read besides plain bytes. */
export type Compression = "gzip" | "zstd" | HostCompression;

const magics: readonly { readonly name: Compression; readonly bytes: readonly number[] }[] = [
  { name: "gzip", bytes: [0x1f, 0x8b] },
  { name: "zstd", bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: "bzip2", bytes: [0x42, 0x5a, 0x68] },
  { name: "xz", bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
];

const MAGIC_MAX = Math.max(...magics.map(({ bytes }) => bytes.length));

/** Puts bytes that were read ahead back in front. Whoever stops reading ends the rest. */
export async function* rejoin(
  head: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): ByteStream {
  try {
    yield* head;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/** The same stream; throws at its end when that is in the middle of a zstd frame. */
async function* wholeFrames(source: ByteStream): ByteStream {
  const frames = new ZstdFrames();
  for await (const piece of source) {
    frames.push(piece);
    yield piece;
  }
  if (!frames.complete) throw new Error("unexpected end of file");
}

async function* inflate(source: ByteStream, name: string): ByteStream {
  // 256 KiB: with the default 16 KiB the calls cost more than the work.
  const chunkSize = 256 * 1024;
  const engine =
    name === "gzip" ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize });
  const input = Readable.from(name === "zstd" ? wholeFrames(source) : source, {
    objectMode: false,
  });
  input.on("error", (error) => engine.destroy(error));
  try {
    for await (const chunk of input.pipe(engine)) yield chunk as Uint8Array;
  } catch (error) {
    throw fault(
      "invalid",
      "compressed-stream",
      `the ${name} stream is damaged or cut short: ${messageOf(error)}`,
      error,
    );
  } finally {
    input.destroy();
    engine.destroy();
  }
}

/** Reads at least `length` bytes ahead, unless there are fewer. `whole` gives them again, and the rest. */
export async function readAhead(
  source: ByteStream,
  length: number,
): Promise<{ readonly head: Uint8Array; readonly whole: ByteStream }> {
  const iterator = source[Symbol.asyncIterator]();
  const pieces: Uint8Array[] = [];
  for (let have = 0; have < length; ) {
    const next = await iterator.next();
    if (next.done) break;
    // The source may use its buffer again.
    pieces.push(Uint8Array.from(next.value));
    have += next.value.length;
  }
  const head = Buffer.concat(pieces);
  return { head, whole: rejoin(head.length > 0 ? [head] : [], iterator) };
}

/** What bytes that begin with `head` are compressed with; undefined when they are not. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  return magics.find(({ bytes }) => bytes.every((byte, at) => head[at] === byte))?.name;
}

/**
 * Gives the plain bytes of a stream: gzip, zstd, and by the host's programs bzip2 and xz; anything else is plain already.
 * `found` hears of the compression before this resolves, unless there is none.
 */
export async function decompress(
  source: ByteStream,
  found: (compression: string) => void = () => {},
): Promise<ByteStream> {
  const { head, whole } = await readAhead(source, MAGIC_MAX);
  const name = compressionOf(head);
  if (name === undefined) return whole;
  found(name);
  if (name === "gzip" || name === "zstd") return inflate(whole, name);
  return decompressByHost(name, whole);
}
