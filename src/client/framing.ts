/**
 * Where a body ends (RFC 9112, section 6.3): by its length, by its last chunk, or with the connection.
 */
import { ChunkedDecoder } from "./chunked.ts";
import type { ResponseHead } from "./head.ts";

/** The end of one body, fed its bytes as they come. */
export class Framing {
  readonly #decoder: ChunkedDecoder | undefined;
  #left: number;

  constructor({ status, headers, bodiless }: ResponseHead) {
    const length = headers.get("content-length");
    const chunked = headers.get("transfer-encoding")?.toLowerCase() === "chunked";
    const none = bodiless || status === 204 || status === 304;
    this.#decoder = chunked && !none ? new ChunkedDecoder() : undefined;
    this.#left = none
      ? 0
      : chunked || length === undefined
        ? Number.POSITIVE_INFINITY
        : Number(length);
  }

  /** True when all of it has come; never of one that only the connection's end ends. */
  get whole(): boolean {
    return this.#left <= 0 || this.#decoder?.done === true;
  }

  /** True when the connection's end is the body's. */
  get endless(): boolean {
    return this.#decoder === undefined && this.#left === Number.POSITIVE_INFINITY;
  }

  /** Takes what came next, gives the pieces of the body in it. Throws an Error on malformed chunks. */
  take(bytes: Uint8Array): Uint8Array[] {
    if (this.#decoder !== undefined) return this.#decoder.push(bytes);
    this.#left -= bytes.length;
    return [bytes];
  }
}
