/**
 * Sending an image to a registry: its layers as they came, those that are kept uncompressed compressed, and a manifest:
 * the one that it came with if all of that is here.
 */

import {
  closeSync,
  createReadStream,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from "node:fs";
import { createGzip } from "node:zlib";
import type { ByteStream } from "../base/compression.ts";
import { digestOf } from "../base/digest.ts";
import type { BlobUpload, Manifest, Repository } from "../registry/index.ts";
import type { Reference } from "../spec/reference.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { BlobFile } from "./layout.ts";
import { type Descriptor, type ImageRecord, parseObject } from "./model.ts";
import { meter, type Report, shortDigest } from "./progress.ts";

/** What a push works with. */
export interface PushTarget {
  readonly content: ContentStore;
  readonly data: ImageDatabase;
  readonly repository: Repository;
  readonly reference: Reference;
  readonly signal: AbortSignal;
}

/** How a layer is compressed. */
export type Kind = "gzip" | "zstd" | "plain";

/** What a manifest says of an image's layers. */
export interface ManifestLayer {
  readonly digest: string;
  readonly size: number;
  readonly kind: Kind;
}

/** A compressed layer. */
export interface Layer {
  readonly digest: string;
  readonly size: number;
  readonly kind: Exclude<Kind, "plain">;
}

/** How many blobs are sent at the same time, as dockerd has it. */
export const UPLOADS_MAX = 5;
const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
/** The media type of an OCI image manifest. */
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** How a layer is compressed, by what it begins with. */
export function kindOf(bytes: Uint8Array): Kind {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return "gzip";
  return bytes[0] === 0x28 && bytes[1] === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd
    ? "zstd"
    : "plain";
}

/** The compressed form of a blob, made once. The same bytes come out each time: gzip's header gets no time. */
export async function compressed(
  { content, data }: Pick<PushTarget, "content" | "data">,
  digest: string,
): Promise<string> {
  const known = data.compressedOf(digest);
  if (known !== undefined && content.has(known) && layerHere(content, known).kind === "gzip")
    return known;
  const gzip = createReadStream(content.path(digest), { highWaterMark: 1 << 18 }).pipe(
    createGzip({ chunkSize: 1 << 18 }),
  );
  const spooled = await content.ingest(gzip as unknown as ByteStream);
  try {
    await content.commit(spooled);
  } finally {
    rmSync(spooled.path, { force: true });
  }
  data.setCompressed(digest, spooled.digest);
  return spooled.digest;
}

/** A layer as registries have it: a plain one is compressed. */
export async function layerFor(
  target: Pick<PushTarget, "content" | "data">,
  digest: string,
): Promise<Layer> {
  const { content } = target;
  const { size, kind } = layerHere(content, digest);
  if (kind !== "plain") return { digest, size, kind };
  const gzip = await compressed(target, digest);
  return { digest: gzip, size: content.size(gzip), kind: "gzip" };
}

/** Where blobs are sent. */
type Destination = Omit<PushTarget, "content">;

/** So many other repositories are asked for a blob. */
const MOUNTS_MAX = 3;

/** What it takes to have a blob in a repository: an upload, or nothing any more. */
async function begin(
  { data, repository, reference, signal }: Destination,
  digest: string,
  report: Report,
): Promise<BlobUpload | undefined> {
  const id = shortDigest(digest);
  if (await repository.hasBlob(digest, signal)) {
    report({ status: "Layer already exists", id, progressDetail: {} });
    return undefined;
  }
  const others = data
    .sources(digest)
    .filter(({ domain, path }) => domain === reference.domain && path !== reference.path)
    .slice(0, MOUNTS_MAX);
  for (const { path } of others) {
    const upload = await repository.beginUpload(digest, path, signal);
    if (upload === undefined) {
      report({ status: `Mounted from ${path}`, id, progressDetail: {} });
      return undefined;
    }
    if (path === others.at(-1)?.path) return upload;
    await upload.cancel(signal);
  }
  return repository.beginUpload(digest, undefined, signal);
}

/** Sends a blob that the registry does not have yet. */
export async function sendBlob(
  target: Destination,
  { digest, size, path }: BlobFile,
  report: Report,
): Promise<void> {
  const { data, reference, signal } = target;
  const id = shortDigest(digest);
  report({ status: "Preparing", id, progressDetail: {} });
  const upload = await begin(target, digest, report);
  if (upload !== undefined) {
    const count = meter(report, "Pushing", id, size);
    await upload.send(path, { digest, count, signal });
    report({ status: "Pushed", id, progressDetail: {} });
  }
  data.addSource(digest, reference.domain, reference.path);
}

/** A blob of the store, as a manifest names it. */
function layerHere(content: ContentStore, digest: string): ManifestLayer {
  const fd = openSync(content.path(digest), "r");
  try {
    const head = new Uint8Array(4);
    readSync(fd, head);
    return { digest, size: fstatSync(fd).size, kind: kindOf(head) };
  } finally {
    closeSync(fd);
  }
}

/**
 * The forms of a layer that a registry is known to have, those in the repository itself first: plain, as its image came, or
 * compressed, here or by another program.
 */
export function knownForms(
  { content, data }: Pick<PushTarget, "content" | "data">,
  diffId: string,
  { domain, path }: Pick<Reference, "domain" | "path">,
): ManifestLayer[] {
  const forms = data.formsOf(diffId).filter((digest) => content.has(digest));
  const known = forms.map((digest) => {
    const sources = data.sources(digest).filter((one) => one.domain === domain);
    return { digest, there: sources.length > 0, here: sources.some((one) => one.path === path) };
  });
  return known
    .filter(({ there }) => there)
    .sort((a, b) => Number(b.here) - Number(a.here))
    .map(({ digest }) => layerHere(content, digest));
}

/**
 * Sends a layer: one that is kept uncompressed as the registry has it already, if it does, and compressed otherwise. Gives the
 * form that it has there.
 */
export async function sendLayer(
  target: PushTarget,
  digest: string,
  report: Report,
): Promise<ManifestLayer> {
  const { content, data, reference, signal } = target;
  const isPlain = layerHere(content, digest).kind === "plain";
  // An archive that is not compressed has its layer's diff id as its digest.
  for (const form of isPlain ? knownForms(target, digest, reference) : []) {
    const upload = await begin(target, form.digest, report);
    if (upload === undefined) {
      data.addSource(form.digest, reference.domain, reference.path);
      return form;
    }
    await upload.cancel(signal);
  }
  const layer = await layerFor(target, digest);
  await sendBlob(target, blobFile(content, layer.digest), report);
  return layer;
}

/** Where a blob of the store is. */
export function blobFile(content: ContentStore, digest: string): BlobFile {
  return { digest, size: content.size(digest), path: content.path(digest) };
}

/** Does something with each of a set, a few at a time. The first failure is that of the whole. */
export async function eachOf<T>(
  items: Iterable<T>,
  most: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: most }, worker));
}

