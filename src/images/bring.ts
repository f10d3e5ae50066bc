/**
 * The layers of an image that is pulled: fetched a few at a time, and unpacked while they arrive where the driver allows it.
 */
import { ArrivingFile } from "../base/arriving-file.ts";
import type { BlobDescriptor, Repository } from "../registry/index.ts";
import type { ContentStore } from "./content.ts";
import type { Downloads } from "./downloads.ts";
import { type Layers, wantedLayer } from "./layers.ts";
import { type Report, shortDigest } from "./progress.ts";

/** Layers that stand on each other, and their blobs. */
export interface RemoteLayers {
  readonly layers: readonly BlobDescriptor[];
  readonly document: { readonly rootfs: { readonly diff_ids: readonly string[] } };
}

/** What a pull works with. */
export interface PullParts {
  readonly content: ContentStore;
  readonly downloads: Downloads;
  readonly layers: Layers;
  /** Whether a blob is in the store, or can be made again. */
  isHere(digest: string): boolean;
  readonly source: Pick<Repository, "blob">;
  readonly report: Report;
  readonly signal: AbortSignal;
}

/** A layer on its way. */
interface Coming {
  readonly id: string;
  /** Nothing of it has to be fetched or unpacked. */
  readonly known: boolean;
  /** Its blob, as soon as there is something to read. */
  readonly arriving: Promise<ArrivingFile>;
  /** Its blob in the store, verified. */
  readonly done: Promise<ArrivingFile>;
}

function begin({ digest, size }: BlobDescriptor, chainId: string, parts: PullParts): Coming {
  const { content, downloads, layers, isHere, source, report, signal } = parts;
  const id = shortDigest(digest);
  const here = () => ArrivingFile.here(content.path(digest), size);
  if (layers.has(chainId) && isHere(digest)) {
    report({ status: "Already exists", id, progressDetail: {} });
    const there = Promise.resolve(here());
    return { id, known: true, arriving: there, done: there };
  }
  report({ status: "Pulling fs layer", id, progressDetail: {} });
  const { promise: begun, resolve } = Promise.withResolvers<ArrivingFile>();
  const done = downloads.fetch(source, { digest, size }, report, signal, resolve).then(here);
  const arriving = Promise.race([begun, done]);
  // Each is looked at in its turn; until then nobody hears of it.
  for (const one of [done, arriving]) one.catch(() => {});
  return { id, known: false, arriving, done };
}

/** Fetches and unpacks the layers of an image. Gives their sizes. Rejects with the first failure. */
export async function bringLayers(
  image: RemoteLayers,
  chain: readonly string[],
  parts: PullParts,
): Promise<number[]> {
  const { layers, report } = parts;
  const { diff_ids } = image.document.rootfs;
  const coming = image.layers.map((layer, index) => begin(layer, chain[index] ?? "", parts));
  const unpack = async ({ id, known, arriving, done }: Coming, index: number) => {
    const wanted = wantedLayer(chain, diff_ids, index);
    const early = layers.unpack({ ...wanted, archive: await arriving });
    early.catch(() => {});
    const archive = await done;
    if (!known) report({ status: "Extracting", id, progressDetail: {} });
    // What arrived at first may have been wrong, and have come again.
    const size = await early.catch(() => layers.unpack({ ...wanted, archive }));
    if (!known) report({ status: "Pull complete", id, progressDetail: {} });
    return size;
  };
  if (layers.independent) return Promise.all(coming.map(unpack));
  const sizes: number[] = [];
  for (const [index, one] of coming.entries()) sizes.push(await unpack(one, index));
  return sizes;
}
