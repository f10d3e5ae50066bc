/**
 * HTTP/1.1's chunked transfer coding (RFC 9112, section 7.1), decoded as the bytes come in.
 */
const decoder = new TextDecoder("latin1");

/** Decodes one chunked body, fed piece by piece; pieces may be cut anywhere. */
export class ChunkedDecoder {
  #state: "size" | "data" | "data-end" | "trailer" | "done" = "size";
  #line = "";
  #left = 0;

  /** True once the last chunk and its trailer have been read. */
  get done(): boolean {
    return this.#state === "done";
  }

  /** Takes bytes, returns the payload pieces in them. Throws an Error on a malformed body. */
  push(bytes: Uint8Array): Uint8Array[] {
    const out: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state === "data") {
        const piece = bytes.subarray(at, at + this.#left);
        out.push(piece);
        at += piece.length;
        this.#left -= piece.length;
        if (this.#left === 0) this.#state = "data-end";
        continue;
      }
      const end = bytes.indexOf(10, at);
      this.#line += decoder.decode(bytes.subarray(at, end < 0 ? bytes.length : end));
      if (end < 0) break;
      at = end + 1;
      this.#takeLine(this.#line.replace(/\r$/, ""));
      this.#line = "";
    }
    return out;
  }

  #takeLine(line: string): void {
    if (this.#state === "size") {
      const digits = /^([0-9a-fA-F]+)[ \t]*(;.*)?$/.exec(line)?.[1];
      if (digits === undefined) throw new Error(`malformed chunk size: ${JSON.stringify(line)}`);
      this.#left = Number.parseInt(digits, 16);
      this.#state = this.#left === 0 ? "trailer" : "data";
    } else if (this.#state === "data-end") {
      if (line !== "") throw new Error("malformed chunk: no line end after its data");
      this.#state = "size";
    } else if (line === "") this.#state = "done";
  }
}
