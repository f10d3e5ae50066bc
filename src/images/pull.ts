/**
 * From a reference to an image's documents: index, manifest and configuration, each checked against the digest that
 * names it, and for the platform that is wanted.
 */
import { digestOf } from "../base/digest.ts";
import { Fault, fault } from "../base/errors.ts";
import type { BlobDescriptor, Manifest, Repository } from "../registry/index.ts";
import type { Question } from "../signatures/index.ts";
import { type Platform, platformRank, platformText } from "../spec/platform.ts";
import { familiarReference, type Reference } from "../spec/reference.ts";
import { attestedBy, entriesOf, isIndexType, readIndex } from "./image-index.ts";
import {
  artifactDocument,
  artifactType,
  type Descriptor,
  DOCUMENT_MAX,
  type ImageDocument,
  parseDescriptor,
  parseDocument,
  parseObject,
} from "./model.ts";
import type { Admission } from "./options.ts";
import type { Referring } from "./referrers.ts";

/** An image whose layers are still with the registry. */
export interface RemoteImage {
  /** What the reference leads to: the index or the manifest. Repository digests are made of it. */
  readonly digest: string;
  readonly manifestBytes: Uint8Array;
  readonly configBytes: Uint8Array;
  readonly document: ImageDocument;
  readonly layers: readonly BlobDescriptor[];
  /** The index that it was chosen from, with what is kept of that beside the image. */
  readonly index?: RemoteIndex | undefined;
  /** Whoever admits images has asked for a signature of this one. */
  readonly signed?: boolean;
  /** What refers to it. */
  readonly referring?: Referring | undefined;
}

/** Of an index: itself, and manifests with what they name. */
export interface RemoteIndex {
  readonly digest: string;
  /** Indexes and manifests, the index first. */
  readonly documents: readonly Manifest[];
  readonly blobs: readonly BlobDescriptor[];
}

/** Where an image's documents and blobs come from. */
export type ImageSource = Pick<Repository, "manifest" | "blob">;

/** What is fetched of an index beside the chosen image: what attests it, or everything. */
export type Beside = "attestations" | "all";

const NESTING_MAX = 4;
/** No index brings more bytes of manifests, and they come a few at a time. */
const BESIDE_MAX = 32 << 20;
const AT_A_TIME = 4;
/** An entry that says nothing of its platform is the last that is taken. */
const UNNAMED = 1000;
const isLayer = (type: string) =>
  /^application\/vnd\.(oci\.image\.layer\.v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.diff\.tar(\.gzip|\.zstd)?)$/.test(
    type,
  );

function unsupported(message: string): Error {
  return fault("unsupported", "image-media-type", message);
}

/** The entry of an index that fits best; of equals the first, and no attestation is taken for an image. */
function entryFor(index: Record<string, unknown>, wanted: Platform, shown: string): Descriptor {
  const list = entriesOf(index);
  let found: Descriptor | undefined;
  let best = Number.POSITIVE_INFINITY;
  for (const entry of list) {
    if (entry.annotations?.["vnd.docker.reference.type"] !== undefined) continue;
    const { os, architecture, variant } = entry.platform ?? {};
    const rank =
      os === undefined && architecture === undefined
        ? UNNAMED
        : platformRank(wanted, { os: os ?? "linux", architecture: architecture ?? "", variant });
    if (rank === undefined || rank >= best) continue;
    [found, best] = [entry, rank];
  }
  if (found !== undefined) return found;
  throw fault(
    "not-found",
    "no-matching-platform",
    `no matching manifest for ${platformText(wanted)} in the manifest list entries of ${shown}`,
  );
}

/** What a manifest's own words say that it is: the header may be missing, or lie. */
function kindOf(
  manifest: Record<string, unknown>,
  mediaType: string,
  shown: string,
): "index" | "image" {
  const said = typeof manifest.mediaType === "string" ? manifest.mediaType : mediaType;
  const [list, config] = [Array.isArray(manifest.manifests), manifest.config !== undefined];
  // What is both could mean one image to us and another to somebody else (CVE-2021-41190).
  if (list && (config || manifest.layers !== undefined))
    throw fault(
      "invalid",
      "image-archive",
      `${shown}: a manifest that is also an index is refused`,
    );
  if (manifest.schemaVersion === 1)
    throw unsupported(
      `${shown} is of the schema 1, which registries have given up; push it anew with a current tool`,
    );
  if (list || isIndexType(said)) return "index";
  if (!config) throw unsupported(`${shown} is no image: its media type is ${JSON.stringify(said)}`);
  return "image";
}

