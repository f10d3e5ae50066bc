/**
 * Saving images: one archive that is an OCI layout and what older engines and tools load, both over the same blobs. Blobs
 * go out as they are kept, so that digests stay and nothing is computed. The same images give the same bytes each time.
 * What describes the archive stands before the layers, so that a reader can do with one pass.
 */
import { open } from "node:fs/promises";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import { tarEnd, tarHeader, tarPadding } from "../base/tar-writer.ts";
import type { Platform } from "../spec/platform.ts";
import { familiarName, isSha256, parseReference, type Reference } from "../spec/reference.ts";
import type { ContentStore } from "./content.ts";
import type { Holds } from "./holds.ts";
import { type Kept, type KeptManifest, manifestOf } from "./manifest.ts";
import { type Descriptor, type ImageRecord, MADE_MANIFEST } from "./model.ts";
import { wholeTag } from "./names.ts";
import { checkPlatform } from "./views.ts";

/** What images are saved from. */
export interface SaveSource extends Kept {
  readonly holds: Holds;
  resolve(name: string): ImageRecord;
}

/** An image to be saved. */
interface Picked {
  readonly image: ImageRecord;
  /** The names that were asked for, with tags. */
  readonly names: Set<Reference>;
  readonly manifest: KeptManifest;
}

const INDEX = "application/vnd.oci.image.index.v1+json";
const CHUNK = 1 << 20;
const encoder = new TextEncoder();

function blobName(digest: string): string {
  return `blobs/sha256/${digest.slice(7)}`;
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

/** The same with their manifests, for which their blobs must be here. */
function pick(
  source: SaveSource,
  names: readonly string[],
  platform: Platform | undefined,
): Picked[] {
  return meant(source, names, platform).map(({ image, tags }) => ({
    image,
    names: new Set([...tags].map((tag) => parseReference(tag))),
    manifest: manifestOf(source, image),
  }));
}

function indexEntries({ names, manifest }: Picked): Descriptor[] {
  const { mediaType, digest, size } = manifest.descriptor;
  const made = manifest.made ? { [MADE_MANIFEST]: "true" } : {};
  const entry = (named: Record<string, string>): Descriptor => {
    const annotations = { ...named, ...made };
    return {
      mediaType: mediaType ?? "",
      digest,
      size,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    };
  };
  if (names.size === 0) return [entry({})];
  return [...names].map((name) =>
    entry({
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

function header(path: string, size: number, type: "file" | "directory" = "file"): Uint8Array {
  return tarHeader({
    path,
    type,
    mode: type === "file" ? 0o644 : 0o755,
    uid: 0,
    gid: 0,
    size,
    mtime: 0,
    linkPath: "",
    major: 0,
    minor: 0,
    xattrs: new Map(),
  });
}

function member(path: string, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([header(path, bytes.length), bytes, tarPadding(bytes.length)]);
}

/** A blob's bytes in large pieces. Each has a buffer of its own: whoever takes it may keep it. */
async function* blob(content: ContentStore, { digest, size }: Descriptor): ByteStream {
  yield header(blobName(digest), size);
  const file = await open(content.path(digest), "r");
  try {
    for (let left = size; left > 0; ) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, left));
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0)
        throw fault("failed", "blob-short", `blob ${digest} is shorter than ${size} bytes`);
      left -= bytesRead;
      yield bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
  yield tarPadding(size);
}

async function* archive(content: ContentStore, picked: readonly Picked[]): ByteStream {
  const json = (path: string, value: unknown) =>
    member(path, encoder.encode(JSON.stringify(value)));
  const manifests = picked.flatMap(indexEntries);
  const repositories = repositoriesOf(picked);
  const documents = new Map(
    picked.flatMap(({ manifest: { descriptor, bytes, config } }) => [
      [descriptor.digest, bytes] as const,
      [config.digest, content.read(config.digest)] as const,
    ]),
  );
  const layers = new Map(
    picked.flatMap(({ manifest }) => manifest.layers.map((layer) => [layer.digest, layer])),
  );
  yield Buffer.concat([
    json("oci-layout", { imageLayoutVersion: "1.0.0" }),
    json("index.json", { schemaVersion: 2, mediaType: INDEX, manifests }),
    json("manifest.json", picked.map(dockerEntry)),
    ...(Object.keys(repositories).length === 0 ? [] : [json("repositories", repositories)]),
    header("blobs", 0, "directory"),
    header("blobs/sha256", 0, "directory"),
    ...[...documents].map(([digest, bytes]) => member(blobName(digest), bytes)),
  ]);
  for (const layer of layers.values()) yield* blob(content, layer);
  yield tarEnd();
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
  const blobs = picked.flatMap(({ manifest }) => [
    manifest.config.digest,
    ...manifest.layers.map(({ digest }) => digest),
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
