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

type Compression = "gzip" | "zstd" | HostCompression;

const magics: readonly { readonly name: Compression; readonly bytes: readonly number[] }[] = [
  { name: "gzip", bytes: [0x1f, 0x8b] },
  { name: "zstd", bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: "bzip2", bytes: [0x42, 0x5a, 0x68] },
  { name: "xz", bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
];

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

/** Gives the plain bytes of a stream: gzip, zstd, and by the host's programs bzip2 and xz; anything else is plain already. */
export async function decompress(source: ByteStream): Promise<ByteStream> {
  const iterator = source[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let length = 0;
  while (length < 6) {
    const next = await iterator.next();
    if (next.done) break;
    head.push(next.value);
    length += next.value.length;
  }
  const start = Buffer.concat(head);
  const found = magics.find(({ bytes }) => bytes.every((byte, at) => start[at] === byte));
  const whole = rejoin(head, iterator);
  if (found === undefined) return whole;
  if (found.name === "gzip" || found.name === "zstd") return inflate(whole, found.name);
  return decompressByHost(found.name, whole);
}
