/**
 * Layers in a registry with a document of another kind than an image's beside them: read and sent. An image is read as one, too.
 */

import { digestOf } from "../base/digest.ts";
import type { Repository } from "../registry/index.ts";
import type { Platform } from "../spec/platform.ts";
import { familiarReference, parseReference, type Reference } from "../spec/reference.ts";
import { bringLayers } from "./bring.ts";
import type { LayerStack } from "./composer.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { Downloads } from "./downloads.ts";
import type { DroppedBlobs } from "./dropped.ts";
import type { Holds } from "./holds.ts";
import type { Layers } from "./layers.ts";
import { type Descriptor, type ImageDocument, parseDescriptor, parseObject } from "./model.ts";
import type { Admission, LayerOrigin, TransferOptions } from "./options.ts";
import type { Report } from "./progress.ts";
import { configOf, resolveRemote } from "./pull.ts";
import {
  blobFile,
  eachOf,
  layerFor,
  type ManifestLayer,
  OCI_MANIFEST,
  type PushTarget,
  sendBlob,
  sendLayer,
  UPLOADS_MAX,
} from "./push.ts";
import { hostPlatform } from "./views.ts";

/** What a reference leads to. */
export interface LayerSet {
  /** The document, if it is of the kind that was asked for. */
  readonly config?: Uint8Array;
  /** Otherwise an image's. */
  readonly document?: ImageDocument;
  readonly layers: readonly Descriptor[];
}

/** How one is read. */
interface ReadSet {
  readonly platform: Platform;
  readonly signal: AbortSignal;
  readonly admission: Admission | undefined;
}

/** Reads one. `kind`: the media type of its document. Rejects with Faults in Docker's words. */
async function readLayerSet(
  source: Repository,
  reference: Reference,
  kind: string,
  { platform, signal, admission }: ReadSet,
): Promise<LayerSet> {
  const top = await source.manifest(reference.digest ?? reference.tag ?? "latest", signal);
  await admission?.pulled({ reference, subject: top, source, signal });
  const manifest = parseObject(top.bytes, `the manifest of ${familiarReference(reference)}`);
  const { mediaType } = (manifest.config ?? {}) as { mediaType?: unknown };
  if (mediaType !== kind) {
    // By its digest: a tag may have moved since it was judged.
    const judged = { ...reference, digest: top.digest };
    const { document, layers } = await resolveRemote(
      source,
      { reference: judged, platform },
      signal,
    );
    return { document, layers };
  }
  const config = await configOf(source, parseDescriptor(manifest.config, "a manifest"), signal);
  const layers = Array.isArray(manifest.layers) ? manifest.layers : [];
  return { config, layers: layers.map((one) => parseDescriptor(one, "a manifest")) };
}

/** A layer to send: one that is here, or one that the repository has. */
export type SetLayer = { readonly digest: string } | { readonly there: Descriptor };

const LAYER = "application/vnd.oci.image.layer.v1.tar";

const descriptorOf = ({ digest, size, kind }: ManifestLayer): Descriptor => ({
  ...{ mediaType: kind === "plain" ? LAYER : `${LAYER}+${kind}`, digest, size },
});

/** A manifest of such a set. */
export function manifestOfSet(config: Descriptor, layers: readonly Descriptor[]) {
  const manifest = {
    ...{ schemaVersion: 2, mediaType: OCI_MANIFEST, config },
    layers: layers.map(({ mediaType = `${LAYER}+gzip`, digest, size }) => ({
      ...{ mediaType, digest, size },
    })),
  };
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  const digest = digestOf(bytes);
  return { mediaType: OCI_MANIFEST, digest, bytes };
}

/** Sends one: the layers, the document, and last the manifest, so that nobody sees half of it. */
async function pushLayerSet(
  target: PushTarget,
  layers: readonly SetLayer[],
  document: { readonly kind: string; readonly digest: string },
  report: Report,
): Promise<void> {
  const { content, repository, reference, signal } = target;
  const own = layers.flatMap((one) => ("there" in one ? [] : one.digest));
  const sent = new Map<string, Descriptor>();
  await eachOf(new Set(own), UPLOADS_MAX, async (digest) => {
    sent.set(digest, descriptorOf(await sendLayer(target, digest, report)));
  });
  const descriptors = layers.flatMap((one) =>
    "there" in one ? one.there : (sent.get(one.digest) ?? []),
  );
  await sendBlob(target, blobFile(content, document.digest), () => {});
  const { digest } = document;
  const config = { mediaType: document.kind, digest, size: content.size(digest) };
  const manifest = manifestOfSet(config, descriptors);
  await repository.putManifest(reference.digest ?? reference.tag ?? "latest", manifest, signal);
}

