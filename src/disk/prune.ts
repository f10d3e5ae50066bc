/**
 * Taking room back: images and volumes that nobody uses, or only saying what would go.
 */
import { isSelected, type Selection } from "../base/selection.ts";
import type { ImageRecord, RemovalStep } from "../images/index.ts";
import { diskBytes } from "../tree/index.ts";
import { type DiskParts, layerPath } from "./parts.ts";

const ANONYMOUS = "com.docker.volume.anonymous";

/** What images or volumes to remove. */
export interface PruneChoice extends Selection {
  /** Images without a name only, or anonymous volumes only. */
  readonly onlyNameless: boolean;
  /** Only say what would go: now, or once the stopped containers have gone that are chosen alike. */
  readonly dryRun: boolean | "after-containers";
}

/** Containers that count as gone. */
function goneContainers(parts: DiskParts, choice: PruneChoice): ReadonlySet<string> {
  return new Set(choice.dryRun === "after-containers" ? parts.prunableContainers(choice) : []);
}

/** Images that nobody uses; with what they would take with them, measured before it is gone. */
function chooseImages(parts: DiskParts, choice: PruneChoice): ImageRecord[] {
  const users = parts.imageUsers(goneContainers(parts, choice));
  const all = parts.images.list();
  const parents = new Set(all.map(({ parent }) => parent));
  return (
    all
      // What others were made from goes with the last of them.
      .filter((image) => image.tags.length > 0 || !parents.has(image.id))
      .filter((image) => users.of(image.id).length === 0)
      .filter((image) => !choice.onlyNameless || image.tags.length === 0)
      .filter(({ document }) =>
        isSelected(choice, document.config?.Labels ?? {}, Date.parse(document.created ?? "") || 0),
      )
  );
}

/** Removes images that nobody uses. The bytes are those of the disk: layers, and blobs beside them. */
export async function pruneImages(
  parts: DiskParts,
  choice: PruneChoice,
): Promise<{ ImagesDeleted: readonly RemovalStep[]; SpaceReclaimed: number }> {
  const { images, events } = parts;
  const chosen = chooseImages(parts, choice);
  // What is chosen by its age or its labels is an image.
  const selective =
    choice.until !== undefined || choice.labels.length + choice.withoutLabels.length > 0;
  const brokenOff = selective ? [] : images.upkeep.brokenOff();
  const plan = images.upkeep.planRemoval(
    chosen,
    parts.imageUsers(goneContainers(parts, choice)).chains,
  );
  const SpaceReclaimed = await diskBytes([
    ...plan.layers.map((chainId) => layerPath(parts, chainId)),
    ...[...plan.blobs, ...brokenOff].flatMap((digest) => images.upkeep.filesOf(digest)),
  ]);
  if (choice.dryRun !== false) return { ImagesDeleted: plan.steps, SpaceReclaimed };
  images.upkeep.forgetBrokenOff(brokenOff.filter((digest) => !images.upkeep.isHeld(digest)));
  const ImagesDeleted = chooseImages(parts, choice)
    // A container may have come for one while they were measured, and what was not measured stays.
    .filter(({ id }) => chosen.some((one) => one.id === id))
    .flatMap((image) => {
      const names = image.tags.length === 0 ? [image.id] : image.tags;
      return names.flatMap((name) => parts.removeImage(name));
    });
  events.emit("image", "prune", "", { reclaimed: String(SpaceReclaimed) });
  return { ImagesDeleted, SpaceReclaimed };
}

/** Removes volumes that nobody uses; those with a name only when that is asked for. */
export async function pruneVolumes(
  parts: DiskParts,
  choice: PruneChoice,
): Promise<{ VolumesDeleted: readonly string[]; SpaceReclaimed: number }> {
  const { volumes, events } = parts;
  const gone = goneContainers(parts, choice);
  const inUse = (name: string) => volumes.users(name).some((user) => !gone.has(user));
  const VolumesDeleted: string[] = [];
  let SpaceReclaimed = 0;
  for (const volume of volumes.list()) {
    // Docker prunes what is on this host and its own.
    if (volume.driver !== "local") continue;
    if (choice.onlyNameless && !(ANONYMOUS in volume.labels)) continue;
    if (!isSelected(choice, volume.labels, volume.created)) continue;
    if (inUse(volume.name)) continue;
    const bytes = await diskBytes([volume.mountpoint]);
    if (choice.dryRun === false) {
      // A container may have come for it while it was measured.
      if (inUse(volume.name)) continue;
      await parts.removeVolume(volume.name);
      events.emit("volume", "destroy", volume.name, { driver: volume.driver });
    }
    VolumesDeleted.push(volume.name);
    SpaceReclaimed += bytes;
  }
  if (choice.dryRun === false)
    events.emit("volume", "prune", "", { reclaimed: String(SpaceReclaimed) });
  return { VolumesDeleted, SpaceReclaimed };
}
