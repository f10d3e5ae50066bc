/**
 * Caches of builds that hosts share: read from registries, from clients' directories and from images that
 * are here, and written to registries and directories.
 */
import type { BuildOptions } from "../api/index.ts";
import { Fault, fault, messageOf } from "../base/errors.ts";
import {
  CACHE_CONFIG,
  type CacheSource,
  INLINE_FIELD,
  type LoadedCache,
  parseRecords,
  type SharedCaches,
  type SharedExport,
  writeRecords,
} from "../builder/index.ts";
import type { ImageDocument, ImageRecord, ImageStore, SetLayer } from "../images/index.ts";
import type { CacheFrom, CacheTo } from "../spec/build-caches.ts";
import type { ExchangedBlob, ExchangedCache } from "../spec/cache-exchange.ts";
import { type Platform, platformText } from "../spec/platform.ts";
import { isSha256, parseReference } from "../spec/reference.ts";
import type { CacheExchange } from "./cache-exchange.ts";

type Wishes = Pick<BuildOptions, "credentials" | "signal" | "report" | "platforms" | "exchange">;

/** What an image says of the steps that made it. */
function toldByImage(document: ImageDocument): Pick<LoadedCache, "records" | "history"> {
  const { diff_ids: diffIds } = document.rootfs;
  const own = (document as unknown as Record<string, unknown>)[INLINE_FIELD];
  if (own !== undefined) return { records: parseRecords(own, diffIds) };
  return { records: { diffIds, steps: [] }, history: document.history ?? [] };
}

function loadedHere(images: ImageStore, image: ImageRecord): LoadedCache {
  const blobs = images.layersOf(image).blobs.map((digest) => ({ digest, size: 0 }));
  return {
    ...toldByImage(image.document),
    blobs,
    // biome-ignore lint/correctness/useYield: all of it is here
    blob: async function* ({ digest }) {
      throw fault("failed", "build-cache-blob", `the image's layer ${digest} is not here any more`);
    },
  };
}

/** How a build speaks with a registry. */
function transfer({ credentials, signal }: Wishes, ref: string, platform?: Platform) {
  const { domain } = parseReference(ref);
  return { credentials: credentials(domain), report: () => {}, signal, platform };
}

async function loadedThere(
  images: ImageStore,
  ref: string,
  wishes: Wishes,
  platform: Platform | undefined,
): Promise<LoadedCache> {
  const set = await images.layerSets.read(ref, CACHE_CONFIG, transfer(wishes, ref, platform));
  const { config, document, layers: blobs, blob } = set;
  if (document !== undefined) return { ...toldByImage(document), blobs, blob };
  const records = parseRecords(JSON.parse(new TextDecoder().decode(config)));
  return { ...ownCache(records, blobs), blob };
}

/** A cache in a directory of the client's. */
function loadedFromClient(
  { config, layers }: ExchangedCache,
  exchange: CacheExchange,
  source: number,
): LoadedCache {
  const blobs = (Array.isArray(layers) ? layers : []).map((one) => cacheBlob(one));
  return {
    ...ownCache(parseRecords(config), blobs),
    blob: (blob, from) => exchange.blob(source, blob, from),
  };
}

function cacheBlob({ mediaType, digest, size }: ExchangedBlob): ExchangedBlob {
  if (isSha256(String(digest)) && Number.isSafeInteger(size) && size >= 0)
    return { ...(typeof mediaType === "string" ? { mediaType } : {}), digest, size };
  throw fault("invalid", "build-cache-format", "this is no cache of builds: a layer has no digest");
}

function ownCache(records: LoadedCache["records"], blobs: LoadedCache["blobs"]) {
  if (records.diffIds.length === blobs.length) return { records, blobs };
  throw fault("invalid", "build-cache-format", "this is no cache of builds: layers are missing");
}

function imageHere(images: ImageStore, name: string): ImageRecord | undefined {
  try {
    return images.resolve(name);
  } catch (error) {
    if (error instanceof Fault && error.kind === "not-found") return undefined;
    throw error;
  }
}

