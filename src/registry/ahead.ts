/**
 * A blob by several requests at once, where one is slow: many registries give each connection only so much. The bytes
 * come in their order, and what is ahead of them is bounded.
 */
import type { ByteStream } from "../base/compression.ts";

/** What one request brings at most, once there are several. */
const PART = 2 << 20;
/** How many requests fetch what comes next, beside the one that is read. */
const AHEAD = 3;

/** Where bytes come from. */
export interface PartSource {
  /** The bytes from `from` up to `to`, without it. */
  readonly part: (from: number, to: number, signal: AbortSignal) => ByteStream;
  /** Whether it is known by now that the registry sends parts. */
  readonly sendsParts: () => boolean;
}

/** What is read. */
export interface Reading {
  readonly from: number;
  readonly size: number;
  /** After so many milliseconds it is known how fast one request is. */
  readonly hurry: number;
  readonly signal?: AbortSignal | undefined;
}

async function gathered(part: ByteStream): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for await (const piece of part) pieces.push(piece);
  return pieces;
}

/** Whether the rest would take several times as long as what is known. */
function isSlow(passed: number, done: number, left: number, hurry: number): boolean {
  return passed >= hurry && left > 2 * PART && (left / done) * passed > 3 * hurry;
}

/** The bytes of a blob in their order. */
export async function* readAhead(source: PartSource, reading: Reading): ByteStream {
  const { from, size, hurry, signal } = reading;
  const over = new AbortController();
  const both = AbortSignal.any([over.signal, ...(signal ? [signal] : [])]);
  const ahead: Promise<Uint8Array[]>[] = [];
  const began = performance.now();
  /** The next byte to read, where the first request is left, and the first byte that nobody fetches. */
  let [at, end, next] = [from, size, size];
  const more = () => {
    if (next >= size) return;
    const to = Math.min(next + PART, size);
    const part = gathered(source.part(next, to, both));
    // It is looked at in its turn.
    part.catch(() => {});
    ahead.push(part);
    next = to;
  };
  try {
    for await (const piece of source.part(from, size, both)) {
      const own = piece.subarray(0, end - at);
      at += own.length;
      yield own;
      if (at === end) break;
      const passed = performance.now() - began;
      if (end < size || !isSlow(passed, at - from, size - at, hurry) || !source.sendsParts())
        continue;
      end = next = at + PART;
      for (let i = 0; i < AHEAD; i++) more();
    }
    for (let part = ahead.shift(); part !== undefined; part = ahead.shift()) {
      const pieces = await part;
      more();
      yield* pieces;
    }
  } finally {
    over.abort(new Error("nobody reads on"));
  }
}
