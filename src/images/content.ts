/**
 * The content store: blobs by digest, as an OCI image layout keeps them. A blob is visible only once its digest has been
 * verified and its bytes have reached the disk.
 */
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { ArrivingFile } from "../base/arriving-file.ts";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import { FileSink } from "../base/file-sink.ts";
import { isSha256 } from "../spec/reference.ts";

const PARTIAL = ".partial";

/** A file in the ingest directory that is not a blob yet. */
export interface Ingested {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Blobs of one data root. */
export class ContentStore {
  private counter = 0;

  constructor(private readonly root: string) {
    mkdirSync(`${root}/blobs/sha256`, { recursive: true, mode: 0o700 });
    mkdirSync(`${root}/ingest`, { recursive: true, mode: 0o700 });
  }

  /** Where a blob lies. Throws a Fault "invalid" for anything but a whole sha256 digest, so that none becomes a path. */
  path(digest: string): string {
    if (!isSha256(digest))
      throw fault("invalid", "digest", `invalid digest ${JSON.stringify(digest)}`);
    return `${this.root}/blobs/sha256/${digest.slice(7)}`;
  }

  has(digest: string): boolean {
    return existsSync(this.path(digest));
  }

  /** Bytes of a blob that is there. */
  size(digest: string): number {
    return statSync(this.path(digest)).size;
  }

  read(digest: string): Uint8Array {
    return readFileSync(this.path(digest));
  }

  stream(digest: string): ByteStream {
    return Bun.file(this.path(digest)).stream() as unknown as ByteStream;
  }

  /** Where a blob that is on its way is gathered; what is there already came with an earlier attempt. */
  partial(digest: string): string {
    return `${this.root}/ingest/${basename(this.path(digest))}${PARTIAL}`;
  }

  /** Writes a stream to the ingest directory and finds out its digest. `begun` gets the file to read along. */
  async ingest(source: ByteStream, begun?: (file: ArrivingFile) => void): Promise<Ingested> {
    const path = `${this.root}/ingest/${process.pid}-${++this.counter}`;
    const file = new ArrivingFile(path);
    const sink = new FileSink(openSync(path, "wx", 0o600), file);
    begun?.(file);
    try {
      for await (const piece of source) await sink.write(piece);
      const digest = await sink.finish();
      file.finish(digest);
      return { path, digest, size: sink.size };
    } catch (error) {
      file.fail(error);
      rmSync(path, { force: true });
      throw error;
    } finally {
      await sink.close();
    }
  }

  /** Makes an ingested file a blob, durably. */
  async commit(file: Ingested): Promise<void> {
    const target = this.path(file.digest);
    if (existsSync(target)) {
      rmSync(file.path, { force: true });
      return;
    }
    await syncPath(file.path);
    renameSync(file.path, target);
    // Beside the event loop: behind much data it takes as long as all of that.
    await syncPath(`${this.root}/blobs/sha256`);
  }

  /** Stores bytes and gives their digest. */
  async put(data: Uint8Array): Promise<string> {
    const file = await this.ingest(
      (async function* () {
        yield data;
      })(),
    );
    await this.commit(file);
    return file.digest;
  }

  /** Fine if it is gone. */
  remove(digest: string): void {
    rmSync(this.path(digest), { force: true });
  }

  /** Gives up what has come of a blob. */
  removePartial(digest: string): void {
    rmSync(this.partial(digest), { force: true });
  }

  /** Deletes what nothing refers to: blobs, what has come of some, and what crashes have left in the ingest directory. */
  sweep(used: ReadonlySet<string>): void {
    const isUsed = (hex: string) => used.has(`sha256:${hex}`);
    for (const entry of readdirSync(`${this.root}/ingest`)) {
      const kept = entry.endsWith(PARTIAL) && isUsed(entry.slice(0, -PARTIAL.length));
      if (!kept) rmSync(`${this.root}/ingest/${entry}`, { recursive: true, force: true });
    }
    for (const hex of readdirSync(`${this.root}/blobs/sha256`))
      if (!isUsed(hex))
        rmSync(`${this.root}/blobs/sha256/${hex}`, { recursive: true, force: true });
  }
}
