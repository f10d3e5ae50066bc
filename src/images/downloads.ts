/**
 * Blobs on their way from registries into the content store: each one once, however many pulls wait for it, a few at a
 * time, and from where the last attempt broke off.
 */
import { ftruncateSync, openSync, read, rmSync } from "node:fs";
import { promisify } from "node:util";
import { ArrivingFile } from "../base/arriving-file.ts";
import { fault } from "../base/errors.ts";
import { FileSink } from "../base/file-sink.ts";
import type { BlobDescriptor, Repository } from "../registry/index.ts";
import type { ContentStore, Ingested } from "./content.ts";
import { meter, type Report, shortDigest } from "./progress.ts";

const CHUNK = 1 << 20;

/** Where a blob comes from. */
export type BlobSource = Pick<Repository, "blob">;

interface Download {
  readonly done: Promise<void>;
  /** What it writes to, once its turn has come. */
  readonly file: Promise<ArrivingFile>;
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
   * nobody waits for any more is given up, and what has come stays for the next attempt. `begun` gets the file as soon as
   * it arrives, to read along: it may fail although this resolves.
   */
  async fetch(
    source: BlobSource,
    blob: BlobDescriptor,
    report: Report,
    signal: AbortSignal,
    begun: (file: ArrivingFile) => void = () => {},
  ): Promise<void> {
    if (this.content.has(blob.digest)) return;
    let download = this.underway.get(blob.digest);
    // One that has just been given up is on its way out.
    while (download?.abort.signal.aborted) {
      await download.done.catch(() => {});
      download = this.underway.get(blob.digest);
    }
    download ??= this.begin(source, blob);
    const { waiting, abort, done, file } = download;
    waiting.add(report);
    file.then(begun, () => {});
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
    const file = Promise.withResolvers<ArrivingFile>();
    const done = this.inTurn(() =>
      this.download(source, blob, tell, abort.signal, file.resolve),
    ).finally(() => {
      this.underway.delete(blob.digest);
      file.reject(new Error("the download has ended before it began"));
    });
    // Whoever waits hears of a failure; it may be that nobody does.
    done.catch(() => {});
    file.promise.catch(() => {});
    const download = { done, abort, waiting, file: file.promise };
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
    begun: (file: ArrivingFile) => void,
  ): Promise<void> {
    const file = new ArrivingFile(
      this.content.partial(blob.digest),
      this.content.path(blob.digest),
    );
    try {
      const gathered = await this.gather(source, blob, report, signal, () => begun(file), file);
      const { path, from, digest, size } = gathered;
      report({ status: "Verifying Checksum", id: shortDigest(blob.digest), progressDetail: {} });
      if (digest !== blob.digest || size !== blob.size) {
        rmSync(path, { force: true });
        throw Object.assign(wrongContent(blob.digest, digest), { again: from > 0 });
      }
      file.finish(digest);
      await this.content.commit({ path, digest, size });
    } catch (error) {
      file.fail(error);
      // What an earlier attempt has left may have been wrong.
      if (error instanceof Error && "again" in error && error.again)
        return this.download(source, blob, report, signal, begun);
      throw error;
    }
    report({ status: "Download complete", id: shortDigest(blob.digest), progressDetail: {} });
  }

  /** Writes a blob down, from where an earlier attempt broke off. */
  private async gather(
    source: BlobSource,
    blob: BlobDescriptor,
    report: Report,
    signal: AbortSignal,
    begun: () => void,
    file: ArrivingFile,
  ): Promise<Ingested & { readonly from: number }> {
    signal.throwIfAborted();
    const path = this.content.partial(blob.digest);
    const show = meter(report, "Downloading", shortDigest(blob.digest), blob.size);
    const fd = openSync(path, "a+", 0o600);
    const sink = new FileSink(fd, file);
    try {
      begun();
      await resume(fd, blob.size, sink);
      const from = sink.size;
      try {
        for await (const piece of source.blob(blob, from, signal)) {
          signal.throwIfAborted();
          await sink.write(piece);
          show(sink.size);
        }
      } catch (error) {
        // What has come is for the next attempt; the first error is the one to tell.
        await sink.finish().catch(() => {});
        throw error;
      }
      return { path, from, digest: await sink.finish(), size: sink.size };
    } finally {
      await sink.close();
    }
  }
}

function wrongContent(wanted: string, found: string): Error {
  return fault(
    "failed",
    "registry-content",
    `filesystem layer verification failed for digest ${wanted}: it is ${found}`,
  );
}

const readSome = promisify(read);

/** Takes up what an earlier attempt has left. More than there can be counts as nothing. */
async function resume(fd: number, size: number, sink: FileSink): Promise<void> {
  const chunk = new Uint8Array(CHUNK);
  for (;;) {
    const { bytesRead } = await readSome(fd, chunk, 0, CHUNK, sink.size);
    if (bytesRead === 0) break;
    sink.resume(chunk.subarray(0, bytesRead));
  }
  if (sink.size <= size) return;
  ftruncateSync(fd, 0);
  throw fault(
    "failed",
    "registry-content",
    "what an earlier pull has left is too large; try again",
  );
}
