/**
 * Images on their way out of a build: packed as somebody wants them, as an archive or to a registry, whether the store has
 * a record of them or not. Several platforms' images make one index.
 */

import { linkSync, rmSync } from "node:fs";
import { type ByteStream, decompress } from "../base/compression.ts";
import { digestOf } from "../base/digest.ts";
import type { Repository } from "../registry/index.ts";
import type { Packing } from "../spec/build-output.ts";
import { familiarName, parseReference, type Reference } from "../spec/reference.ts";
import type { Composed } from "./composer.ts";
import { compressAs, type Form } from "./compressor.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { DroppedBlobs } from "./dropped.ts";
import type { Holds } from "./holds.ts";
import type { Indexes } from "./indexes.ts";
import { type BlobFile, blobName, layoutArchive, OCI_INDEX } from "./layout.ts";
import type { Descriptor } from "./model.ts";
import { wholeDigest, wholeTag } from "./names.ts";
import type { TransferOptions } from "./options.ts";
import type { Report } from "./progress.ts";
import {
  blobFile,
  compressed,
  eachOf,
  type Kind,
  kindOf,
  knownForms,
  type ManifestLayer,
  newManifest,
  sendBlob,
  UPLOADS_MAX,
} from "./push.ts";

const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
/** A gzip member without a name and a time, as zlib begins it. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]).toString("base64");
const ZSTD_LEVEL = 3;

/** An image as it goes out. */
export interface Packed {
  readonly image: Composed;
  readonly manifest: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** What goes out together: one image, or several and their index. */
export interface Parcel {
  /** What a name leads to: a manifest or an index. */
  readonly root: Descriptor;
  readonly images: readonly Packed[];
  /** Manifests, configurations and the index, by their digests. */
  readonly documents: ReadonlyMap<string, Uint8Array>;
  readonly files: readonly BlobFile[];
}

interface Parts {
  readonly content: ContentStore;
  readonly data: ImageDatabase;
  readonly holds: Holds;
  readonly dropped: DroppedBlobs;
  readonly indexes: Indexes;
  /** Opens a repository to send to. */
  readonly open: (reference: Reference, options: TransferOptions) => Repository;
  /** Names mean something else now. */
  readonly changed: () => void;
}

/** A layer's file with what it is compressed with. */
interface PackedLayer extends BlobFile {
  readonly kind: Kind;
  /** A file of this parcel alone. */
  readonly own: boolean;
}

const wantedKind = ({ compression }: Packing): Kind =>
  compression === "uncompressed" ? "plain" : compression;

function formOf({ compression, level }: Packing): Form {
  if (compression === "uncompressed") return { kind: "plain" };
  if (compression === "zstd") return { kind: "zstd", level: level ?? ZSTD_LEVEL, checksum: true };
  return { kind: "gzip", header: GZIP_HEADER, level: level ?? 6, memory: 8 };
}

function platformOf({ document }: Composed): NonNullable<Descriptor["platform"]> {
  const { os, architecture, variant } = document;
  return { architecture, os, ...(variant === undefined ? {} : { variant }) };
}

function documentOf(value: unknown): { digest: string; bytes: Uint8Array } {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { digest: digestOf(bytes), bytes };
}

/** The index of several platforms' images. */
function indexOf(images: readonly Packed[]): { root: Descriptor; bytes: Uint8Array } {
  const isOci = images.some(({ manifest }) => manifest.mediaType?.includes("oci"));
  const mediaType = isOci ? OCI_INDEX : DOCKER_LIST;
  const manifests = images.map(({ manifest }) => manifest);
  const { digest, bytes } = documentOf({ schemaVersion: 2, mediaType, manifests });
  return { root: { mediaType, digest, size: bytes.length }, bytes };
}

/** Packs images, and sends them. */
export class Exporter {
  constructor(private readonly parts: Parts) {}

