/**
 * The index that an image came with, as it is kept here: what of it is there, sending the whole of it, and making one of
 * images that were built.
 */
import { fault } from "../base/errors.ts";
import type { Manifest } from "../registry/index.ts";
import { type Platform, platformRank } from "../spec/platform.ts";
import { parseReference, type Reference } from "../spec/reference.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { DroppedBlobs } from "./dropped.ts";
import type { Holds } from "./holds.ts";
import { type IndexContent, isWhole, readIndex } from "./image-index.ts";
import { OCI_INDEX } from "./layout.ts";
import { type Descriptor, type ImageRecord, parseObject } from "./model.ts";
import { wholeTag } from "./names.ts";
import type { TransferOptions } from "./options.ts";
import type { Report } from "./progress.ts";
import type { ImageSource, RemoteIndex } from "./pull.ts";
import { blobFile, eachOf, OCI_MANIFEST, type PushTarget, sendBlob, UPLOADS_MAX } from "./push.ts";

/** An index that is here. */
export interface IndexHere extends IndexContent {
  readonly descriptor: Descriptor;
  /** Every manifest is here with all that it names. */
  readonly whole: boolean;
  /** What the manifests that are here name, as far as that is here, each once. */
  readonly blobs: readonly Descriptor[];
}

function typeOf(bytes: Uint8Array, otherwise: string): string {
  const { mediaType } = parseObject(bytes, "an image manifest");
  return typeof mediaType === "string" ? mediaType : otherwise;
}

/** Reads an index; undefined when it is not here. `isHere`: whether a blob is, or can be rebuilt. */
function indexHere(
  content: ContentStore,
  digest: string,
  isHere: (digest: string) => boolean,
): IndexHere | undefined {
  if (!content.has(digest)) return undefined;
  const bytes = content.read(digest);
  const { manifests } = parseObject(bytes, "an image manifest");
  const mediaType = typeOf(bytes, Array.isArray(manifests) ? OCI_INDEX : OCI_MANIFEST);
  const descriptor = { mediaType, digest, size: content.size(digest) };
  const read = (one: Descriptor) =>
    content.has(one.digest) ? content.read(one.digest) : undefined;
  const found = readIndex(descriptor, read);
  const blobs = new Map(
    found.parts
      .flatMap(({ names }) => names)
      .filter((one) => isHere(one.digest))
      .map((one) => [one.digest, one]),
  );
  const whole = found.parts.every((part) => isWhole(part, isHere));
  return { ...found, descriptor, whole, blobs: [...blobs.values()] };
}

/** What a push tells that has sent one image for an index of which not everything is here, as dockerd tells it. */
function insteadOf(
  { descriptor, parts }: IndexHere,
  { digest, size }: Sent,
): Readonly<Record<string, unknown>> {
  const selected = parts.find((part) => part.descriptor.digest === digest)?.descriptor;
  return {
    manifestPushedInsteadOfIndex: true,
    originalIndex: descriptor,
    selectedManifest: selected ?? { mediaType: OCI_MANIFEST, digest, size },
  };
}

/** Sends an index with everything in it, which must all be here, under a reference's tag or its digest. */
async function pushIndex(target: PushTarget, index: IndexHere, report: Report): Promise<Sent> {
  const { repository, reference, signal } = target;
  const configs = new Set(index.parts.map(({ names }) => names[0]?.digest));
  const quiet = () => {};
  await eachOf(index.blobs, UPLOADS_MAX, ({ digest }) =>
    sendBlob(target, blobFile(target.content, digest), configs.has(digest) ? quiet : report),
  );
  const send = (as: string, { digest, mediaType, bytes }: Manifest) =>
    repository.putManifest(as, { digest, mediaType, bytes }, signal);
  const tag = reference.digest ?? reference.tag ?? "latest";
  const named = (digest: string) => (digest === index.descriptor.digest ? tag : digest);
  for (const { descriptor, bytes } of index.parts)
    if (bytes !== undefined)
      await send(named(descriptor.digest), {
        ...{ digest: descriptor.digest, bytes },
        mediaType: typeOf(bytes, descriptor.mediaType ?? OCI_MANIFEST),
      });
  // What an index names must be there before it: the innermost first.
  for (const { descriptor, bytes } of index.indexes.toReversed()) {
    const { digest } = descriptor;
    await send(named(digest), { digest, bytes, mediaType: typeOf(bytes, OCI_INDEX) });
  }
  const { digest, size } = index.descriptor;
  report({ status: `${tag}: digest: ${digest} size: ${size}` });
  report({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: size } });
  return { digest, size };
}

/** What a registry knows by now. */
interface Sent {
  readonly digest: string;
  readonly size: number;
}

/** Where indexes are kept. */
interface Parts {
  readonly content: ContentStore;
  readonly data: ImageDatabase;
  readonly holds: Holds;
  readonly dropped: Pick<DroppedBlobs, "during">;
  /** Whether a blob is in the store, or can be rebuilt. */
  readonly isHere: (digest: string) => boolean;
}

/** The indexes of one image store. */
export class Indexes {
  constructor(private readonly parts: Parts) {}

