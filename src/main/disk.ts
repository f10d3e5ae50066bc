/**
 * What takes room on the disk, and taking it back: images, containers and volumes together.
 */
import type { DiskKind, DiskPort } from "../api/index.ts";
import { isSelected } from "../base/selection.ts";
import type { Engine, EngineDeps } from "../engine/index.ts";
import { sharedSizes, summaryOf } from "../images/index.ts";
import { usageOf } from "../storage/index.ts";
import { imageUsers, removeImage, volumeOf } from "./ports.ts";

const ANONYMOUS = "com.docker.volume.anonymous";

/** The port over the engine's parts. */
export function diskPort(engine: Engine, deps: EngineDeps): DiskPort {
  const { images, volumes, registry } = deps;
  const layersSize = () => {
    const layers = new Set(images.list().flatMap(({ chain }) => chain));
    return [...layers].reduce((sum, layer) => sum + images.layerSize(layer), 0);
  };
  return {
    async usage(kinds) {
      const all = images.list();
      const shared = sharedSizes(all, (layer) => images.layerSize(layer));
      const users = imageUsers(registry);
      const parts: Readonly<Record<DiskKind, () => object>> = {
        image: () => ({
          LayersSize: layersSize(),
          Images: all.map((image) => summaryOf(image, users.of(image.id).length, shared(image))),
        }),
        container: () => ({
          Containers: engine.list({ all: true, limit: 0, filters: {}, size: true }),
        }),
        volume: () => ({
          Volumes: volumes.list().map((volume) => ({
            ...volumeOf(volume),
            UsageData: {
              Size: usageOf(volume.mountpoint).bytes,
              RefCount: volumes.users(volume.name).length,
            },
          })),
        }),
        "build-cache": () => ({ BuildCache: [] }),
      };
      return Object.assign({}, ...kinds.map((kind) => parts[kind]()));
    },
    pruneImages(wish) {
      const before = layersSize();
      const users = imageUsers(registry);
      const ImagesDeleted = images
        .list()
        .filter((image) => users.of(image.id).length === 0)
        .filter((image) => !wish.onlyNameless || image.tags.length === 0)
        .filter(({ document }) =>
          isSelected(wish, document.config?.Labels ?? {}, Date.parse(document.created ?? "") || 0),
        )
        .flatMap((image) => {
          const names = image.tags.length === 0 ? [image.id] : image.tags;
          return names.flatMap((name) => removeImage(deps, name, false));
        });
      const SpaceReclaimed = before - layersSize();
      deps.events.emit("image", "prune", "", { reclaimed: String(SpaceReclaimed) });
      return { ImagesDeleted, SpaceReclaimed };
    },
    pruneVolumes(wish) {
      const VolumesDeleted: string[] = [];
      let SpaceReclaimed = 0;
      for (const volume of volumes.list()) {
        if (volumes.users(volume.name).length > 0) continue;
        if (wish.onlyNameless && !(ANONYMOUS in volume.labels)) continue;
        if (!isSelected(wish, volume.labels, volume.created)) continue;
        const { bytes } = usageOf(volume.mountpoint);
        volumes.remove(volume.name);
        deps.events.emit("volume", "destroy", volume.name, { driver: "local" });
        VolumesDeleted.push(volume.name);
        SpaceReclaimed += bytes;
      }
      deps.events.emit("volume", "prune", "", { reclaimed: String(SpaceReclaimed) });
      return { VolumesDeleted, SpaceReclaimed };
    },
  };
}
