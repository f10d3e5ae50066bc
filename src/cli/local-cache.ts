/**
 * Caches of builds in directories of this host, which may be another than the daemon's: an OCI image layout each, read and written
 * as the daemon asks for it (spec/cache-exchange.ts).
 */

import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { syncDirectory, writeFileAtomic } from "../base/atomic-file.ts";
import { digestOf } from "../base/digest.ts";
import { messageOf } from "../base/errors.ts";
import { FileSink } from "../base/file-sink.ts";
import type { ApiClient } from "../client/index.ts";
import { parseCacheFrom, parseCacheTo } from "../spec/build-caches.ts";
import type { CacheEvent, ExchangedBlob, ExchangedCache } from "../spec/cache-exchange.ts";
import { isSha256 } from "../spec/reference.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";
/** Marks the manifest of a cache in an index. */
const OURS = "berth.build-cache";
const ERROR_MAX = 500;

interface IndexEntry extends ExchangedBlob {
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly config: ExchangedBlob;
  readonly layers: readonly ExchangedBlob[];
}

type Offered = Extract<CacheEvent, { kind: "cache-offered" }>;

/** Where a blob lies. What is no digest is no path. */
function blobPath(directory: string, digest: string): string {
  if (!isSha256(digest)) throw new Error(`${JSON.stringify(digest)} is no digest`);
  return `${directory}/blobs/sha256/${digest.slice(7)}`;
}

function entriesOf(directory: string): IndexEntry[] {
  const path = `${directory}/index.json`;
  if (!existsSync(path)) return [];
  const { manifests } = JSON.parse(readFileSync(path, "utf8")) as { manifests?: IndexEntry[] };
  return Array.isArray(manifests) ? manifests : [];
}

const isOurs = ({ annotations }: IndexEntry): boolean => annotations?.[OURS] !== undefined;

function documentOf<T>(directory: string, { digest }: ExchangedBlob): T {
  const bytes = readFileSync(blobPath(directory, digest));
  if (digestOf(bytes) !== digest) throw new Error(`${digest} is damaged`);
  return JSON.parse(bytes.toString("utf8")) as T;
}

/** The cache that a directory has. */
function cacheIn(directory: string): {
  readonly cache: ExchangedCache;
  readonly blobs: Set<string>;
} {
  const entry = entriesOf(directory).find(isOurs);
  if (entry === undefined)
    throw new Error(
      existsSync(directory) ? "there is no cache of berth's in it" : "no such directory",
    );
  const { config, layers } = documentOf<Manifest>(directory, entry);
  const cache = { config: documentOf(directory, config), layers };
  return { cache, blobs: new Set(layers.map(({ digest }) => digest)) };
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}

/** The caches of one build. */
export class LocalCaches {
  private readonly token = crypto.randomUUID().replaceAll("-", "");
  private readonly sources: readonly (string | undefined)[];
  private readonly targets: readonly (string | undefined)[];
  /** Blobs that may be sent: those that a cache names. */
  private readonly open = new Map<string, ReadonlySet<string>>();
  private readonly going = new Set<Promise<void>>();

  /** Throws for words that make no sense. */
  constructor(
    private readonly client: ApiClient,
    from: readonly string[],
    to: readonly string[],
  ) {
    const directory = (one: { type: string; directory?: string }) =>
      one.type === "local" ? one.directory : undefined;
    this.sources = from.map((text) => directory(parseCacheFrom(text)));
    this.targets = to.map((text) => directory(parseCacheTo(text)));
  }

  /** What the daemon is told of them; undefined when there are none. */
  get exchange(): string | undefined {
    const all = [...this.sources, ...this.targets];
    return all.every((one) => one === undefined) ? undefined : this.token;
  }

