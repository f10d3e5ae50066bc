/**
 * Blobs on their way in: a file an upload, hashed as it is written. What has come survives a death of the process; the hash
 * is then made again from the file. An upload becomes a blob only whole, verified and on the disk.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import type { ContentStore } from "../images/index.ts";
import type { RegistryDatabase, UploadRow } from "./database.ts";
import { RegistryError } from "./errors.ts";
import type { Span } from "./ranges.ts";

/** So many uploads may be begun and not ended. */
const UPLOADS_MAX = 10_000;
/** Hashes that are held between two requests. */
const HASHES_MAX = 256;
const CHUNK = 1 << 20;

/**
 * A request's body: gives piece after piece, each one taken before the next comes. Rejects when it breaks off, when `take`
 * throws, and when the signal says so.
 */
export type Body = (take: (piece: Uint8Array) => void, signal?: AbortSignal) => Promise<void>;

interface Progress {
  readonly hash: Bun.CryptoHasher;
  size: number;
}

interface Turn {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** What uploads are made of. */
export interface UploadsOptions {
  readonly directory: string;
  readonly data: RegistryDatabase;
  readonly content: ContentStore;
  /** Keeps a blob's file until it has a row. */
  holding<T>(digest: string, work: () => Promise<T>): Promise<T>;
}

/** The uploads of one registry. */
export class Uploads {
  private readonly progress = new Map<string, Progress>();
  private readonly turns = new Map<string, Turn>();
  private count: number;

  constructor(private readonly options: UploadsOptions) {
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    this.count = options.data.uploads().length;
  }

  /** Begins an upload into a repository; gives its id. */
  begin(repository: string): string {
    if (this.count >= UPLOADS_MAX)
      throw new RegistryError("TOOMANYREQUESTS", { message: "too many uploads are under way" });
    const id = crypto.randomUUID();
    this.options.data.addUpload({ id, repository, started: Date.now() });
    this.count++;
    return id;
  }

  /** Bytes that have come. Throws BLOB_UPLOAD_UNKNOWN. */
  size(repository: string, id: string): number {
    this.find(repository, id);
    return this.stored(id);
  }

  /**
   * Adds what a body has to an upload, and gives the bytes that are there. What has come stays when the body breaks off,
   * unless `span` has said where it belongs and how long it is: then all of it comes or nothing. A request that comes while
   * another one writes takes its place: its client has gone, or is wrong.
   */
  append(repository: string, id: string, body: Body, span?: Span): Promise<number> {
    return this.inTurn(id, async (signal) => {
      this.find(repository, id);
      return this.write(id, body, span, signal);
    });
  }

  /** Adds the rest and makes the upload a blob of its repository. An upload that is not what it should be is thrown away. */
  finish(repository: string, id: string, digest: string, body: Body, span?: Span): Promise<void> {
    return this.inTurn(id, async (signal) => {
      this.find(repository, id);
      await this.write(id, body, span, signal);
      const { hash, size } = await this.known(id);
      const found = `sha256:${hash.digest("hex")}`;
      this.progress.delete(id);
      if (found !== digest) {
        this.discard(id);
        throw new RegistryError("DIGEST_INVALID", { detail: { expected: digest, found } });
      }
      await this.commit(repository, id, digest, size);
    });
  }

  /** Throws an upload away. */
  cancel(repository: string, id: string): Promise<void> {
    return this.inTurn(id, async () => {
      this.find(repository, id);
      this.discard(id);
    });
  }

  /** Throws away uploads that were begun before `before`, and files that no upload has. Gives how many there were. */
  async sweep(before: number): Promise<number> {
    const { data, directory } = this.options;
    const old = data.uploads().filter(({ started }) => started <= before);
    for (const { id } of old)
      await this.inTurn(id, async () => {
        if (data.upload(id) !== undefined) this.discard(id);
      });
    for (const name of readdirSync(directory))
      if (data.upload(name) === undefined) rmSync(this.path(name), { force: true });
    return old.length;
  }

