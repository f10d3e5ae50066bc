/**
 * Saving images: one archive that is an OCI layout and what older engines and tools load, both over the same blobs. Blobs
 * go out as they are kept, so that digests stay and nothing is computed. The same images give the same bytes each time.
 * What describes the archive stands before the layers, so that a reader can do with one pass.
 */
import type { ByteStream } from "../base/compression.ts";
import type { Platform } from "../spec/platform.ts";
import { familiarName, isSha256, parseReference, type Reference } from "../spec/reference.ts";
import type { ContentStore } from "./content.ts";
import type { Holds } from "./holds.ts";
import type { IndexHere } from "./indexes.ts";
import { blobName, layoutArchive } from "./layout.ts";
import { type Kept, type KeptManifest, manifestOf } from "./manifest.ts";
import { type Descriptor, type ImageRecord, MADE_MANIFEST } from "./model.ts";
import { wholeTag } from "./names.ts";
import { reaching } from "./referrer-rows.ts";
import { type Referrer, typesOf } from "./referrers.ts";
import { checkPlatform } from "./views.ts";

/** What images are saved from. */
export interface SaveSource extends Kept {
  readonly holds: Holds;
  resolve(name: string): ImageRecord;
  /** What is here of an index; undefined when it is not here itself. */
  index(digest: string): IndexHere | undefined;
  /** What is here that refers to an image. */
  referrers(image: string): readonly Referrer[];
}

/** An image to be saved. */
interface Picked {
  readonly image: ImageRecord;
  /** The names that were asked for, with tags. */
  readonly names: Set<Reference>;
  readonly manifest: KeptManifest;
  /** The indexes that the names mean, or else the image, by their digests. */
  readonly indexes: ReadonlyMap<string, IndexHere>;
  /** Which one a name means, or "" the image without names. */
  readonly indexOf: ReadonlyMap<string, string>;
  /** What refers to the image or to the indexes. */
  readonly referrers: readonly Referrer[];
}

/** The whole names that a user's name stands for: a repository alone means all of its tags; an id or a digest none. */
function namesMeant({ data, resolve }: SaveSource, name: string): string[] {
  if (isSha256(name) || /^[0-9a-f]{64}$/.test(name)) return [];
  const reference = parseReference(name);
  if (reference.digest !== undefined) return [];
  if (reference.tag !== undefined) return [wholeTag(reference)];
  const tags = data.taggedLike(`${reference.domain}/${reference.path}:`);
  // What is no repository may be the beginning of an id.
  if (tags.length === 0) resolve(name);
  return tags;
}

/** The images that are meant, each once, with the names that were asked for. Throws a Fault when one is not there, or not for the platform. */
function meant(
  source: SaveSource,
  names: readonly string[],
  platform: Platform | undefined,
): { readonly image: ImageRecord; readonly tags: ReadonlySet<string> }[] {
  const picked = new Map<string, { image: ImageRecord; tags: Set<string> }>();
  const add = (name: string, tag?: string) => {
    const image = source.resolve(name);
    checkPlatform(name, image, platform);
    const entry = picked.get(image.id) ?? { image, tags: new Set<string>() };
    if (tag !== undefined) entry.tags.add(tag);
    picked.set(image.id, entry);
  };
  for (const name of names) {
    const tags = namesMeant(source, name);
    if (tags.length === 0) add(name);
    else for (const tag of tags) add(tag, tag);
  }
  return [...picked.values()];
}

/** The images that are meant, each once. Throws a Fault when one is not there, or not for the platform. */
export function imagesMeant(
  source: SaveSource,
  names: readonly string[],
  platform: Platform | undefined,
): ImageRecord[] {
  return meant(source, names, platform).map(({ image }) => image);
}

/** What of indexes an archive of some images needs, which must be here. */
export function blobsBeside(
  source: SaveSource,
  names: readonly string[],
  platform: Platform | undefined,
): string[] {
  return meant(source, names, platform)
    .flatMap((one) => [...indexesOf(source, one, platform).indexes.values()])
    .flatMap(({ blobs }) => blobs.map(({ digest }) => digest));
}

/** The indexes that go with an image: whoever asks for one platform gets none. */
function indexesOf(
  { data, index }: SaveSource,
  { image, tags }: ReturnType<typeof meant>[number],
  platform: Platform | undefined,
): Pick<Picked, "indexes" | "indexOf"> {
  const indexes = new Map<string, IndexHere>();
  const indexOf = new Map<string, string>();
  if (platform !== undefined) return { indexes, indexOf };
  const wanted: (readonly [string, string | undefined])[] =
    tags.size === 0 ? [["", image.index]] : [...tags].map((tag) => [tag, data.indexes.named(tag)]);
  for (const [name, digest] of wanted) {
    const here = digest === undefined ? undefined : (indexes.get(digest) ?? index(digest));
    if (digest === undefined || here === undefined) continue;
    indexes.set(digest, here);
    indexOf.set(name, digest);
  }
  return { indexes, indexOf };
}

/** The same with their manifests, for which their blobs must be here. */
function pick(
  source: SaveSource,
  names: readonly string[],
  platform: Platform | undefined,
): Picked[] {
  return meant(source, names, platform).map((one) => {
    const manifest = manifestOf(source, one.image);
    const { indexes, indexOf } = indexesOf(source, one, platform);
    const subjects = new Set([manifest.descriptor.digest, ...indexes.keys()]);
    return {
      image: one.image,
      names: new Set([...one.tags].map((tag) => parseReference(tag))),
      ...{ manifest, indexes, indexOf },
      referrers: reaching(source.referrers(one.image.id), subjects),
    };
  });
}

