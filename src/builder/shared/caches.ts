/**
 * Caches that other hosts have written, as one build uses them. They are asked when this host's own cache does not know a step.
 * A hit is a promise: its layer comes when somebody needs its files, and counts only once its digests have been found right.
 * A cache that cannot be read, or that breaks its promise, is a warning, and the build goes on without it.
 */
import { messageOf } from "../../base/errors.ts";
import { chainIds, type HistoryEntry } from "../../images/index.ts";
import type { BlobDescriptor, Repository } from "../../registry/index.ts";
import type { BuildCache } from "../cache.ts";
import type { BuildImages, Snapshot } from "../ports.ts";
import type { SharedRecords } from "./format.ts";
import { layerByHistory } from "./history.ts";
import { CacheTrail } from "./trail.ts";

/** A cache that was read. */
export interface LoadedCache {
  readonly records: SharedRecords;
  /** The blobs of its layers. */
  readonly blobs: readonly BlobDescriptor[];
  /** The history of an image that says nothing of keys. */
  readonly history?: readonly HistoryEntry[] | undefined;
  readonly blob: Repository["blob"];
}

/** A cache that may be read. */
export interface CacheSource {
  /** For a person. */
  readonly name: string;
  load(signal: AbortSignal): Promise<LoadedCache>;
}

/** What a build has to do with shared caches. */
export interface SharedCachesInput {
  readonly sources: readonly CacheSource[];
  /** Whether what the build does is written somewhere. */
  readonly exports: boolean;
  /** Whether the image tells of its own steps. */
  readonly inline: boolean;
  readonly warn: (text: string) => void;
  readonly signal: AbortSignal;
}

/** A hit. */
export interface SharedHit {
  readonly snapshot: Snapshot;
  readonly created: string;
}

/** A step whose result is looked for. */
export interface SoughtStep {
  readonly on: Snapshot;
  readonly description: string;
  /** As a history tells it, where nothing else counts for it; undefined: there is more to it. */
  readonly told:
    | { readonly before: readonly HistoryEntry[]; readonly createdBy: string }
    | undefined;
}

/** A cache has promised a layer that it does not have. Nothing of the image is wrong: it is built without that cache. */
export class BrokenCache extends Error {
  constructor(
    readonly source: string,
    cause: unknown,
  ) {
    super(messageOf(cause), { cause });
  }
}

interface Source {
  readonly name: string;
  readonly cache: LoadedCache;
  readonly byKey: ReadonlyMap<string, SharedRecords["steps"][number]>;
}

interface Promised {
  readonly source: Source;
  readonly blob: BlobDescriptor;
  readonly entry: Parameters<BuildCache["put"]>[0];
}

function indexed(name: string, cache: LoadedCache): Source {
  const byKey = new Map(cache.records.steps.flatMap((step) => step.keys.map((key) => [key, step])));
  return { name, cache, byKey };
}

/** The caches of one build. */
export class SharedCaches {
  readonly trail = new CacheTrail();
  private sources: Promise<Source[]> | undefined;
  private readonly broken = new Set<string>();
  /** Promises that have been kept. */
  private readonly kept = new Set<Promised>();
  /** By the chain id of the layer. */
  private readonly promised = new Map<string, Promised>();

  constructor(
    private readonly deps: { readonly images: BuildImages; readonly cache: BuildCache },
    private readonly input: SharedCachesInput,
  ) {}

  /** Whether there are caches to look into. */
  get areRead(): boolean {
    return this.input.sources.length > 0;
  }

  /** Whether somebody wants to know what the build does. */
  get areWritten(): boolean {
    return this.input.exports || this.input.inline;
  }

  get isInline(): boolean {
    return this.input.inline;
  }

  /**
   * Looks for a step by any of its keys; under the first of them this host's own cache will have it. What this host's own cache knows already
   * needs no other: they are read only now.
   */
  async find(keys: readonly string[], step: SoughtStep): Promise<SharedHit | undefined> {
    if (!this.areRead) return undefined;
    this.sources ??= this.load();
    for (const source of await this.sources) {
      if (this.broken.has(source.name)) continue;
      const hit = this.findIn(source, keys, step);
      if (hit !== undefined) return hit;
    }
    return undefined;
  }