  /**
   * Packs images and does something with them, while which all of their blobs are here. `names`: where they go, so that layers
   * go as they are there already.
   */
  async during<T>(
    images: readonly Composed[],
    packing: Packing,
    names: readonly string[],
    work: (parcel: Parcel) => Promise<T>,
  ): Promise<T> {
    const { content, data, holds, dropped } = this.parts;
    const blobs = [...new Set(images.flatMap(({ layers }) => layers.blobs))];
    const chain = images.flatMap(({ layers }) => layers.chain);
    return holds.during(chain, () =>
      dropped.during(blobs, async () => {
        const packed = new Map<string, PackedLayer>();
        try {
          for (const digest of blobs)
            packed.set(
              digest,
              this.knownLayer(digest, packing, names) ?? (await this.layer(digest, packing)),
            );
          const made = [...packed.values()].map(({ digest }) => digest);
          return await holds.during(made, () => work(this.parcel(images, packing, packed)));
        } finally {
          for (const { own, path, digest } of packed.values()) {
            if (own) rmSync(path, { force: true });
            // A compressed form stays as long as an image has the layer; without one it goes.
            else if (!blobs.includes(digest) && !data.usesBlob(digest) && !holds.has(digest))
              content.remove(digest);
          }
        }
      }),
    );
  }

  /** A layer that the registries have, if nothing is said of how it should be compressed. */
  private knownLayer(
    digest: string,
    { compression, level, force }: Packing,
    names: readonly string[],
  ): PackedLayer | undefined {
    if (compression !== "gzip" || level !== undefined || force) return undefined;
    const [first, ...rest] = names.map((name) =>
      knownForms(this.parts, digest, parseReference(name)),
    );
    const known = first?.find((form) =>
      rest.every((others) => others.some((other) => other.digest === form.digest)),
    );
    return known && { ...blobFile(this.parts.content, known.digest), kind: known.kind, own: false };
  }

  private async layer(digest: string, packing: Packing): Promise<PackedLayer> {
    const { content } = this.parts;
    const file = blobFile(content, digest);
    const head = new Uint8Array(await Bun.file(file.path).slice(0, 4).arrayBuffer());
    const [kind, wanted] = [kindOf(head), wantedKind(packing)];
    // What came compressed stays as the registry knows it.
    const stays = kind === "plain" ? wanted === "plain" : !packing.force;
    if (stays || (kind === wanted && packing.level === undefined))
      return { ...file, kind, own: false };
    if (kind === "plain" && wanted === "gzip" && packing.level === undefined) {
      const gzip = await compressed(this.parts, digest);
      return { ...blobFile(content, gzip), kind: "gzip", own: false };
    }
    const plain = await decompress(content.stream(digest));
    const spooled = await content.ingest(compressAs(plain, formOf(packing)));
    return { ...spooled, kind: wanted, own: true };
  }

  private parcel(
    images: readonly Composed[],
    packing: Packing,
    packed: ReadonlyMap<string, PackedLayer>,
  ): Parcel {
    const documents = new Map<string, Uint8Array>();
    const out = images.map((image): Packed => {
      const layers = image.layers.blobs.flatMap((digest): ManifestLayer[] => {
        const layer = packed.get(digest);
        return layer === undefined ? [] : [layer];
      });
      const config = { digest: image.id, size: image.bytes.length };
      const made = newManifest(config, layers, packing.oci);
      documents.set(made.digest, made.bytes).set(image.id, image.bytes);
      const { mediaType, digest, bytes } = made;
      const manifest = { mediaType, digest, size: bytes.length, platform: platformOf(image) };
      return { image, manifest, layers: made.layers };
    });
    const files = [...packed.values()].map(({ digest, size, path }) => ({ digest, size, path }));
    const [first] = out;
    if (first !== undefined && out.length === 1)
      return { root: first.manifest, images: out, documents, files };
    const { root, bytes } = indexOf(out);
    return { root, images: out, documents: documents.set(root.digest, bytes), files };
  }

  /** A parcel as an archive that is an OCI layout; with `docker`, what `docker load` of old reads, too. */
  archive(parcel: Parcel, names: readonly string[], docker: boolean): ByteStream {
    const references = names.map((name) => parseReference(name));
    const entry = parcel.root;
    const named = references.map((reference): Descriptor => {
      const annotations = {
        "io.containerd.image.name": wholeTag(reference),
        "org.opencontainers.image.ref.name": reference.tag ?? "latest",
      };
      return { ...entry, annotations };
    });
    return layoutArchive({
      manifests: named.length === 0 ? [entry] : named,
      beside: docker ? { "manifest.json": dockerEntries(parcel, references) } : {},
      documents: parcel.documents,
      layers: parcel.files,
    });
  }

