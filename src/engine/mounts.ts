/**
 * A container's mounts: what they need on the host is made, and the image's content copied into new volumes.
 */
import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { fault } from "../base/errors.ts";
import type { ImageStore } from "../images/index.ts";
import { resolveMerged } from "../storage/index.ts";
import type { VolumeStore } from "../volumes/index.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import type { WantedMount } from "./mount-wishes.ts";
import { mountsOf } from "./pending.ts";

/** Makes what the mounts need on the host and gives their records; notes the container as user of its volumes. */
export function makeMounts(
  wanted: readonly WantedMount[],
  stores: { readonly volumes: VolumeStore; readonly images: ImageStore },
  container: string,
): MountRecord[] {
  return wanted.map((wish): MountRecord => {
    const { volumeName, volumeDriver, volumeOptions, makeSource, labels, image, ...mount } = wish;
    if (mount.type === "volume") {
      const volume = stores.volumes.create({
        name: volumeName,
        driver: volumeDriver,
        options: volumeOptions,
        labels,
        user: container,
      });
      return { ...mount, source: volume.mountpoint, volume: volume.name };
    }
    if (image !== undefined) {
      const { id, chain } = stores.images.resolve(image);
      return { ...mount, source: id, chain };
    }
    if (mount.type === "bind" && makeSource && !existsSync(mount.source))
      mkdirSync(mount.source, { recursive: true });
    return mount;
  });
}

/** The layers that a container stands on and mounts: they are needed while it exists. */
export function chainsOf(record: ContainerRecord): string[] {
  return [...record.chain, ...mountsOf(record).flatMap((mount) => mount.chain ?? [])];
}

/** The images that a container is made from and mounts. */
export function imagesOf(record: ContainerRecord): string[] {
  const mounted = mountsOf(record).filter(({ type }) => type === "image");
  return [record.image, ...mounted.map(({ source }) => source)];
}

/** The names of a container's volumes. */
export function volumesOf(record: ContainerRecord): ReadonlySet<string> {
  return new Set(mountsOf(record).flatMap(({ volume }) => volume ?? []));
}

/** Copies what the image has at a volume's target into the volume, while that is empty; owners and all. */
export function copyUp(mount: MountRecord, layers: readonly string[]): void {
  const found = resolveMerged(layers, mount.target);
  if (found === undefined || !found.info.isDirectory()) return;
  // From the lowest layer to the uppermost, each over what came before.
  for (const directory of found.merged.toReversed()) {
    if (!lstatSync(directory).isDirectory()) continue;
    const done = Bun.spawnSync(["cp", "-a", `${directory}/.`, mount.source]);
    if (done.exitCode !== 0)
      throw fault(
        "failed",
        "copy-up",
        `cannot copy the image's ${mount.target} into its volume: ${done.stderr.toString().trim()}`,
      );
  }
}
