/**
 * The content store: blobs by digest, as an OCI image layout keeps them. A blob is visible only once its digest has been
 * verified and its bytes have reached the disk.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename } from "node:path";
import { syncDirectory } from "../base/atomic-file.ts";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import { isSha256 } from "../spec/reference.ts";

const PARTIAL = ".partial";

/** A file in the ingest directory that is not a blob yet. */
export interface Ingested {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
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

  /** Writes a stream to the ingest directory and finds out its digest. */
  async ingest(source: ByteStream): Promise<Ingested> {
    const path = `${this.root}/ingest/${process.pid}-${++this.counter}`;
    const hash = new Bun.CryptoHasher("sha256");
    const fd = openSync(path, "wx", 0o600);
    let size = 0;
    try {
      for await (const chunk of source) {
        hash.update(chunk);
        for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
        size += chunk.length;
      }
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
    return { path, digest: `sha256:${hash.digest("hex")}`, size };
  }

  /** Makes an ingested file a blob. */
  commit(file: Ingested): void {
    const target = this.path(file.digest);
    if (existsSync(target)) {
      rmSync(file.path, { force: true });
      return;
    }
    const fd = openSync(file.path, "r");
    fsyncSync(fd);
    closeSync(fd);
    renameSync(file.path, target);
    syncDirectory(`${this.root}/blobs/sha256`);
  }

  /** Stores bytes and gives their digest. */
  async put(data: Uint8Array): Promise<string> {
    const file = await this.ingest(
      (async function* () {
        yield data;
      })(),
    );
    this.commit(file);
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
