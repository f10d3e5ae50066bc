/**
 * Writing a large file beside the event loop: its digest is taken as the bytes come, two buffers take turns in being filled
 * and being written, and the disk is kept busy meanwhile, so that little is left to wait for at the end.
 */
import { close, fdatasync, write } from "node:fs";
import { promisify } from "node:util";
import type { ArrivingFile } from "./arriving-file.ts";

const BUFFER = 1 << 20;
/** After so many bytes the disk is told to begin. */
const FLUSH_EVERY = 64 << 20;
const [closeFile, syncFile, writeSome] = [
  promisify(close),
  promisify(fdatasync),
  promisify(write),
] as const;

/** Appends to one file. */
export class FileSink {
  private readonly hash = new Bun.CryptoHasher("sha256");
  private filling: Buffer | undefined;
  private spare: Buffer | undefined;
  private used = 0;
  private writing: Promise<void> = Promise.resolve();
  private flushing: Promise<void> | undefined;
  private written: number;
  private unflushed = 0;
  private busy = false;
  private lost: unknown;
  /** Bytes so far, those of before among them. */
  size: number;

  /** `fd` is closed by `close`. `file` is told what can be read. */
  constructor(
    private readonly fd: number,
    private readonly file?: ArrivingFile,
  ) {
    this.size = this.written = 0;
  }

  /** Counts bytes that are in the file already. */
  resume(piece: Uint8Array): void {
    this.hash.update(piece);
    this.size += piece.length;
    this.written += piece.length;
    this.file?.grow(this.written);
  }

  /** Takes a piece; it is the caller's again when this resolves. Rejects when an earlier one could not be written. */
  async write(piece: Uint8Array): Promise<void> {
    this.hash.update(piece);
    this.size += piece.length;
    for (let at = 0; at < piece.length; ) {
      while (this.used === BUFFER && this.lost === undefined) await this.writing;
      if (this.lost !== undefined) throw this.lost;
      this.filling ??= Buffer.allocUnsafeSlow(BUFFER);
      const some = piece.subarray(at, at + BUFFER - this.used);
      this.filling.set(some, this.used);
      this.used += some.length;
      at += some.length;
      this.turn();
    }
  }

  /**
   * Has what was filled written, unless a write is on its way: that one goes on with it. Who reads along, or comes after a
   * crash, finds what has come, also when nothing follows.
   */
  private turn(): void {
    const { filling, used } = this;
    if (this.busy || filling === undefined || used === 0 || this.lost !== undefined) return;
    this.filling = this.spare;
    this.spare = undefined;
    this.used = 0;
    this.busy = true;
    this.writing = this.put(filling.subarray(0, used))
      .catch((error) => {
        this.lost ??= error;
      })
      .finally(() => {
        if (this.filling === undefined) this.filling = filling;
        else this.spare = filling;
        this.busy = false;
        this.turn();
      });
  }

  private async put(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const left = bytes.length - at;
      at += (await writeSome(this.fd, bytes, at, left, this.written + at)).bytesWritten;
    }
    this.written += bytes.length;
    this.file?.grow(this.written);
    this.unflushed += bytes.length;
    if (this.unflushed >= FLUSH_EVERY && this.flushing === undefined) {
      this.unflushed = 0;
      this.flushing = syncFile(this.fd)
        .catch((error) => {
          // The kernel tells of it only once.
          this.lost = error;
        })
        .finally(() => {
          this.flushing = undefined;
        });
    }
  }

  /** Writes what is left; gives the digest. Not all has reached the disk then. */
  async finish(): Promise<string> {
    await this.idle();
    await this.flushing;
    if (this.lost !== undefined) throw this.lost;
    return `sha256:${this.hash.digest("hex")}`;
  }

  private async idle(): Promise<void> {
    while (this.busy) await this.writing;
  }

  /** Closes the file, however far it is. */
  async close(): Promise<void> {
    await this.idle();
    await this.flushing;
    await closeFile(this.fd);
  }
}