  private path(id: string): string {
    return `${this.options.directory}/${id}`;
  }

  private find(repository: string, id: string): UploadRow {
    const row = this.options.data.upload(id);
    if (row === undefined || row.repository !== repository)
      throw new RegistryError("BLOB_UPLOAD_UNKNOWN");
    return row;
  }

  private stored(id: string): number {
    return statSync(this.path(id), { throwIfNoEntry: false })?.size ?? 0;
  }

  private async inTurn<T>(id: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (let other = this.turns.get(id); other !== undefined; other = this.turns.get(id)) {
      other.abort.abort(new RegistryError("BLOB_UPLOAD_INVALID", { message: "taken over" }));
      await other.done;
    }
    const abort = new AbortController();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    this.turns.set(id, { abort, done });
    try {
      return await work(abort.signal);
    } finally {
      this.turns.delete(id);
      resolve();
    }
  }

  private async write(
    id: string,
    body: Body,
    span: Span | undefined,
    signal: AbortSignal,
  ): Promise<number> {
    const before = await this.known(id);
    const start = before.size;
    if (span !== undefined && span.start !== start)
      throw new RegistryError("RANGE_INVALID", { detail: { received: start } });
    const fd = openSync(this.path(id), "a", 0o600);
    try {
      await copy(body, fd, before, signal, span && span.end - span.start);
    } catch (error) {
      if (span !== undefined || this.stored(id) !== before.size) {
        this.progress.delete(id);
        if (span !== undefined) truncateSync(this.path(id), start);
      }
      throw error;
    } finally {
      closeSync(fd);
    }
    return before.size;
  }

  /** How far an upload is, from memory or else from its file. */
  private async known(id: string): Promise<Progress> {
    const held = this.progress.get(id);
    this.progress.delete(id);
    const progress = held ?? (await rehash(this.path(id)));
    this.progress.set(id, progress);
    const [oldest] = this.progress.keys();
    if (this.progress.size > HASHES_MAX && oldest !== undefined) this.progress.delete(oldest);
    return progress;
  }

  private async commit(repository: string, id: string, digest: string, size: number) {
    const { data, content, holding } = this.options;
    await holding(digest, async () => {
      const path = this.path(id);
      if (!content.has(digest)) await sync(path);
      await content.commit({ path, digest, size });
      data.atomically(() => {
        data.putBlob(repository, digest);
        data.removeUpload(id);
      });
      this.count--;
    });
  }

  private discard(id: string): void {
    this.progress.delete(id);
    rmSync(this.path(id), { force: true });
    this.options.data.removeUpload(id);
    this.count--;
  }
}

/** Writes a body to a file and into a hash, piece by piece. Throws SIZE_INVALID when it is not `length` bytes. */
async function copy(
  body: Body,
  fd: number,
  progress: Progress,
  signal: AbortSignal,
  length: number | undefined,
): Promise<void> {
  const end = length === undefined ? Number.POSITIVE_INFINITY : progress.size + length;
  await body((piece) => {
    if (progress.size + piece.length > end) throw new RegistryError("SIZE_INVALID");
    for (let at = 0; at < piece.length; ) at += writeSync(fd, piece, at);
    progress.hash.update(piece);
    progress.size += piece.length;
  }, signal);
  if (length !== undefined && progress.size !== end) throw new RegistryError("SIZE_INVALID");
}

async function rehash(path: string): Promise<Progress> {
  const hash = new Bun.CryptoHasher("sha256");
  let size = 0;
  // "a+" makes the file of an upload that nothing has come of yet.
  const file = await open(path, "a+", 0o600);
  try {
    const chunk = new Uint8Array(CHUNK);
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK, size);
      if (bytesRead === 0) return { hash, size };
      hash.update(chunk.subarray(0, bytesRead));
      size += bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** Brings a file to the disk without holding up whoever else is served. */
async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
