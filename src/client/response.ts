/**
 * An HTTP/1.1 response (RFC 9112): its head, and its body by length, chunks or end of connection.
 */
import type { Connection } from "./connection.ts";
import { Framing } from "./framing.ts";
import { parseHead, type ResponseHead } from "./head.ts";

/** Reads a head; undefined when the connection ended before its first byte. */
export async function readHead(connection: Connection): Promise<ResponseHead | undefined> {
  let text = "";
  for (;;) {
    const bytes = await connection.read();
    if (bytes === undefined) {
      if (text === "") return undefined;
      throw new Error("unexpected EOF");
    }
    const before = text.length;
    text += new TextDecoder("latin1").decode(bytes);
    const end = text.indexOf("\r\n\r\n", Math.max(0, before - 3));
    if (end < 0) continue;
    connection.unread(bytes.subarray(end + 4 - before));
    return parseHead(text.slice(0, end));
  }
}

/** A body's bytes, one piece after the other. */
class Body {
  readonly #framing: Framing;
  #pieces: Uint8Array[] = [];

  constructor(
    readonly connection: Connection,
    head: ResponseHead,
  ) {
    this.#framing = new Framing(head);
  }

  /** True when all of it has been read; never of one that only the connection's end ends. */
  get whole(): boolean {
    return this.#framing.whole;
  }

  /** The next piece; undefined after the last. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) return piece;
      if (this.whole) return undefined;
      const bytes = await this.connection.read();
      if (bytes !== undefined) this.#pieces = this.#framing.take(bytes);
      else if (this.#framing.endless) return undefined;
      else throw new Error("unexpected EOF");
    }
  }
}

/** A response whose body is read once: whole, as pieces, or as a stream of JSON values. */
export class ApiResponse {
  readonly #body: Body;

  constructor(
    readonly connection: Connection,
    readonly head: ResponseHead,
    readonly release: (connection: Connection) => void,
  ) {
    this.#body = new Body(connection, head);
  }

  #leave(): void {
    const close = this.head.headers.get("connection")?.toLowerCase() === "close";
    if (this.#body.whole && !close) this.release(this.connection);
    else this.connection.close();
  }

  /** The body's pieces. Leaving the loop early closes the connection. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const piece = await this.#body.next();
        if (piece === undefined) return;
        yield piece;
      }
    } finally {
      this.#leave();
    }
  }

  /** The whole body as text. A short command comes through here: no generator, and nothing of node's. */
  async text(): Promise<string> {
    const decoder = new TextDecoder();
    let text = "";
    try {
      for (;;) {
        const piece = await this.#body.next();
        if (piece === undefined) return text + decoder.decode();
        text += decoder.decode(piece, { stream: true });
      }
    } finally {
      this.#leave();
    }
  }

  /** The body as a stream of JSON values, one a line, each handed on as soon as it is complete. */
  async *values<T>(): AsyncGenerator<T> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const piece of this.pieces()) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as T;
      // Some daemons send values without a line end; a piece that parses is complete.
      if (rest.endsWith("}")) {
        const value = tryParse<T>(rest);
        if (value === undefined) continue;
        rest = "";
        yield value;
      }
    }
    if (rest.trim() !== "") yield JSON.parse(rest) as T;
  }
}

function tryParse<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