  /** What is here of an index; undefined when it is not here itself. */
  read(digest: string): IndexHere | undefined {
    return indexHere(this.parts.content, digest, this.parts.isHere);
  }

  /** The index that a name means, if the image for a platform is in it with all that belongs to it. */
  having(reference: Reference, platform: Platform): IndexHere | undefined {
    const { digest: own } = reference;
    const digest = own ?? this.parts.data.indexes.named(wholeTag(reference));
    const index = digest === undefined ? undefined : this.read(digest);
    const fits = ({ os = "", architecture = "", variant }: NonNullable<Descriptor["platform"]>) =>
      platformRank(platform, { os, architecture, variant }) !== undefined;
    const part = index?.parts.find(
      (one) =>
        one.descriptor.platform !== undefined &&
        fits(one.descriptor.platform) &&
        isWhole(one, this.parts.isHere),
    );
    return part && index;
  }

  /** What is here, as an image is brought in from. */
  get source(): ImageSource {
    const { content } = this.parts;
    return {
      manifest: async (digest) => {
        const bytes = content.read(digest);
        return { digest, bytes, mediaType: typeOf(bytes, OCI_MANIFEST) };
      },
      blob: ({ digest }) => content.stream(digest),
    };
  }

  /** The index that a name means; an id or a digest means the newest that its image has come with. */
  meant(name: string, { id, index }: ImageRecord): string | undefined {
    try {
      const whole = wholeTag(parseReference(name));
      if (this.parts.data.byReference(whole) === id && !name.includes("@"))
        return this.parts.data.indexes.named(whole);
    } catch {
      // An id.
    }
    return index;
  }

  /** Records what is here of an index, for the image that stands for it. */
  keep(
    image: string,
    index:
      | (Pick<RemoteIndex, "digest"> & {
          readonly documents: readonly { readonly digest: string }[];
          readonly blobs: readonly { readonly digest: string }[];
        })
      | undefined,
  ): void {
    if (index === undefined) return;
    const own = new Set(this.parts.data.blobsOf(image));
    const digests = (of: readonly { readonly digest: string }[]) =>
      of.map(({ digest }) => digest).filter((digest) => !own.has(digest));
    const { digest, documents, blobs } = index;
    this.parts.data.indexes.put({
      digest,
      image,
      documents: digests(documents),
      blobs: digests(blobs),
    });
  }

  /** Gives a name that comes along to an image, and lets go of indexes that it alone has meant until now. */
  rename(whole: string, id: string, index: string | undefined): void {
    const before = this.parts.data.byReference(whole);
    this.parts.data.setTag(whole, id, 0, index);
    const { indexes, referrers } = this.parts.data;
    for (const one of new Set([before ?? id, id])) {
      indexes.release(one);
      const manifest = this.parts.data.byId(one)?.manifest ?? "";
      referrers.release(one, new Set([manifest, ...indexes.of(one).map(({ digest }) => digest)]));
    }
  }

  /** What is here for what a name means until now, beside the image: with the name it may go. */
  besideNamed(whole: string): string[] {
    const { indexes, referrers } = this.parts.data;
    const digest = indexes.named(whole);
    const id = this.parts.data.byReference(whole);
    if (id === undefined) return [];
    const found = indexes.of(id).filter((one) => one.digest === digest);
    const own = found.flatMap(({ documents, blobs }) => [...documents, ...blobs]);
    return [...own, ...referrers.of(id).flatMap((one) => [one.digest, ...one.blobs])];
  }

  /**
   * Sends what a name means: its index if all of that is here and no platform is asked for, or else one image, by `alone`,
   * which is told of.
   */
  async push(
    target: PushTarget,
    { platform, report }: Pick<TransferOptions, "platform" | "report">,
    alone: () => Promise<Sent>,
  ): Promise<Sent> {
    const digest = this.parts.data.indexes.named(wholeTag(target.reference));
    const index = digest === undefined || platform !== undefined ? undefined : this.read(digest);
    if (index?.whole) return this.during(index, () => pushIndex(target, index, report));
    const sent = await alone();
    if (index !== undefined) report({ progressDetail: {}, aux: insteadOf(index, sent) });
    return sent;
  }

  /** Sends an artifact alone, as it came. */
  async pushArtifact(target: PushTarget, image: ImageRecord, report: Report): Promise<Sent> {
    const whole = this.read(image.id);
    if (!whole?.whole)
      throw fault(
        "failed",
        "image-incomplete",
        `not everything of the artifact ${image.id} is here`,
      );
    return this.during(whole, () => pushIndex(target, whole, report));
  }

  /** Does something with all that is here of an index; what is not kept is rebuilt meanwhile. */
  during<T>({ blobs, indexes, parts }: IndexHere, work: () => Promise<T>): Promise<T> {
    const documents = [...indexes, ...parts].map(({ descriptor }) => descriptor.digest);
    return this.parts.holds.during(documents, () =>
      this.parts.dropped.during(
        blobs.map(({ digest }) => digest),
        work,
      ),
    );
  }
}
