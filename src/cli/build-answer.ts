/**
 * The answer to POST /build with berth-events=1: lines of JSON, with the bytes of outputs among them.
 */
import type { BuildLine } from "../spec/build-events.ts";

const NEWLINE = 0x0a;

/** Reads an answer, once. */
export class BuildAnswer {
  private held: Uint8Array = new Uint8Array(0);

  constructor(private readonly pieces: AsyncGenerator<Uint8Array>) {}

  /** The next line; undefined at the end. */
  async line(): Promise<BuildLine | undefined> {
    for (;;) {
      const text = await this.text();
      if (text === undefined) return undefined;
      if (text.trim() !== "") return JSON.parse(text) as BuildLine;
    }
  }

  private async text(): Promise<string | undefined> {
    const parts: Uint8Array[] = [];
    for (;;) {
      const end = this.held.indexOf(NEWLINE);
      if (end >= 0) {
        parts.push(this.held.subarray(0, end));
        this.held = this.held.subarray(end + 1);
        return Buffer.concat(parts).toString("utf8");
      }
      parts.push(this.held);
      const next = await this.pieces.next();
      this.held = next.value ?? new Uint8Array(0);
      if (next.done) {
        const rest = Buffer.concat(parts).toString("utf8");
        return rest === "" ? undefined : rest;
      }
    }
  }

  /** The bytes of the output that a line has begun; `other` takes the lines among them, and throws for one that ends all. */
  async *output(first: BuildLine, other: (line: BuildLine) => void): AsyncGenerator<Uint8Array> {
    for (let line: BuildLine | undefined = first; ; line = await this.line()) {
      if (line === undefined) throw new Error("unexpected EOF");
      if (line.output === undefined) {
        other(line);
        continue;
      }
      if (line.output.bytes === 0) return;
      yield* this.bytes(line.output.bytes);
    }
  }

  private async *bytes(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; ) {
      if (this.held.length === 0) {
        const next = await this.pieces.next();
        if (next.done) throw new Error("unexpected EOF");
        this.held = next.value;
        continue;
      }
      const piece = this.held.subarray(0, left);
      this.held = this.held.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }
}
