/**
 * The manifest of an image as it is kept here: the one that it came with, or one made of what is there.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { digestOf } from "../base/digest.ts";
import type { ImageManifestSummary } from "../spec/engine-api.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import { attestedBy, type IndexPart, isWhole } from "./image-index.ts";
import type { IndexHere } from "./indexes.ts";
import type { Descriptor, ImageRecord } from "./model.ts";
import { kindOf, OCI_MANIFEST, originalManifest } from "./push.ts";

/** Where an image's blobs are, and which are its. */
export interface Kept {
  readonly content: ContentStore;
  readonly data: ImageDatabase;
}

/** A manifest with what it names. */
export interface KeptManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly config: Descriptor;
  /** Its layers as they are kept, the lowest first. */
  readonly layers: readonly Descriptor[];
  /** The image came with none: no registry knows this one. */
  readonly made: boolean;
}

const LAYER = "application/vnd.oci.image.layer.v1.tar";
const CONFIG = "application/vnd.oci.image.config.v1+json";

function layerOf(content: ContentStore, digest: string): Descriptor {
  const head = new Uint8Array(4);
  const fd = openSync(content.path(digest), "r");
  try {
    readSync(fd, head);
  } finally {
    closeSync(fd);
  }
  const kind = kindOf(head);
  const mediaType = kind === "plain" ? LAYER : `${LAYER}+${kind}`;
  return { mediaType, digest, size: content.size(digest) };
}

/** The manifest of an image whose blobs are here. The same image gives the same bytes each time. */
export function manifestOf({ content, data }: Kept, image: ImageRecord): KeptManifest {
  const config = { mediaType: CONFIG, digest: image.id, size: content.size(image.id) };
  const layers = data.layerBlobs(image).map((digest) => layerOf(content, digest));
  const original = originalManifest({ content }, image);
  if (original !== undefined) {
    const { mediaType, digest, bytes } = original;
    const descriptor = { mediaType, digest, size: bytes.length };
    return { descriptor, bytes, config, layers, made: false };
  }
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers };
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  const digest = digestOf(bytes);
  const descriptor = { mediaType: OCI_MANIFEST, digest, size: bytes.length };
  return { descriptor, bytes, config, layers, made: true };
}

/**
 * What of an image's distributable form is here, as the API tells it: its manifest, or those of the index that it came
 * with, whether they are here or not. `containers`: those that use the image.
 */
export function manifestSummaries(
  kept: Kept,
  image: ImageRecord,
  containers: readonly string[],
  index: IndexHere | undefined,
): ImageManifestSummary[] {
  const own = manifestSummary(kept, image, containers);
  if (index === undefined) return [own];
  return index.parts.map((part) =>
    part.names[0]?.digest === image.id
      ? { ...own, ID: part.descriptor.digest, Descriptor: part.descriptor }
      : partSummary(kept.content, part),
  );
}

/** A statement about an image that came in its index, or with what refers to it. */
export interface Attestation {
  /** "https://spdx.dev/Document", "https://slsa.dev/provenance/v1" */
  readonly PredicateType: string;
  readonly MediaType: string;
  readonly Digest: string;
  readonly Size: number;
  /** The manifest that names it. */
  readonly Manifest: string;
  /** What that refers to; undefined: it is in the image's index. */
  readonly Subject?: string;
}

/** What is attested of a manifest in its index, as BuildKit stores it: SBOMs, provenance. */
export function attestationsIn(index: IndexHere, manifest: string): Attestation[] {
  return index.parts
    .filter(({ descriptor }) => attestedBy(descriptor) === manifest)
    .flatMap(({ descriptor, names }) =>
      names.flatMap(({ annotations, digest, size, mediaType = "" }) => {
        const PredicateType = annotations?.["in-toto.io/predicate-type"];
        if (PredicateType === undefined) return [];
        const own = { PredicateType, MediaType: mediaType, Digest: digest, Size: size };
        return [{ ...own, Manifest: descriptor.digest }];
      }),
    );
}

/** A manifest beside the one that an image here came with. */
function partSummary(content: ContentStore, part: IndexPart): ImageManifestSummary {
  const { descriptor, bytes, names } = part;
  const has = (digest: string) => content.has(digest);
  const there = new Set(names.map(({ digest }) => digest).filter(has));
  const Content = [...there].reduce(
    (sum, digest) => sum + content.size(digest),
    bytes?.length ?? 0,
  );
  const common = {
    ID: descriptor.digest,
    Descriptor: descriptor,
    Available: isWhole(part, has),
    Size: { Content, Total: Content },
  };
  const about = attestedBy(descriptor);
  if (about !== undefined)
    return { ...common, Kind: "attestation", AttestationData: { For: about } };
  const { os = "unknown", architecture = "unknown", variant } = descriptor.platform ?? {};
  if (os === "unknown" || architecture === "unknown") return { ...common, Kind: "unknown" };
  const Platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  return {
    ...common,
    Kind: "image",
    ImageData: { Platform, Containers: [], Size: { Unpacked: 0 } },
  };
}

function manifestSummary(
  kept: Kept,
  image: ImageRecord,
  containers: readonly string[],
): ImageManifestSummary {
  const { content, data } = kept;
  const layers = new Set(data.layerBlobs(image));
  // Blobs that have been dropped beside their layers can be made again, but are not there.
  const there = [image.id, ...layers].filter((digest) => content.has(digest));
  const whole = there.length === layers.size + 1;
  const descriptor = whole ? manifestOf(kept, image).descriptor : knownDescriptor(kept, image);
  const own = image.manifest !== undefined && content.has(image.manifest) ? descriptor.size : 0;
  const Content = there.reduce((sum, digest) => sum + content.size(digest), own);
  const { os, architecture, variant } = image.document;
  return {
    ID: descriptor.digest,
    Descriptor: descriptor,
    Available: whole,
    Kind: "image",
    Size: { Content, Total: Content + image.size },
    ImageData: {
      Platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
      Containers: [...containers],
      Size: { Unpacked: image.size },
    },
  };
}

/** The manifest that an image came with, or else its configuration, in place of a manifest that cannot be made now. */
function knownDescriptor({ content }: Kept, { id, manifest }: ImageRecord): Descriptor {
  const known = manifest !== undefined && content.has(manifest);
  const digest = known ? manifest : id;
  return { mediaType: known ? OCI_MANIFEST : CONFIG, digest, size: content.size(digest) };
}