  /** Takes an event of the daemon's; says whether it was meant for these. */
  take(event: { readonly kind: string }): boolean {
    if (event.kind !== "cache-wanted" && event.kind !== "cache-offered") return false;
    const asked = event as CacheEvent;
    // The build goes on meanwhile; if nobody answers any more, it says so itself.
    const work = this.answer(asked).catch(() => {});
    this.going.add(work);
    work.finally(() => this.going.delete(work));
    return true;
  }

  /** Resolves when nothing is being sent or written any more. */
  async settled(): Promise<void> {
    await Promise.all(this.going);
  }

  private async answer(event: CacheEvent): Promise<void> {
    const wanted = event.kind === "cache-wanted";
    const query = wanted ? { want: event.want } : { taken: event.offer };
    let stream: AsyncIterable<Uint8Array> | undefined;
    let error: string | undefined;
    try {
      if (wanted) stream = this.read(event.source, event.digest);
      else await this.write(event);
    } catch (failure) {
      error = messageOf(failure).slice(0, ERROR_MAX);
    }
    await this.client.json("POST", "/berth/build-exchange", {
      query: { token: this.token, ...query, error },
      ...(stream === undefined ? {} : { stream }),
    });
  }

  private read(source: number, digest: string | undefined): AsyncIterable<Uint8Array> {
    const directory = this.sources[source];
    if (directory === undefined) throw new Error("the daemon asks for what it was not given");
    if (digest === undefined) {
      const { cache, blobs } = cacheIn(directory);
      this.open.set(directory, blobs);
      return once(JSON.stringify(cache));
    }
    const path = blobPath(directory, digest);
    if (!this.open.get(directory)?.has(digest) || !existsSync(path))
      throw new Error(`the cache has no blob ${digest}`);
    return createReadStream(path, { highWaterMark: 1 << 20 });
  }

  /** Writes what is offered: blobs first, and the index last, so that a reader finds the old cache or the new one. */
  private async write({ target, manifest, texts, layers }: Offered): Promise<void> {
    const directory = this.targets[target];
    if (directory === undefined) throw new Error("the daemon offers what nobody has asked for");
    const blobs = `${directory}/blobs/sha256`;
    mkdirSync(blobs, { recursive: true });
    for (const layer of layers)
      if (!existsSync(blobPath(directory, layer.digest))) await this.fetch(directory, layer);
    for (const [digest, text] of Object.entries(texts)) {
      if (digestOf(text) !== digest) throw new Error(`${digest} came damaged`);
      writeFileAtomic(blobPath(directory, digest), text, { mode: 0o644, durable: true });
    }
    syncDirectory(blobs);
    writeFileAtomic(`${directory}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}', { mode: 0o644 });
    const others = entriesOf(directory).filter((entry) => !isOurs(entry));
    const manifests = [...others, { ...manifest, annotations: { [OURS]: "1" } }];
    const index = { schemaVersion: 2, mediaType: INDEX, manifests };
    writeFileAtomic(`${directory}/index.json`, JSON.stringify(index), {
      mode: 0o644,
      durable: true,
    });
    if (others.length > 0) return;
    // What the cache before had, and this one has not, would only take room.
    const kept = new Set([...layers.map(({ digest }) => digest), ...Object.keys(texts)]);
    for (const name of readdirSync(blobs))
      if (!kept.has(`sha256:${name}`)) rmSync(`${blobs}/${name}`, { force: true });
  }

  private async fetch(directory: string, { digest, size }: ExchangedBlob): Promise<void> {
    const path = blobPath(directory, digest);
    const temporary = `${path}.${this.token}`;
    const query = { token: this.token, digest };
    const answer = await this.client.request("GET", "/berth/build-exchange", { query });
    const fd = openSync(temporary, "w", 0o644);
    try {
      const sink = new FileSink(fd);
      for await (const piece of answer.pieces()) await sink.write(piece);
      const found = await sink.finish();
      if (found !== digest || sink.size !== size) throw new Error(`${digest} came damaged`);
      fsyncSync(fd);
      renameSync(temporary, path);
    } finally {
      closeSync(fd);
      rmSync(temporary, { force: true });
    }
  }
}