/** A referrer as index.json lists it: what of it has a tag in registries has that for its name. */
function referrerEntry({ digest, bytes, tag }: Referrer): Descriptor {
  const { MediaType: mediaType, ArtifactType: artifactType } = typesOf(bytes);
  const annotations = { "org.opencontainers.image.ref.name": tag };
  return { mediaType, digest, size: bytes.length, artifactType, ...(tag && { annotations }) };
}

function indexEntries(picked: Picked): Descriptor[] {
  return [...imageEntries(picked), ...picked.referrers.map(referrerEntry)];
}

function imageEntries({ names, manifest, indexes, indexOf }: Picked): Descriptor[] {
  const entry = (whole: string, named: Record<string, string>): Descriptor => {
    const index = indexes.get(indexOf.get(whole) ?? "");
    const { mediaType, digest, size } = index?.descriptor ?? manifest.descriptor;
    const made = index === undefined && manifest.made ? { [MADE_MANIFEST]: "true" } : {};
    const annotations = { ...named, ...made };
    return {
      mediaType: mediaType ?? "",
      digest,
      size,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    };
  };
  if (names.size === 0) return [entry("", {})];
  return [...names].map((name) =>
    entry(wholeTag(name), {
      "io.containerd.image.name": wholeTag(name),
      "org.opencontainers.image.ref.name": name.tag ?? "latest",
    }),
  );
}

/** An image as manifest.json has it, which Docker has read since 1.10. */
function dockerEntry({ image, names, manifest }: Picked): object {
  const { diff_ids } = image.document.rootfs;
  const { config, layers } = manifest;
  return {
    Config: blobName(config.digest),
    RepoTags:
      names.size === 0 ? null : [...names].map((name) => `${familiarName(name)}:${name.tag}`),
    Layers: layers.map(({ digest }) => blobName(digest)),
    LayerSources: Object.fromEntries(layers.map((layer, at) => [diff_ids[at], layer])),
  };
}

/** What the file "repositories" says: which layer is the topmost of a name's image. */
function repositoriesOf(picked: readonly Picked[]): Record<string, Record<string, string>> {
  const out: Record<string, Record<string, string>> = {};
  for (const { names, manifest } of picked) {
    const top = manifest.layers.at(-1);
    if (top === undefined) continue;
    for (const name of names) {
      const repository = familiarName(name);
      out[repository] = { ...out[repository], [name.tag ?? "latest"]: top.digest.slice(7) };
    }
  }
  return out;
}

/** Indexes and their manifests, as far as they are here. */
function documentsOf(indexes: readonly IndexHere[]): (readonly [string, Uint8Array])[] {
  return indexes
    .flatMap((one) => [...one.indexes, ...one.parts])
    .flatMap(({ descriptor, bytes }) =>
      bytes === undefined ? [] : [[descriptor.digest, bytes] as const],
    );
}

/** Everything that an image's archive has but its manifests and its configuration. */
function blobsOf({ manifest, indexes, referrers }: Picked): Descriptor[] {
  return [
    ...manifest.layers,
    ...indexes.values().flatMap(({ blobs }) => blobs),
    ...referrers.flatMap(({ blobs }) => blobs),
  ];
}

function archive(content: ContentStore, picked: readonly Picked[]): ByteStream {
  const repositories = repositoriesOf(picked);
  const documents = new Map(
    picked.flatMap(({ manifest: { descriptor, bytes, config }, indexes, referrers }) => [
      ...documentsOf([...indexes.values()]),
      ...referrers.map((one) => [one.digest, one.bytes] as const),
      [descriptor.digest, bytes] as const,
      [config.digest, content.read(config.digest)] as const,
    ]),
  );
  return layoutArchive({
    manifests: picked.flatMap(indexEntries),
    beside: {
      "manifest.json": picked
        .filter(({ image }) => image.document.artifact === undefined)
        .map(dockerEntry),
      ...(Object.keys(repositories).length === 0 ? {} : { repositories }),
    },
    documents,
    layers: picked
      .flatMap(blobsOf)
      .filter(({ digest }) => !documents.has(digest))
      .map(({ digest, size }) => ({ digest, size, path: content.path(digest) })),
  });
}

/** An archive, and the images in it. */
export interface ImageArchive {
  readonly ids: readonly string[];
  readonly bytes: ByteStream;
}

/**
 * The archive of some images. Throws a Fault when one of them is not there; then it reads only what is kept, and holds it
 * against removals until it has ended.
 */
export function saveImages(
  source: SaveSource,
  names: readonly string[],
  platform: Platform | undefined,
): ImageArchive {
  const { content, holds } = source;
  const picked = pick(source, names, platform);
  const blobs = picked.flatMap((one) => [
    one.manifest.config.digest,
    ...one.referrers.map(({ digest }) => digest),
    ...blobsOf(one).map(({ digest }) => digest),
  ]);
  const bytes = (async function* () {
    const { promise, resolve } = Promise.withResolvers<void>();
    const held = holds.during(blobs, () => promise);
    try {
      yield* archive(content, picked);
    } finally {
      resolve();
      await held;
      // What was removed meanwhile goes now.
      const used = source.data.allBlobs();
      for (const digest of new Set(blobs))
        if (!used.has(digest) && !holds.has(digest)) content.remove(digest);
    }
  })();
  return { ids: picked.map(({ image }) => image.id), bytes };
}