function layersOf(manifest: Record<string, unknown>, shown: string): BlobDescriptor[] {
  return (Array.isArray(manifest.layers) ? manifest.layers : []).map((item) => {
    const layer = parseDescriptor(item, "an image manifest");
    const type = layer.mediaType ?? "";
    if (/nondistributable|foreign/.test(type))
      throw unsupported(
        `${shown}: layer ${layer.digest} is not in the registry (a foreign layer); berth does not fetch from elsewhere`,
      );
    if (!isLayer(type))
      throw unsupported(
        `${shown}: layer ${layer.digest} has the media type ${JSON.stringify(type)}, which is no image layer`,
      );
    return layer;
  });
}

/** What comes beside an image's own layers and documents: what is kept of its index, and what refers to it. */
export function besideImage({ index, referring }: RemoteImage): {
  readonly blobs: readonly BlobDescriptor[];
  readonly documents: readonly Pick<Manifest, "digest" | "bytes">[];
} {
  const found = referring?.found ?? [];
  const named = [...(index?.blobs ?? []), ...found.flatMap(({ blobs }) => blobs)];
  const blobs = [...new Map(named.map((blob) => [blob.digest, blob])).values()];
  return { blobs, documents: [...(index?.documents ?? []), ...found] };
}

/** A configuration, checked. */
export async function configOf(
  source: Pick<Repository, "blob">,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (descriptor.size > DOCUMENT_MAX)
    throw fault(
      "invalid",
      "image-config",
      `the image configuration is larger than ${DOCUMENT_MAX} bytes`,
    );
  const pieces: Uint8Array[] = [];
  for await (const piece of source.blob(descriptor, 0, signal)) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  const digest = digestOf(bytes);
  if (digest !== descriptor.digest)
    throw fault(
      "failed",
      "registry-content",
      `image config verification failed for digest ${descriptor.digest}`,
    );
  return bytes;
}

/** A manifest, and the indexes that have led to it. */
interface Found {
  readonly found: Manifest;
  readonly manifest: Record<string, unknown>;
  readonly indexes: readonly Manifest[];
}

async function manifestFor(
  source: Pick<Repository, "manifest">,
  top: Manifest,
  platform: Platform,
  shown: string,
  signal: AbortSignal,
): Promise<Found> {
  let found = top;
  const indexes: Manifest[] = [];
  for (let depth = 0; depth <= NESTING_MAX; depth++) {
    const manifest = parseObject(found.bytes, `the manifest of ${shown}`);
    if (kindOf(manifest, found.mediaType, shown) === "image") return { found, manifest, indexes };
    indexes.push(found);
    found = await source.manifest(entryFor(manifest, platform, shown).digest, signal);
  }
  throw fault("invalid", "image-archive", `${shown}: indexes are nested too deeply`);
}

/** A document by its digest or tag; undefined when the registry does not have it: whoever copies images may leave some behind. */
export async function documentOf(
  source: Pick<Repository, "manifest">,
  digest: string,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  try {
    return await source.manifest(digest, signal);
  } catch (error) {
    if (error instanceof Fault && error.kind === "not-found") return undefined;
    throw error;
  }
}

