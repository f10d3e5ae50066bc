/**
 * What this folder works with.
 */
import type { Selection } from "../base/selection.ts";
import type { ContainerRegistry, Events } from "../engine/index.ts";
import type { ImageStore, ImageUsers, RemovalStep } from "../images/index.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import type { VolumeStore } from "../volumes/index.ts";

/** The daemon's parts that have something on the disk. */
export interface DiskParts {
  readonly dataRoot: string;
  readonly images: ImageStore;
  readonly volumes: VolumeStore;
  readonly registry: ContainerRegistry;
  readonly driver: SnapshotDriver;
  readonly events: Events;
  /** Containers of builds that go on just now: no record names them. */
  builds(): ReadonlySet<string>;
  /** Who uses images now, without some containers. */
  imageUsers(except?: ReadonlySet<string>): ImageUsers;
  /** Containers that a prune would take. */
  prunableContainers(selection: Selection): readonly string[];
  /** Removes a volume that nobody uses. */
  removeVolume(name: string): Promise<void>;
  /** Removes a name or an image, and tells of it by events. */
  removeImage(name: string): RemovalStep[];
}

/** The directory of an unpacked layer. */
export function layerPath({ dataRoot, driver }: DiskParts, chainId: string): string {
  return `${dataRoot}/${driver.name}/layers/${chainId.slice("sha256:".length)}`;
}