/** The manifest that the image came with; undefined when something that it names is not here, or cannot be sent. */
export function originalManifest(
  { content }: Pick<PushTarget, "content">,
  image: ImageRecord,
): Manifest | undefined {
  if (image.manifest === undefined || !content.has(image.manifest)) return undefined;
  const bytes = readFileSync(content.path(image.manifest));
  const manifest = parseObject(bytes, "the image's manifest");
  const layers = (manifest.layers ?? []) as { digest: string }[];
  if (!layers.every(({ digest }) => content.has(digest))) return undefined;
  const mediaType = typeof manifest.mediaType === "string" ? manifest.mediaType : OCI_MANIFEST;
  return { digest: image.manifest, mediaType, bytes };
}

const PLAIN: Readonly<Record<"oci" | "docker", string>> = {
  oci: "application/vnd.oci.image.layer.v1.tar",
  docker: "application/vnd.docker.image.rootfs.diff.tar",
};

/** A manifest of OCI's media types, or of Docker's, which have no word for zstd. The same image gives the same bytes each time. */
export function newManifest(
  config: { readonly digest: string; readonly size: number },
  layers: readonly ManifestLayer[],
  wantsOci = false,
): Manifest & { readonly config: Descriptor; readonly layers: readonly Descriptor[] } {
  const oci = wantsOci || layers.some(({ kind }) => kind === "zstd");
  const mediaType = oci ? OCI_MANIFEST : MANIFEST;
  const ending = (kind: Kind) => (oci ? `+${kind}` : `.${kind}`);
  const plain = PLAIN[oci ? "oci" : "docker"];
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: {
      mediaType: oci
        ? "application/vnd.oci.image.config.v1+json"
        : "application/vnd.docker.container.image.v1+json",
      size: config.size,
      digest: config.digest,
    },
    layers: layers.map(({ digest, size, kind }) => ({
      mediaType: kind === "plain" ? plain : `${plain}${ending(kind)}`,
      size,
      digest,
    })),
  };
  const bytes = new TextEncoder().encode(JSON.stringify(manifest, null, 3));
  const digest = digestOf(bytes);
  return { digest, mediaType, bytes, config: manifest.config, layers: manifest.layers };
}

/** Sends an image under a reference's tag, or its digest. Rejects with Faults. */
export async function pushImage(
  target: PushTarget,
  image: ImageRecord,
  report: Report,
): Promise<{ readonly digest: string; readonly size: number }> {
  const { data, repository, reference } = target;
  const original = originalManifest(target, image);
  const own = data.layerBlobs(image);
  const { content } = target;
  const sent = new Map<string, ManifestLayer>();
  await eachOf(new Set(own), UPLOADS_MAX, async (digest) => {
    if (original === undefined) sent.set(digest, await sendLayer(target, digest, report));
    else await sendBlob(target, blobFile(content, digest), report);
  });
  const layers = own.flatMap((digest) => sent.get(digest) ?? []);
  await sendBlob(target, blobFile(content, image.id), () => {});
  const manifest = original ?? newManifest(blobFile(content, image.id), layers);
  const tag = reference.digest ?? reference.tag ?? "latest";
  await repository.putManifest(tag, manifest, target.signal);
  const size = manifest.bytes.length;
  report({ status: `${tag}: digest: ${manifest.digest} size: ${size}` });
  report({ progressDetail: {}, aux: { Tag: tag, Digest: manifest.digest, Size: size } });
  return { digest: manifest.digest, size };
}
