/**
 * A container's mounts: what they need on the host is made, and the image's content copied into new volumes.
 */
import { closeSync, fchmodSync, fchownSync, futimesSync, mkdirSync, readdirSync } from "node:fs";
import { errnoText } from "../base/errno-text.ts";
import { fault, messageOf } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import { checkRunnable, type ImageStore } from "../images/index.ts";
import type { ContainerLayer } from "../storage/index.ts";
import { Extractor, fileTime, openRoot, TargetTree } from "../tree/index.ts";
import { isOwnDirectory, type VolumeDrivers } from "../volumes/index.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { isMissing, type WantedMount } from "./mount-wishes.ts";
import { mountsOf } from "./pending.ts";

/** Makes what the mounts need on the host and gives their records; notes the container as user of its volumes. */
export async function makeMounts(
  wanted: readonly WantedMount[],
  stores: { readonly volumeDrivers: VolumeDrivers; readonly images: ImageStore },
  container: string,
): Promise<MountRecord[]> {
  const make = async (wish: WantedMount): Promise<MountRecord> => {
    const { volumeName, volumeDriver, volumeOptions, makeSource, labels, image, ...mount } = wish;
    if (mount.type === "volume") {
      const volume = await stores.volumeDrivers.create({
        name: volumeName,
        driver: volumeDriver,
        options: volumeOptions,
        labels,
        user: container,
      });
      const driver = volume.driver === "local" ? {} : { driver: volume.driver };
      return { ...mount, source: volume.mountpoint, volume: volume.name, ...driver };
    }
    if (image !== undefined) {
      const found = stores.images.resolve(image);
      checkRunnable(image, found);
      return { ...mount, source: found.id, chain: found.chain };
    }
    return makeSource ? { ...mount, makeSource } : mount;
  };
  const made: MountRecord[] = [];
  for (const wish of wanted) made.push(await make(wish));
  return made;
}

/** Makes what is missing on the host of what is bound, where it may be made. Throws Faults in Docker's words. */
export function prepareSources(mounts: readonly MountRecord[]): void {
  for (const { type, source, makeSource } of mounts) {
    if (type !== "bind" || !isMissing(source)) continue;
    if (makeSource !== true)
      throw fault(
        "invalid",
        "mount",
        `invalid mount config for type "bind": bind source path does not exist: ${source}`,
      );
    try {
      mkdirSync(source, { recursive: true });
    } catch (error) {
      throw fault(
        "invalid",
        "mount-source",
        `error while creating mount source path '${source}': mkdir ${source}: ${reasonOf(error)}`,
        error,
      );
    }
  }
}

/** The system's own words for what it has refused. */
function reasonOf(error: unknown): string {
  const { errno } = error as { errno?: number };
  return errno === undefined ? messageOf(error) : errnoText(Math.abs(errno));
}

/** What a tmpfs takes over whose mode nobody has given: that of the directory that it hides. By target. */
export async function tmpfsModes(
  { driver }: Pick<EngineDeps, "driver">,
  layer: ContainerLayer,
  mounts: readonly MountRecord[],
): Promise<ReadonlyMap<string, number>> {
  const modes = new Map<string, number>();
  for (const { type, target, options = [] } of mounts) {
    if (type !== "tmpfs" || options.some((option) => option.startsWith("mode="))) continue;
    const found = await driver.view(layer, []).find(target, true);
    if (found?.place !== undefined && found.directories.length > 0)
      modes.set(target, found.place.info.mode & 0o7777);
    found?.close();
  }
  return modes;
}

/** The layers that a container stands on and mounts: they are needed while it exists. */
export function chainsOf(record: ContainerRecord): string[] {
  return wholeChainsOf(record).flat();
}

/** The same, chain by chain. */
export function wholeChainsOf(record: ContainerRecord): (readonly string[])[] {
  return [record.chain, ...mountsOf(record).flatMap(({ chain }) => (chain ? [chain] : []))];
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

/** Copies what the container has at its volumes' targets into those that are empty; owners and all. */
export async function copyUp(
  deps: EngineDeps,
  layer: ContainerLayer,
  mounts: readonly MountRecord[],
): Promise<void> {
  for (const mount of mounts) {
    const { volume, copyUp: isWanted, source } = mount;
    if (!isWanted || volume === undefined) continue;
    // Whoever starts with the same volume meanwhile waits for all of it.
    await deps.volumeDrivers.inTurn(volume, async () => {
      const record = deps.volumes.get(volume);
      if (!isOwnDirectory(record)) {
        if (readdirSync(source).length === 0) await fill(deps, layer, mount, () => source);
        return;
      }
      const filling = deps.volumes.filling(volume);
      if (!deps.volumes.isEmpty(volume)) return;
      try {
        if (await fill(deps, layer, mount, () => filling.begin())) filling.commit();
      } finally {
        filling.abandon();
      }
    });
  }
}

/** Copies what is at a mount's target into a directory, which is asked for then; false when nothing is there. */
async function fill(
  { driver, kernel }: Pick<EngineDeps, "driver" | "kernel">,
  layer: ContainerLayer,
  mount: MountRecord,
  into: () => string,
): Promise<boolean> {
  const found = await driver.view(layer, []).find(mount.target, true);
  if (found?.place === undefined || found.directories.length === 0) {
    found?.close();
    return false;
  }
  const { info } = found.place;
  const root = openRoot(into());
  const tree = new TargetTree(root);
  try {
    const reader = new TarReader(driver.packFound(found, "."));
    await new Extractor(tree, kernel, { whiteouts: "keep" }).extract(reader);
    fchownSync(root, info.uid, info.gid);
    fchmodSync(root, info.mode & 0o7777);
    futimesSync(root, fileTime(info.atimeMs / 1000), fileTime(info.mtimeMs / 1000));
    return true;
  } catch (error) {
    throw fault(
      "failed",
      "copy-up",
      `cannot copy the image's ${mount.target} into its volume: ${messageOf(error)}`,
      error,
    );
  } finally {
    tree.close();
    closeSync(root);
    found.close();
  }
}
