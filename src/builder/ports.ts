/**
 * What a build needs of the rest of berth; main supplies it.
 */
import type { ByteStream } from "../base/compression.ts";
import type { HistoryEntry } from "../images/index.ts";
import type { BlobDescriptor, Repository } from "../registry/index.ts";
import type { ImageConfig } from "../spec/engine-api.ts";
import type { Platform } from "../spec/platform.ts";
import type { Comparison, ContainerView } from "../storage/index.ts";
import type { Privileged } from "../tree/index.ts";
import type { RunWork } from "./dockerfile/evaluate.ts";

/** A file system made of layers, the lowest first; the three lists are of one length. */
export interface Snapshot {
  /** Digests of the uncompressed layers. */
  readonly diffIds: readonly string[];
  /** Chain ids (OCI image-spec, config.md). */
  readonly chain: readonly string[];
  /** The layers' blobs in the content store. */
  readonly blobs: readonly string[];
  /** Bytes of content. */
  readonly size: number;
}

/** An image to build on. */
export interface BaseImage {
  /** Undefined for scratch. */
  readonly id?: string | undefined;
  readonly config: ImageConfig;
  readonly author?: string | undefined;
  readonly history: readonly HistoryEntry[];
  readonly platform: Platform;
  readonly snapshot: Snapshot;
}

/** An image that was built. */
export interface BuiltImage {
  readonly config: ImageConfig;
  readonly author?: string | undefined;
  readonly created: string;
  readonly history: readonly HistoryEntry[];
  readonly platform: Platform;
  readonly snapshot: Snapshot;
  /** What it stands on: the image of the first FROM below it. */
  readonly base: BuiltBase;
  /** More of its configuration, for berth alone. */
  readonly more?: Readonly<Record<string, unknown>> | undefined;
}

/** What a build began with. */
export interface BuiltBase {
  /** Undefined for scratch. */
  readonly id?: string | undefined;
  readonly snapshot: Snapshot;
  /** How many lines its history has. */
  readonly lines: number;
}

/** Images and layers. Rejects with Faults in Docker's words. */
export interface BuildImages {
  /** Finds an image here, or fetches it; always fetches it with `pull`. */
  base(
    name: string,
    platform: Platform | undefined,
    pull: boolean,
    report: (text: string) => void,
    signal: AbortSignal,
  ): Promise<BaseImage>;
  /** The configuration of an image that is here; undefined for every other. */
  configOf(name: string, platform: Platform | undefined): Promise<ImageConfig | undefined>;
  /**
   * Stores an archive as a layer upon others, durably, and hands the whole to `use`, while which nothing deletes it. An archive
   * without entries adds nothing.
   */
  addLayer<T>(on: Snapshot, tar: ByteStream, use: (made: Snapshot) => T | Promise<T>): Promise<T>;
  /** Whether all of it is here. */
  has(snapshot: Snapshot): boolean;
  /** Fetches what of it is not here; `use` gets the layers' sizes while nothing deletes them. */
  bring(
    snapshot: Snapshot,
    origin: {
      readonly blobs: readonly BlobDescriptor[];
      readonly blob: Repository["blob"];
      readonly report: (text: string) => void;
      readonly signal: AbortSignal;
    },
    use: (sizes: readonly number[]) => void,
  ): Promise<void>;
  /** Keeps layers from being deleted while work goes on. */
  during<T>(snapshot: Snapshot, work: () => Promise<T>): Promise<T>;
  /** Records an image; gives its id. What is there already is fine. */
  create(image: Omit<BuiltImage, "base">): Promise<string>;
}

/** Layers' files. */
export interface BuildFiles {
  readonly kernel: Privileged;
  /** The file system of a snapshot, to look into. */
  view(snapshot: Snapshot): ContainerView;
  /** The directories that it is merged from, the uppermost first. */
  directories(snapshot: Snapshot): readonly string[];
}

/** Something that is mounted for one RUN. */
export type StepMount =
  | {
      readonly kind: "snapshot";
      readonly snapshot: Snapshot;
      readonly subpath: string;
      readonly target: string;
      /** Where what is written goes, in "upper" and "work"; read-only without it. */
      readonly writes?: string | undefined;
    }
  | {
      readonly kind: "bind";
      /** On the host. */
      readonly source: string;
      /** What of it is mounted; links are followed inside the source only. */
      readonly subpath: string;
      readonly target: string;
      readonly readonly: boolean;
      /** Where what is written goes instead, in "upper" and "work". */
      readonly writes?: string | undefined;
    }
  | { readonly kind: "tmpfs"; readonly target: string; readonly size?: number | undefined };

/** Limits and settings of a build's containers. */
export interface StepLimits {
  readonly memory: number;
  readonly memorySwap: number;
  readonly cpuShares: number;
  readonly cpuPeriod: number;
  readonly cpuQuota: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly cgroupParent: string;
  readonly shmSize: number;
  readonly ulimits: readonly {
    readonly Name: string;
    readonly Soft: number;
    readonly Hard: number;
  }[];
  readonly extraHosts: readonly string[];
  /** default, none, host or container:NAME. */
  readonly network: string;
}

/** A RUN, ready to run. */
export interface StepRun {
  readonly snapshot: Snapshot;
  /** What its programs are for. */
  readonly platform: Platform;
  readonly work: RunWork;
  readonly mounts: readonly StepMount[];
  /** Secrets for the environment; they count for nothing and are kept nowhere. */
  readonly secretEnv: readonly string[];
  readonly limits: StepLimits;
  readonly output: (stream: "stdout" | "stderr", bytes: Uint8Array) => void;
  readonly signal: AbortSignal;
}

/** What a RUN has changed, as plain data. */
export interface StepChanges {
  readonly comparison: Comparison;
  /** Places that only its mounts needed: they are no change. */
  readonly stubs: readonly string[];
}

/** How a RUN ended. Its files are there until it is closed. */
export interface StepOutcome {
  readonly status: number;
  readonly oomKilled: boolean;
  readonly changed: StepChanges;
  close(): Promise<void>;
}

/** Runs commands. Rejects with a Fault when a command cannot be run at all, and with the signal's reason. */
export interface BuildRunner {
  run(step: StepRun): Promise<StepOutcome>;
}
