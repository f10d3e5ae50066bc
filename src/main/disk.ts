/**
 * What takes room on the disk, and taking it back: images, containers and volumes together.
 */
import type { DiskKind, DiskPort } from "../api/index.ts";
import type { CacheRecord } from "../builder/index.ts";
import {
  buildCacheRecords,
  checkDataRoot,
  type DiskParts,
  dataRootUsage,
  findDuplicates,
  pruneBuildCache,
  pruneImages,
  pruneVolumes,
} from "../disk/index.ts";
import { type Engine, type EngineDeps, prunable } from "../engine/index.ts";
import { sharedSizes, summaryOf } from "../images/index.ts";
import { usageOf } from "../storage/index.ts";
import { isOwnDirectory } from "../volumes/index.ts";
import type { Builds } from "./build-port.ts";
import { imageUsers, removeImage, volumeOf } from "./ports.ts";

function cacheRow(record: CacheRecord): object {
  const { id, parents, type, description, inUse, shared, size, createdAt, usedAt, uses } = record;
  return {
    ...{ ID: id, Parents: parents, Type: type, Description: description },
    ...{ InUse: inUse, Shared: shared, Size: size, UsageCount: uses },
    CreatedAt: new Date(createdAt).toISOString(),
    LastUsedAt: new Date(usedAt).toISOString(),
  };
}

/** The port over the engine's parts. */
export function diskPort(
  engine: Engine,
  deps: EngineDeps,
  dataRoot: string,
  builds: Pick<Builds, "containers" | "kept">,
): DiskPort {
  const { images, volumes, registry, driver, events } = deps;
  const { kept } = builds;
  const parts: DiskParts = {
    ...{ dataRoot, images, volumes, registry, driver, events },
    builds: () => builds.containers(),
    imageUsers: (except) => imageUsers(deps, except),
    prunableContainers: (selection) => prunable(registry, selection).map(({ id }) => id),
    removeImage: (name) => removeImage(deps, { name, force: false }),
    removeVolume: (name) => deps.volumeDrivers.remove(name, true),
  };
  const layersSize = () => {
    const layers = new Set(images.list().flatMap(({ chain }) => chain));
    return [...layers].reduce((sum, layer) => sum + images.layerSize(layer), 0);
  };
  return {
    async usage(kinds, extras) {
      const all = images.list();
      const shared = sharedSizes(all, (layer) => images.layerSize(layer));
      const users = imageUsers(deps);
      const answers: Readonly<Record<DiskKind, () => object | Promise<object>>> = {
        image: () => ({
          LayersSize: layersSize(),
          Images: all.map((image) => summaryOf(image, users.of(image.id).length, shared(image))),
        }),
        container: () => ({
          Containers: engine.list({ all: true, limit: 0, filters: {}, size: true }),
        }),
        volume: async () => ({
          Volumes: (await deps.volumeDrivers.list()).map((volume) => ({
            ...volumeOf(volume),
            UsageData: {
              // What a server or a plugin has is not on this disk.
              Size: isOwnDirectory(volume) ? usageOf(volume.mountpoint).bytes : -1,
              RefCount: volumes.users(volume.name).length,
            },
          })),
        }),
        "build-cache": async () => ({
          BuildCache: (await buildCacheRecords(kept)).map(cacheRow),
        }),
      };
      const { disk, duplicates, signal } = extras;
      const more = {
        ...(disk ? { DataRoot: await dataRootUsage(parts) } : {}),
        ...(duplicates ? { Duplicates: await findDuplicates(parts, signal) } : {}),
      };
      const extra = disk || duplicates ? { Berth: more } : {};
      const found = await Promise.all(kinds.map((kind) => answers[kind]()));
      return Object.assign(extra, ...found);
    },
    check: (wish) => checkDataRoot(parts, wish),
    pruneImages: (wish) => pruneImages(parts, wish),
    pruneBuildCache: (wish) => pruneBuildCache(parts, kept, wish),
    pruneVolumes: (wish) => pruneVolumes(parts, wish),
  };
}