/** Layers as they would be sent. */
export interface OfferedSet {
  readonly manifest: ReturnType<typeof manifestOfSet>;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** Files of the layers' blobs, by their digests. */
  readonly paths: ReadonlyMap<string, string>;
}

/** The store's parts that layer sets need. */
export interface LayerSetParts {
  readonly content: ContentStore;
  readonly data: ImageDatabase;
  readonly holds: Holds;
  readonly dropped: DroppedBlobs;
  readonly layers: Layers;
  readonly downloads: Downloads;
  /** Says which images may come: a cache brings layers as an image does. */
  readonly admission: Admission | undefined;
  /** Whether a blob is in the store, or can be made again. */
  readonly isHere: (digest: string) => boolean;
  readonly open: (
    reference: Reference,
    actions: "pull" | "pull,push",
    options: TransferOptions,
  ) => Repository;
}

/** Layers on their way that are of no image. */
export class LayerSets {
  constructor(private readonly parts: LayerSetParts) {}

  /** Fetches what of a stack of layers is not here; `use` gets the layers' sizes while nothing deletes them. */
  async bring(
    stack: LayerStack,
    { blobs, blob, report, signal }: LayerOrigin,
    use: (sizes: readonly number[]) => void,
  ): Promise<void> {
    const { content, downloads, layers, data, isHere, holds } = this.parts;
    await holds.during([...stack.chain, ...stack.blobs], async () => {
      const parts = { content, downloads, layers, isHere, source: { blob }, report, signal };
      const awaited = stack.blobs.filter((digest) => !isHere(digest));
      data.expect(awaited);
      const image = { layers: blobs, document: { rootfs: { diff_ids: stack.diffIds } } };
      use(await bringLayers(image, stack.chain, parts));
      data.expectNoMore(awaited);
    });
  }

  /** What a name leads to in its registry: an image, or layers with a document of this kind. */
  async read(
    name: string,
    kind: string,
    options: TransferOptions,
  ): Promise<LayerSet & Pick<Repository, "blob">> {
    const reference = parseReference(name);
    const source = this.parts.open(reference, "pull", options);
    const platform = options.platform ?? hostPlatform();
    const { admission } = this.parts;
    const { signal } = options;
    const set = await readLayerSet(source, reference, kind, { platform, signal, admission });
    return { ...set, blob: (...part) => source.blob(...part) };
  }

  /** Sends layers with a document under a name. What is only made for that does not stay. */
  async push(
    name: string,
    layers: readonly SetLayer[],
    document: { readonly kind: string; readonly bytes: Uint8Array },
    options: TransferOptions,
  ): Promise<void> {
    const reference = parseReference(name);
    const { content, data, holds, open } = this.parts;
    const repository = open(reference, "pull,push", options);
    const target = { content, data, repository, reference, signal: options.signal };
    const own = layers.flatMap((one) => ("there" in one ? [] : one.digest));
    const digest = digestOf(document.bytes);
    await holds.during([digest], async () => {
      await content.put(document.bytes);
      await this.during(own, () =>
        pushLayerSet(target, layers, { kind: document.kind, digest }, options.report),
      );
    });
  }

  /** Hands layers over as they would be sent, with their files and a manifest, while which nothing deletes them. */
  async offer<T>(
    blobs: readonly string[],
    document: { readonly kind: string; readonly bytes: Uint8Array },
    use: (offered: OfferedSet) => Promise<T>,
  ): Promise<T> {
    const { content, holds } = this.parts;
    return this.during(blobs, async () => {
      const layers = (await Promise.all(blobs.map((digest) => layerFor(this.parts, digest)))).map(
        descriptorOf,
      );
      const digests = layers.map(({ digest }) => digest);
      const digest = digestOf(document.bytes);
      const config = { mediaType: document.kind, digest, size: document.bytes.length };
      const paths = new Map(digests.map((one) => [one, content.path(one)]));
      const manifest = manifestOfSet(config, layers);
      return holds.during(digests, () => use({ manifest, config, layers, paths }));
    });
  }

  /** Whether a repository has a blob. */
  async isThere(name: string, digest: string, options: TransferOptions): Promise<boolean> {
    const repository = this.parts.open(parseReference(name), "pull,push", options);
    return (await repository.blobSize(digest)) !== undefined;
  }

  /** Keeps layers' blobs here meanwhile. Compressed forms that are made of those that no image has go afterwards. */
  private async during<T>(blobs: readonly string[], work: () => Promise<T>): Promise<T> {
    const { data, dropped, holds } = this.parts;
    try {
      return await dropped.during(blobs, work);
    } finally {
      const made = blobs.flatMap((digest) => data.compressedOf(digest) ?? []);
      await holds.during(made, async () => {});
    }
  }
}
