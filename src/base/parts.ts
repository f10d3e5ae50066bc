/**
 * Several streams in one, one after the other. Each is a run of pieces that begin with their length (32 bits, big end first);
 * a piece of no bytes ends it.
 */
import type { ByteStream } from "./compression.ts";
import { fault } from "./errors.ts";

/** More in one piece is nobody's honest sending. */
const PIECE_MAX = 64 << 20;

function lengthBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length);
  return bytes;
}

/** Joins streams. */
export async function* joinParts(parts: Iterable<ByteStream>): ByteStream {
  for (const part of parts) {
    for await (const piece of part) {
      if (piece.length === 0) continue;
      yield lengthBytes(piece.length);
      yield piece;
    }
    yield lengthBytes(0);
  }
}

/** Takes joined streams apart again, in their order. */
export class PartsReader {
  private readonly source: AsyncIterator<Uint8Array>;
  private held: Uint8Array = new Uint8Array();
  /** Bytes that are left of the piece that is being read. */
  private left = 0;
  private inPart = false;

  constructor(joined: AsyncIterable<Uint8Array>) {
    this.source = joined[Symbol.asyncIterator]();
  }

  /** Up to so many bytes. Throws a Fault "invalid" where the whole ends too early. */
  private async some(most: number): Promise<Uint8Array> {
    while (this.held.length === 0) {
      const next = await this.source.next();
      if (next.done) throw fault("invalid", "build-parts", "what was sent ends in the middle");
      this.held = next.value;
    }
    const found = this.held.subarray(0, most);
    this.held = this.held.subarray(found.length);
    return found;
  }

  private async beginPiece(): Promise<void> {
    const bytes = new Uint8Array(4);
    for (let have = 0; have < 4; ) {
      const found = await this.some(4 - have);
      bytes.set(found, have);
      have += found.length;
    }
    this.left = new DataView(bytes.buffer).getUint32(0);
    if (this.left > PIECE_MAX)
      throw fault("invalid", "build-parts", `a piece of ${this.left} bytes is too long`);
    if (this.left === 0) this.inPart = false;
  }

  private async *rest(): ByteStream {
    while (this.inPart) {
      if (this.left === 0) await this.beginPiece();
      if (this.left === 0) return;
      const found = await this.some(this.left);
      this.left -= found.length;
      yield found;
    }
  }

  /** The next stream. What nobody has read of the one before is passed over. */
  async next(): Promise<ByteStream> {
    for await (const _ of this.rest());
    this.inPart = true;
    return this.rest();
  }
}
