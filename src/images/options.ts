/**
 * What an image store is made of, and what it is told when images come, go out or are made.
 */
import type { Database } from "bun:sqlite";
import type { ByteStream } from "../base/compression.ts";
import type { BlobDescriptor, Credentials, Repository } from "../registry/index.ts";
import type { ArchiveTransport, Question } from "../signatures/index.ts";
import type { ImageConfig } from "../spec/engine-api.ts";
import type { Platform } from "../spec/platform.ts";
import type { Reference } from "../spec/reference.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import type { ContentStore } from "./content.ts";
import type { Downloads } from "./downloads.ts";
import type { KeepBlobs } from "./dropped.ts";
import type { Holds } from "./holds.ts";
import type { Report } from "./progress.ts";

/** What an image store is made of. */
export interface ImageStoreOptions {
  /** The directory of the content store. */
  readonly root: string;
  readonly db: Database;
  readonly driver: SnapshotDriver;
  /** The image that is built into the executable. */
  readonly builtin?: { readonly reference: string; open(): ByteStream } | undefined;
  /** Layers that containers stand on, whether an image has them or not; without it, none is ever removed by itself. */
  readonly layersInUse?: (() => ReadonlySet<string>) | undefined;
  /** Layers that builds may use again. */
  readonly cachedLayers?: (() => readonly string[]) | undefined;
  /** Whether builds may use a layer or a blob again. */
  readonly isCached?: ((key: string) => boolean) | undefined;
  /** Whether blobs stay beside the layers that they have been unpacked to; always, unless told otherwise. */
  readonly keepBlobs?: KeepBlobs | undefined;
  /** Applies Dockerfile instructions to a configuration; without it there are none. */
  readonly change?: ((config: ImageConfig, changes: readonly string[]) => ImageConfig) | undefined;
  /** Opens a repository of a registry; without it there are none. */
  readonly repository?: OpenRepository | undefined;
  /** Says which images may come; without it, all may. */
  readonly admission?: Admission | undefined;
  /** Blobs of the same content store that somebody else needs: they stay. */
  readonly others?: (() => readonly string[]) | undefined;
}

/** Says which images may come. */
export interface Admission {
  /** Rejects with a Fault "forbidden" when an image of a registry must not; gives whether a signature was asked for. */
  pulled(question: Question): Promise<boolean>;
  /** Throws one when an archive must not. */
  archived(transport: ArchiveTransport): void;
}

/** The content store as others may use it beside the images. */
export interface SharedBlobs {
  readonly content: ContentStore;
  readonly holds: Holds;
  readonly downloads: Downloads;
  /** Whether an image needs a blob. */
  usedElsewhere(digest: string): boolean;
}

/** Opens a repository on somebody's behalf; `notice` hears what the registry has to say meanwhile. */
export type OpenRepository = (
  reference: Reference,
  credentials: Credentials,
  actions: "pull" | "pull,push",
  notice: (text: string) => void,
) => Repository;

/** How an image is fetched or sent. */
export interface TransferOptions {
  readonly credentials: Credentials;
  readonly report: Report;
  readonly signal: AbortSignal;
  readonly platform?: Platform | undefined;
  /** A fetch: what an index has for other platforms comes, too, and is kept beside the image. */
  readonly allPlatforms?: boolean | undefined;
  /** A fetch: signatures, attestations and whatever else refers to the image comes, too. */
  readonly referrers?: boolean | undefined;
}

/** Where layers come from. */
export interface LayerOrigin {
  /** Of each layer of the stack, the lowest first. */
  readonly blobs: readonly BlobDescriptor[];
  readonly blob: Repository["blob"];
  readonly report: Report;
  readonly signal: AbortSignal;
}

/** What a commit says of the new image. */
export interface CommitOptions {
  readonly config: ImageConfig;
  readonly createdBy: string;
  readonly reference?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  /** Dockerfile instructions. */
  readonly changes?: readonly string[] | undefined;
}

/** How an archive is loaded. */
export interface LoadOptions {
  /** Which of several platforms; another image is refused. */
  readonly platform?: Platform | undefined;
  readonly report?: Report;
}

/** An image that was loaded. */
export interface LoadedImage {
  readonly id: string;
  readonly names: readonly string[];
  /** Names that another image had until now. */
  readonly replaced: readonly { readonly name: string; readonly id: string }[];
}
