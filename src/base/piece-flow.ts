/**
 * Bytes between threads: messages know no back pressure, so that whoever sends counts what the other has not taken yet.
 */
import type { ByteStream } from "./compression.ts";

/** Bytes that are under way at most, but for one piece. */
const WINDOW = 4 << 20;

/** The end that sends. */
export class Outflow {
  private ahead = 0;
  private ended: { readonly error: unknown } | undefined;
  private waiting: (() => void) | undefined;

  constructor(private readonly send: (piece: Uint8Array) => void) {}

  /** Sends a piece; resolves when there is room for the next one. Rejects when nobody wants any more. */
  async write(piece: Uint8Array): Promise<void> {
    if (this.ended === undefined) {
      // Sending may give the bytes away.
      this.ahead += piece.length;
      this.send(piece);
    }
    while (this.ended === undefined && this.ahead > WINDOW)
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
    if (this.ended !== undefined) throw this.ended.error;
  }

  /** The other end has taken so many bytes. */
  taken(bytes: number): void {
    this.ahead -= bytes;
    this.wake();
  }

  /** The other end takes no more. */
  end(error: unknown): void {
    this.ended ??= { error };
    this.wake();
  }

  private wake(): void {
    this.waiting?.();
    this.waiting = undefined;
  }
}

/** The end that takes. */
export class Inflow {
  private readonly queue: Uint8Array[] = [];
  private ended: { readonly error?: unknown } | undefined;
  private waiting: (() => void) | undefined;

  /** `taken` tells the other end. */
  constructor(private readonly taken: (bytes: number) => void) {}

  push(piece: Uint8Array): void {
    this.queue.push(piece);
    this.wake();
  }

  /** There are no more; with an error, what has come is not all there was. */
  end(error?: unknown): void {
    this.ended ??= error === undefined ? {} : { error };
    this.wake();
  }

  private wake(): void {
    this.waiting?.();
    this.waiting = undefined;
  }

  /** All of them, once. */
  async *pieces(): ByteStream {
    for (;;) {
      const piece = this.queue.shift();
      if (piece !== undefined) {
        this.taken(piece.length);
        yield piece;
      } else if (this.ended === undefined)
        await new Promise<void>((resolve) => {
          this.waiting = resolve;
        });
      else if ("error" in this.ended) throw this.ended.error;
      else return;
    }
  }
}
