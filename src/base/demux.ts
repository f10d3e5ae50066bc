/**
 * Docker's framing of a container's output without a terminal: an 8-byte header (stream number, three zeros,
 * length as big-endian 32 bit) before each piece.
 */

/** Splits framed output into its streams; pieces may be cut anywhere. */
export class Demultiplexer {
  #header = new Uint8Array(8);
  #have = 0;
  #left = 0;

  constructor(readonly sink: (stream: 0 | 1 | 2 | 3, bytes: Uint8Array) => void) {}

  /** Takes framed bytes and hands their payload on. Throws an Error when the framing is broken. */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const piece = bytes.subarray(at, at + this.#left);
        at += piece.length;
        this.#left -= piece.length;
        this.sink(streamOf(this.#header[0]), piece);
        continue;
      }
      const part = bytes.subarray(at, at + 8 - this.#have);
      this.#header.set(part, this.#have);
      this.#have += part.length;
      at += part.length;
      if (this.#have < 8) return;
      this.#have = 0;
      this.#left = new DataView(this.#header.buffer).getUint32(4);
    }
  }
}

function streamOf(number: number | undefined): 0 | 1 | 2 | 3 {
  if (number === 0 || number === 1 || number === 2 || number === 3) return number;
  throw new Error(`Unrecognized input header: ${number}`);
}
