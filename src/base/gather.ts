/**
 * Small pieces of a stream joined, for consumers that pay by the piece.
 */
import type { ByteStream } from "./compression.ts";

/** What a socket takes at once. */
const PIECE = 64 * 1024;

/** The same bytes in pieces of at least 64 KiB, the last one excepted. Holds nothing back that is larger by itself. */
export async function* gathered(source: ByteStream): ByteStream {
  let held: Uint8Array[] = [];
  let length = 0;
  for await (const piece of source) {
    held.push(piece);
    length += piece.length;
    if (length < PIECE) continue;
    yield held.length === 1 ? piece : Buffer.concat(held, length);
    held = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(held, length);
}
