/**
 * A file that is read while it is still being written: what has come so far is on the disk, so that a slow reader holds
 * nobody up and costs no memory.
 */
import { openSync } from "node:fs";
import { errnoOf } from "./errors.ts";

/** How far a file is. */
export interface Arrival {
  /** Bytes that can be read. */
  readonly size: number;
  /** True when there will be no more of them. */
  readonly whole: boolean;
  /** Why there will never be more, if so. */
  readonly error?: unknown;
}

/** A file on its way, or there already. */
export class ArrivingFile {
  private state: Arrival = { size: 0, whole: false };
  private readonly followers = new Set<(state: Arrival) => void>();
  private written: string | undefined;

  private readonly places: readonly string[];

  /** `places`: where it lies, and where it may be moved to. */
  constructor(...places: readonly string[]) {
    this.places = places;
  }

  /** A file that is there. */
  static here(path: string, size: number): ArrivingFile {
    const file = new ArrivingFile(path);
    file.state = { size, whole: true };
    return file;
  }

  /** The sha256 digest of the bytes, from whoever has just written them; undefined before the end, and of older files. */
  get digest(): string | undefined {
    return this.written;
  }

  /** Opens it for reading; the caller closes. */
  open(): number {
    let missing: unknown;
    for (const place of this.places)
      try {
        return openSync(place, "r");
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
        missing = error;
      }
    throw missing;
  }

  /** The writer tells that so many bytes can be read. */
  grow(size: number): void {
    this.become({ size, whole: false });
  }

  /** The writer tells that it is whole, with its digest. */
  finish(digest: string): void {
    this.written = digest;
    this.become({ size: this.state.size, whole: true });
  }

  /** The writer tells that it gives up. Without effect once the file is whole. */
  fail(error: unknown): void {
    if (!this.state.whole) this.become({ ...this.state, error });
  }

  /** Tells how far it is, now and at every change. Gives the function that ends that. */
  follow(follower: (state: Arrival) => void): () => void {
    follower(this.state);
    this.followers.add(follower);
    return () => this.followers.delete(follower);
  }

  private become(state: Arrival): void {
    this.state = state;
    for (const follower of this.followers) follower(state);
  }
}

/** Gives a file's bytes as they come. Told by `arrived` how far it is, it reads from a descriptor that stays the caller's. */
export class ArrivingReader {
  private state: Arrival = { size: 0, whole: false };
  private waiting: (() => void) | undefined;

  constructor(
    private readonly read: (into: Uint8Array, at: number) => number,
    private readonly chunk: number,
  ) {}

  arrived(state: Arrival): void {
    this.state = state;
    this.waiting?.();
    this.waiting = undefined;
  }

  /** Each piece is a buffer of its own. Throws the writer's error when it has given up. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; ; ) {
      if (this.state.error !== undefined) throw this.state.error;
      const ready = Math.min(this.state.size - at, this.chunk);
      if (ready > 0) {
        const buffer = Buffer.allocUnsafeSlow(ready);
        const length = this.read(buffer, at);
        if (length === 0) throw new Error("the file is shorter than it was said to be");
        at += length;
        yield buffer.subarray(0, length);
      } else if (this.state.whole) return;
      else
        await new Promise<void>((resolve) => {
          this.waiting = resolve;
        });
    }
  }
}