  private async load(): Promise<Source[]> {
    const { sources, warn, signal } = this.input;
    const found = sources.map(async (source) => {
      try {
        return indexed(source.name, await source.load(signal));
      } catch (error) {
        signal.throwIfAborted();
        warn(`the cache ${source.name} is not used: ${messageOf(error)}`);
        return [];
      }
    });
    return (await Promise.all(found)).flat();
  }

  private findIn(source: Source, keys: readonly string[], step: SoughtStep): SharedHit | undefined {
    const { cache, byKey } = source;
    const { diffIds } = cache.records;
    const [key = ""] = keys;
    const known = keys.map((one) => byKey.get(one)).find((one) => one !== undefined);
    if (known !== undefined)
      return known.layer === undefined
        ? { snapshot: step.on, created: known.created }
        : this.promise(source, known.layer, known.created, { ...step, key });
    if (cache.history === undefined || step.told === undefined) return undefined;
    const image = { history: cache.history, diffIds };
    const told = layerByHistory(image, { ...step.told, diffIds: step.on.diffIds });
    const created = told?.created ?? "";
    if (told === undefined || Number.isNaN(Date.parse(created))) return undefined;
    return this.promise(source, told.layer, created, { ...step, key });
  }

  private promise(
    source: Source,
    layer: number,
    created: string,
    { on, description, key }: SoughtStep & { readonly key: string },
  ): SharedHit | undefined {
    const diffId = source.cache.records.diffIds[layer];
    const blob = source.cache.blobs[layer];
    if (diffId === undefined || blob === undefined) return undefined;
    const diffIds = [...on.diffIds, diffId];
    // What a layer stands on is what it was asked for upon, whatever a cache says.
    const chain = chainIds(diffIds);
    const snapshot = { diffIds, chain, blobs: [...on.blobs, blob.digest], size: on.size };
    const entry = { key, snapshot, created, description, size: 0 };
    this.promised.set(chain.at(-1) ?? "", { source, blob, entry });
    return { snapshot, created };
  }

  /** The blob that was promised for a layer. */
  promisedBlob(chainId: string): BlobDescriptor | undefined {
    return this.promised.get(chainId)?.blob;
  }

  /** Makes sure that all of a snapshot is here. Rejects with BrokenCache when a cache does not have what it has promised. */
  async bring(snapshot: Snapshot, report: (text: string) => void = () => {}): Promise<void> {
    const { images, cache } = this.deps;
    if (!this.areRead) return;
    const { signal } = this.input;
    const promised = snapshot.chain.map((one) => this.promised.get(one));
    const last = promised.findLast((one) => one !== undefined && !this.kept.has(one));
    // What is missing without having been promised is missed by whoever needs it.
    if (last === undefined) return;
    const blobs = snapshot.blobs.map((digest, at) => promised[at]?.blob ?? { digest, size: 0 });
    const bySource = new Map(
      promised.flatMap((one) => (one ? [[one.blob.digest, one.source]] : [])),
    );
    let failing = last.source.name;
    const blob: Repository["blob"] = async function* (descriptor, from, until) {
      const source = bySource.get(descriptor.digest);
      if (source === undefined) throw new Error(`nobody has promised ${descriptor.digest}`);
      try {
        yield* source.cache.blob(descriptor, from, until);
      } catch (error) {
        failing = source.name;
        throw error;
      }
    };
    try {
      await images.bring(snapshot, { blobs, blob, report, signal }, (sizes) => {
        // Now they are found right, and this host's own.
        for (const [at, one] of promised.entries()) {
          if (one === undefined || this.kept.has(one)) continue;
          cache.put({ ...one.entry, size: sizes[at] ?? 0 });
          this.kept.add(one);
        }
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new BrokenCache(failing, error);
    }
  }

  /** Whether a build that failed is to be done again, without the cache that it failed for. */
  goesOnWithout(error: unknown): boolean {
    if (!(error instanceof BrokenCache)) return false;
    this.broken.add(error.source);
    for (const [chainId, { source }] of this.promised)
      if (source.name === error.source) this.promised.delete(chainId);
    this.input.warn(`the cache ${error.source} is not used any more: ${error.message}`);
    return true;
  }
}
