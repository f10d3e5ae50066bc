/**
 * Blobs on their way from registries into the content store: each one once, however many pulls wait for it, a few at a
 * time, and from where the last attempt broke off.
 */
import { closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { fault } from "../base/errors.ts";
import type { BlobDescriptor, Repository } from "../registry/index.ts";
import type { ContentStore, Ingested } from "./content.ts";
import { meter, type Report, shortDigest } from "./progress.ts";

const CHUNK = 1 << 20;

/** Where a blob comes from. */
export type BlobSource = Pick<Repository, "blob">;

interface Download {
  readonly done: Promise<void>;
  readonly abort: AbortController;
  /** Everybody who waits, with where to tell them of it. */
  readonly waiting: Set<Report>;
}

/** The downloads of one content store. */
export class Downloads {
  private readonly underway = new Map<string, Download>();
  private readonly queue: (() => void)[] = [];

  /** `free`: how many may go on at the same time. */
  constructor(
    private readonly content: ContentStore,
    private free: number,
  ) {}

  /**
   * Makes sure that a blob is in the store, verified. Rejects with a Fault, and when the signal says so; a download that
   * nobody waits for any more is given up, and what has come stays for the next attempt.
   */
  async fetch(
    source: BlobSource,
    blob: BlobDescriptor,
    report: Report,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.content.has(blob.digest)) return;
    let download = this.underway.get(blob.digest);
    // One that has just been given up is on its way out.
    while (download?.abort.signal.aborted) {
      await download.done.catch(() => {});
      download = this.underway.get(blob.digest);
    }
    download ??= this.begin(source, blob);
    const { waiting, abort, done } = download;
    waiting.add(report);
    const leave = () => {
      waiting.delete(report);
      if (waiting.size === 0) abort.abort();
    };
    const left = Promise.withResolvers<never>();
    const onAbort = () => {
      leave();
      left.reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    try {
      await Promise.race([done, left.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      waiting.delete(report);
    }
  }

  private begin(source: BlobSource, blob: BlobDescriptor): Download {
    const abort = new AbortController();
    const waiting = new Set<Report>();
    const tell: Report = (step) => {
      for (const report of waiting) report(step);
    };
    const done = this.inTurn(() => this.download(source, blob, tell, abort.signal)).finally(() =>
      this.underway.delete(blob.digest),
    );
    // Whoever waits hears of a failure; it may be that nobody does.
    done.catch(() => {});
    const download = { done, abort, waiting };
    this.underway.set(blob.digest, download);
    return download;
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.free === 0) await new Promise<void>((resolve) => this.queue.push(resolve));
    else this.free--;
    try {
      return await work();
    } finally {
      const next = this.queue.shift();
      if (next === undefined) this.free++;
      else next();
    }
  }

  private async download(
    source: BlobSource,
    blob: BlobDescriptor,
    report: Report,
    signal: AbortSignal,
  ): Promise<void> {
    const { path, from, digest, size } = await this.gather(source, blob, report, signal);
    report({ status: "Verifying Checksum", id: shortDigest(blob.digest), progressDetail: {} });
    if (digest !== blob.digest || size !== blob.size) {
      rmSync(path, { force: true });
      // What an earlier attempt has left may have been wrong.
      if (from > 0) return this.download(source, blob, report, signal);
      throw fault(
        "failed",
        "registry-content",
        `filesystem layer verification failed for digest ${blob.digest}: it is ${digest}`,
      );
    }
    this.content.commit({ path, digest, size });
    report({ status: "Download complete", id: shortDigest(blob.digest), progressDetail: {} });
  }

  /** Writes a blob down, from where an earlier attempt broke off. */
  private async gather(
    source: BlobSource,
    blob: BlobDescriptor,
    report: Report,
    signal: AbortSignal,
  ): Promise<Ingested & { readonly from: number }> {
    signal.throwIfAborted();
    const path = this.content.partial(blob.digest);
    const show = meter(report, "Downloading", shortDigest(blob.digest), blob.size);
    const hash = new Bun.CryptoHasher("sha256");
    const fd = openSync(path, "a+", 0o600);
    try {
      const from = resume(fd, blob.size, hash);
      let size = from;
      for await (const piece of source.blob(blob, from, signal)) {
        signal.throwIfAborted();
        hash.update(piece);
        for (let done = 0; done < piece.length; ) done += writeSync(fd, piece, done);
        size += piece.length;
        show(size);
      }
      return { path, from, digest: `sha256:${hash.digest("hex")}`, size };
    } finally {
      closeSync(fd);
    }
  }
}

/** Takes up what an earlier attempt has left; gives how many bytes there are. More than there can be counts as nothing. */
function resume(fd: number, size: number, hash: Bun.CryptoHasher): number {
  const chunk = new Uint8Array(CHUNK);
  let at = 0;
  for (let length = -1; length !== 0; at += length) {
    length = readSync(fd, chunk, 0, CHUNK, at);
    hash.update(chunk.subarray(0, length));
  }
  if (at <= size) return at;
  ftruncateSync(fd, 0);
  throw fault(
    "failed",
    "registry-content",
    "what an earlier pull has left is too large; try again",
  );
}