/** What --cache-from names. */
export function cacheSources(
  images: ImageStore,
  from: readonly CacheFrom[],
  wishes: Wishes,
  exchange: CacheExchange,
): CacheSource[] {
  const { platforms } = wishes;
  return from.flatMap((one, number): CacheSource | CacheSource[] => {
    if (one.type === "local") {
      const load = async () => {
        if (wishes.exchange === "")
          throw fault("invalid", "build-cache-option", "type=local needs berth's own command line");
        return loadedFromClient(await exchange.describe(number), exchange, number);
      };
      return { name: one.directory, load };
    }
    // An image of several platforms is several.
    const all = platforms.length === 0 ? [undefined] : platforms;
    return all.map((platform) => ({
      name: all.length === 1 ? one.ref : `${one.ref} (${platform && platformText(platform)})`,
      load: async () => {
        const here = one.type === "image" ? imageHere(images, one.ref) : undefined;
        return here === undefined
          ? loadedThere(images, one.ref, wishes, platform)
          : loadedHere(images, here);
      },
    }));
  });
}

type ToRegistry = Extract<CacheTo, { type: "registry" }>;

/** Writes what a build has found and made. */
export class CacheWriter {
  constructor(
    private readonly images: ImageStore,
    private readonly shared: SharedCaches,
    private readonly wishes: Wishes,
    private readonly exchange: CacheExchange,
  ) {}

  /** Rejects when a cache cannot be written that must be. */
  async write(to: readonly CacheTo[]): Promise<void> {
    for (const [number, one] of to.entries()) {
      if (one.type === "inline") continue;
      try {
        const written = this.shared.trail.export(one.mode);
        if (one.type === "registry") await this.push(one, written);
        else await this.offer(number, written);
      } catch (error) {
        this.wishes.signal.throwIfAborted();
        const name = one.type === "registry" ? one.ref : one.directory;
        const text = `the cache ${name} cannot be written: ${messageOf(error)}`;
        if (!one.ignoreError) throw fault("failed", "build-cache-write", text, error);
        this.wishes.report({ kind: "warning", text });
      }
    }
  }

  private documentOf({ records }: SharedExport) {
    const bytes = new TextEncoder().encode(JSON.stringify(writeRecords(records)));
    return { kind: CACHE_CONFIG, bytes };
  }

  private async push({ ref }: ToRegistry, written: SharedExport): Promise<void> {
    const { images, shared, wishes } = this;
    const options = transfer(wishes, ref);
    const sent: SetLayer[] = [];
    for (const snapshot of written.layers) {
      const promised = shared.promisedBlob(snapshot.chain.at(-1) ?? "");
      // What only was promised need not come here to stay where it is.
      const stays =
        promised !== undefined &&
        !images.composer.has(snapshot) &&
        (await images.layerSets.isThere(ref, promised.digest, options));
      if (stays) {
        sent.push({ there: promised });
        continue;
      }
      await shared.bring(snapshot);
      sent.push({ digest: snapshot.blobs.at(-1) ?? "" });
    }
    await images.layerSets.push(ref, sent, this.documentOf(written), options);
  }

  /** Offers a cache to the client, for a directory of its own. */
  private async offer(target: number, written: SharedExport): Promise<void> {
    const { images, shared, exchange } = this;
    for (const snapshot of written.layers) await shared.bring(snapshot);
    const blobs = written.layers.map((snapshot) => snapshot.blobs.at(-1) ?? "");
    const document = this.documentOf(written);
    await images.layerSets.offer(blobs, document, ({ manifest, config, layers, paths }) => {
      const { mediaType, digest, bytes } = manifest;
      const text = (one: Uint8Array) => new TextDecoder().decode(one);
      const texts = { [digest]: text(bytes), [config.digest]: text(document.bytes) };
      const own = { mediaType, digest, size: bytes.length };
      return exchange.offer({ target, manifest: own, texts, layers }, paths);
    });
  }
}