/** What is kept of the indexes that an image was found through. */
async function besideOf(
  source: Pick<Repository, "manifest">,
  { found, indexes }: Found,
  beside: Beside,
  signal: AbortSignal,
): Promise<RemoteIndex | undefined> {
  const [top] = indexes;
  if (top === undefined) return undefined;
  const documents = new Map([...indexes, found].map((one) => [one.digest, one]));
  const descriptorOf = ({ digest, mediaType, bytes }: Manifest) => ({
    ...{ digest, mediaType },
    size: bytes.length,
  });
  // Level by level: an index that is fetched names more.
  for (let depth = 0; depth <= NESTING_MAX; depth++) {
    const { parts } = readIndex(descriptorOf(top), ({ digest }) => documents.get(digest)?.bytes);
    const missing = parts
      .filter(({ bytes }) => bytes === undefined)
      .map(({ descriptor }) => descriptor)
      .filter((one) => beside === "all" || attestedBy(one) === found.digest);
    const before = documents.size;
    for (let at = 0; at < missing.length; at += AT_A_TIME) {
      const few = missing.slice(at, at + AT_A_TIME);
      const fetched = await Promise.all(
        few.map(({ digest }) => documentOf(source, digest, signal)),
      );
      for (const one of fetched) if (one !== undefined) documents.set(one.digest, one);
      if (documents.values().reduce((sum, { bytes }) => sum + bytes.length, 0) > BESIDE_MAX)
        throw fault(
          "invalid",
          "image-archive",
          `an index has more than ${BESIDE_MAX} bytes of manifests`,
        );
    }
    if (documents.size === before) break;
  }
  const { parts } = readIndex(descriptorOf(top), ({ digest }) => documents.get(digest)?.bytes);
  const blobs = new Map(parts.flatMap(({ names }) => names).map((one) => [one.digest, one]));
  return { digest: top.digest, documents: [...documents.values()], blobs: [...blobs.values()] };
}

/** An artifact: its manifest stands for it, and all that it names is kept as it comes. */
async function remoteArtifact(
  source: Pick<Repository, "manifest">,
  chosen: Found,
  artifact: string,
  beside: Beside,
  signal: AbortSignal,
): Promise<RemoteImage> {
  const { bytes, digest } = chosen.found;
  const [top = chosen.found] = chosen.indexes;
  const { parts } = readIndex({ digest, size: bytes.length }, () => bytes);
  const alone = { digest, documents: [chosen.found], blobs: parts.flatMap(({ names }) => names) };
  return {
    ...{ digest: top.digest, manifestBytes: bytes, configBytes: bytes, layers: [] },
    document: artifactDocument(artifact),
    index: (await besideOf(source, chosen, beside, signal)) ?? alone,
  };
}

/** Rejects when what a reference leads to must not come; whether a signature was asked for. */
export type Admit = (top: Manifest) => Promise<boolean>;

/** Judges what a reference leads to, where somebody says which images may come. */
export function admitBy(
  admission: Admission | undefined,
  question: Omit<Question, "subject">,
): Admit | undefined {
  return admission && ((subject) => admission.pulled({ ...question, subject }));
}

/** Which image is wanted. */
export interface RemoteWish {
  readonly reference: Reference;
  readonly platform: Platform;
  /** Attestations, unless more is said. */
  readonly beside?: Beside | undefined;
  /** Rejects when what the reference leads to must not come. */
  readonly admit?: Admit | undefined;
}

/**
 * Finds the image that a reference means. The tag is asked for once: what is admitted is what everything else is reached
 * from, by digests. Rejects with Faults in Docker's words.
 */
export async function resolveRemote(
  source: Pick<Repository, "manifest" | "blob">,
  { reference, platform, beside = "attestations", admit }: RemoteWish,
  signal: AbortSignal,
): Promise<RemoteImage> {
  const shown = familiarReference(reference);
  const top = await source.manifest(reference.digest ?? reference.tag ?? "latest", signal);
  const signed = await admit?.(top);
  const chosen = await manifestFor(source, top, platform, shown, signal);
  const { manifest } = chosen;
  const artifact = artifactType(manifest);
  if (artifact !== undefined)
    return {
      ...(await remoteArtifact(source, chosen, artifact, beside, signal)),
      signed: signed === true,
    };
  const config = parseDescriptor(manifest.config, "an image manifest");
  const layers = layersOf(manifest, shown);
  const configBytes = await configOf(source, config, signal);
  const document = parseDocument(configBytes);
  if (layers.length !== document.rootfs.diff_ids.length)
    throw fault(
      "invalid",
      "image-archive",
      `invalid manifest, layers length mismatch: expected ${document.rootfs.diff_ids.length}, got ${layers.length}`,
    );
  return {
    ...{ digest: top.digest, manifestBytes: chosen.found.bytes, configBytes, document, layers },
    index: await besideOf(source, chosen, beside, signal),
    signed: signed === true,
  };
}
