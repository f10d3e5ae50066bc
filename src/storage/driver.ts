/**
 * What a snapshot driver promises. Drivers keep layers and containers' writable directories on disk; none ever mounts
 * anything that a mount namespace has.
 */
import type { ArrivingFile } from "../base/arriving-file.ts";
import type { ByteStream } from "../base/compression.ts";
import type { Privileged } from "../tree/index.ts";
import type { Change, Comparison } from "./changes.ts";
import type { ContainerView, Found, ViewMount } from "./view.ts";

/** What drivers ask of the kernel. */
export interface StorageKernel extends Privileged {
  /** The process whose descriptors the handles are. */
  readonly pid: number;
  /** Makes a mount that no namespace has; it is reached at /proc/`pid`/fd/HANDLE, and goes when that is closed. */
  mountDetached(type: string, params: readonly string[]): Promise<number>;
  close(handle: number): Promise<void>;
  makeSubvolume(path: string, source?: string): Promise<void>;
  deleteSubvolume(path: string): Promise<void>;
  limitSubvolume(path: string, bytes: number): Promise<void>;
}

/** The drivers that there are. */
export const driverNames = ["overlay2", "erofs", "btrfs", "fuse-overlayfs", "vfs"] as const;
/** A driver by its name. */
export type DriverName = (typeof driverNames)[number];

/** How a container's root is mounted; plain data for the launch plan. */
export type RootMount =
  | {
      readonly kind: "overlay";
      /** The uppermost first. */
      readonly lowerdirs: readonly string[];
      readonly upperdir: string;
      readonly workdir: string;
      readonly volatile: boolean;
    }
  | { readonly kind: "bind"; readonly path: string }
  | {
      readonly kind: "fuse-overlay";
      /** fuse-overlayfs. */
      readonly program: string;
      readonly lowerdirs: readonly string[];
      readonly upperdir: string;
      readonly workdir: string;
    };

/** A container's writable layer and what it stands on. */
export interface ContainerLayer {
  readonly id: string;
  /** Chain ids, the lowest first. */
  readonly chain: readonly string[];
  /** Gives up crash safety of the writable layer for speed; for containers that are removed when they end. */
  readonly volatile: boolean;
  /** What it may write, in bytes; only where the driver limits sizes. */
  readonly size?: number | undefined;
}

/** A layer to unpack. */
export interface LayerInput {
  /** The layer below, if any. Drivers whose layers are independent do not look at it. */
  readonly parent?: string | undefined;
  /** The archive: a file, plain or compressed, which may still be arriving; or uncompressed bytes. */
  readonly tar: ArrivingFile | ByteStream;
}

/** A layer to unpack that is known already. */
export interface NamedLayer extends LayerInput {
  /** The OCI chain id, "sha256:…". */
  readonly chainId: string;
  /** Checked against what was read; a mismatch leaves nothing behind. */
  readonly diffId?: string | undefined;
}

/** A layer that is unpacked where nobody sees it yet. Whoever has one commits or discards it. */
export interface StagedLayer {
  /** The digest of the uncompressed archive, "sha256:…". */
  readonly diffId: string;
  /** Bytes of file content. */
  readonly size: number;
  /** Gives it its chain id. Resolves when it is stored durably, which need not be this one: it may have been there. */
  commit(chainId: string): Promise<void>;
  discard(): void;
}

/** Bytes and directory entries. */
export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

/** What a migration from one driver to another asks, beyond what both do. */
export interface Movable {
  /** The last layer of a chain as an archive, whose bytes need not be those that it was unpacked from. */
  packLayer(chain: readonly string[]): ByteStream;
  /** What a container that does not run has changed, whatever it has done to hide it. */
  packWritten(container: ContainerLayer): ByteStream;
  /** Gives a prepared container such changes. */
  unpackWritten(container: ContainerLayer, tar: ByteStream): Promise<void>;
}

/** A snapshot driver. All paths are below its own directory, which nobody but root can enter. */
export interface SnapshotDriver extends Movable {
  /** Whether it can hold a container to a size. */
  readonly limitsSize: boolean;
  readonly name: DriverName;
  /** True when a layer can be unpacked before the one below it is there. */
  readonly independent: boolean;
  /** Unpacks a layer where nobody sees it. Nothing of it stays when this rejects. */
  stageLayer(layer: LayerInput): Promise<StagedLayer>;
  /** Unpacks a layer and commits it. Resolves when it is stored durably, which need not be by this call. */
  applyLayer(layer: NamedLayer): Promise<{ readonly diffId: string; readonly size: number }>;
  hasLayer(chainId: string): boolean;
  /** Fine if it is gone. The caller knows that nothing uses it. */
  removeLayer(chainId: string): void;
  /** Every layer on disk, for the sweep. */
  layers(): string[];
  /** Makes the writable directories; cheap, on the start path. */
  prepare(container: ContainerLayer): Promise<RootMount>;
  /** The mount of a prepared container. */
  mountOf(container: ContainerLayer): RootMount;
  /** Fine if it is gone. */
  remove(id: string): void;
  /** Every container on disk, for the sweep. */
  containers(): string[];
  /** What a container has written. */
  usage(container: ContainerLayer): Usage;
  /** Reads a regular file as the (stopped) container sees it; undefined when it is missing or larger than `max` bytes. */
  readFile(container: ContainerLayer, path: string, max: number): Promise<Uint8Array | undefined>;
  /** The layers' directories, the uppermost first, as a stopped container sees them: for copying content up. */
  directories(container: ContainerLayer): string[];
  /** The directories of an image's layers, the uppermost first, without anything of the engine's. */
  layerDirectories(chain: readonly string[]): string[];
  /** Where a container's layers lie, in the words of Docker's GraphDriver.Data; empty where there are none to look at. */
  places(container: ContainerLayer): Readonly<Record<string, string>>;
  /** The same of an image's layers. */
  imagePlaces(chain: readonly string[]): Readonly<Record<string, string>>;
  /** What an image's layers have that those of another (or nothing) do not, in order; without anything of the engine's. */
  differences(chain: readonly string[], before: readonly string[]): AsyncGenerator<Change>;
  /** What a container has changed, in order. A running container may change more meanwhile. */
  changes(container: ContainerLayer): AsyncGenerator<Change>;
  /** What tells them, for whoever looks for them elsewhere. */
  comparison(container: ContainerLayer): Comparison;
  /** The changes as a layer's archive. */
  packChanges(container: ContainerLayer): ByteStream;
  /** The container's file system with what is mounted over it, to look paths up in. */
  view(container: ContainerLayer, mounts: readonly ViewMount[]): ContainerView;
  /** What a look-up has found as an archive, called `name` in it. */
  packFound(found: Found, name: string): ByteStream;
  /** The container's whole file system as an archive, without what is mounted in it. */
  packTree(container: ContainerLayer): ByteStream;
  /** Throws away what removals have left, and files that a crash left half-made. */
  sweep(): void;

  /** Resolves when the files of what was removed are gone. */
  settled(): Promise<void>;
}