  /**
   * Records a parcel of several platforms: the image that stands for it here, its names, and the index with all that it
   * names.
   */
  async keep(parcel: Parcel, local: Composed, names: readonly string[]): Promise<void> {
    const { content, data, holds, indexes, changed } = this.parts;
    const { root, images, documents, files } = parcel;
    const { id, document, layers } = local;
    const wholes = names.map((name) => wholeTag(parseReference(name)));
    const replaced = wholes.flatMap((whole) => indexes.besideNamed(whole));
    const own = [...documents.keys(), ...files.map(({ digest }) => digest)];
    await holds.during([...own, ...layers.chain, ...layers.blobs, ...replaced], async () => {
      for (const bytes of documents.values()) await content.put(bytes);
      for (const { path, ...file } of files)
        if (!content.has(file.digest)) {
          // The parcel may have to go elsewhere, too.
          linkSync(path, `${path}.copy`);
          await content.commit({ ...file, path: `${path}.copy` });
        }
      data.atomically(() => {
        data.add({ id, document, size: layers.size, blobs: [id, ...layers.blobs] });
        indexes.keep(id, {
          digest: root.digest,
          documents: [root, ...images.map(({ manifest }) => manifest)],
          blobs: [...images.map(({ image }) => ({ digest: image.id })), ...files],
        });
        for (const whole of wholes) indexes.rename(whole, id, root.digest);
      });
    });
    changed();
  }

  /** Sends a parcel under a name, or without a tag; what is here of it is known by its digest then. */
  async send(
    parcel: Parcel,
    name: string,
    options: TransferOptions & { readonly byDigest: boolean },
  ): Promise<void> {
    const { data, open, changed } = this.parts;
    const reference = parseReference(name);
    const { byDigest, signal, report } = options;
    const repository = open(reference, options);
    await this.push(parcel, { repository, reference, byDigest, signal }, report);
    const { digest } = parcel.root;
    const [only, other] = parcel.images;
    const id = other === undefined ? only?.image.id : data.indexes.imageOf(digest);
    if (id === undefined || data.byId(id) === undefined) return;
    data.setDigest(wholeDigest(reference, digest), id);
    changed();
  }

  private async push(
    parcel: Parcel,
    to: {
      readonly repository: Repository;
      readonly reference: Reference;
      readonly byDigest: boolean;
      readonly signal: AbortSignal;
    },
    report: Report,
  ): Promise<void> {
    const { content, data } = this.parts;
    const { repository, reference, byDigest, signal } = to;
    const target = { data, repository, reference, signal };
    await eachOf(parcel.files, UPLOADS_MAX, (file) => sendBlob(target, file, report));
    for (const { image, manifest } of parcel.images) {
      const config = await content.ingest(only(image.bytes));
      try {
        await sendBlob(target, config, () => {});
      } finally {
        rmSync(config.path, { force: true });
      }
      if (manifest.digest !== parcel.root.digest) await this.put(parcel, manifest, to);
    }
    const tag = byDigest ? parcel.root.digest : (reference.tag ?? "latest");
    await this.put(parcel, parcel.root, to, tag);
    report({ status: `${tag}: digest: ${parcel.root.digest} size: ${parcel.root.size}` });
  }

  private async put(
    { documents }: Parcel,
    { digest, mediaType = "" }: Descriptor,
    { repository, signal }: { readonly repository: Repository; readonly signal: AbortSignal },
    reference = digest,
  ): Promise<void> {
    const bytes = documents.get(digest) ?? new Uint8Array();
    await repository.putManifest(reference, { digest, mediaType, bytes }, signal);
  }
}

async function* only(bytes: Uint8Array): ByteStream {
  yield bytes;
}

/** The images as manifest.json has them. Of several platforms each has all of the names. */
function dockerEntries({ images }: Parcel, names: readonly Reference[]): object[] {
  const tags = names.map((name) => `${familiarName(name)}:${name.tag ?? "latest"}`);
  return images.map(({ image, layers }) => ({
    Config: blobName(image.id),
    RepoTags: tags.length === 0 ? null : tags,
    Layers: layers.map(({ digest }) => blobName(digest)),
  }));
}
