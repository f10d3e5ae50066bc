/**
 * Removing the containers that do not run.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { isSelected, type Selection } from "../base/selection.ts";
import { diskBytes } from "../tree/index.ts";
import type { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import { deleteContainer } from "./control.ts";
import type { EngineDeps } from "./deps.ts";
import { layerOf } from "./places.ts";
import type { ContainerRegistry } from "./registry.ts";

/** What went, as the API says it. */
export interface Pruned {
  readonly ContainersDeleted: readonly string[];
  /** Bytes. */
  readonly SpaceReclaimed: number;
}

/** The containers that do not run and are chosen. */
export function prunable(registry: ContainerRegistry, selection: Selection): Container[] {
  return registry.all().filter((container) => {
    const { alive, record } = container;
    if (alive || record.state.status === "removing") return false;
    return isSelected(selection, record.config.Labels ?? {}, Date.parse(record.created));
  });
}

/** What goes with a container: its writable layer, and its log and other files. */
function ownDirectories(deps: EngineDeps, record: ContainerRecord): string[] {
  const layers = deps.driver.directories(layerOf(record));
  return [
    ...layers.filter((path) => path.includes(record.id)),
    `${deps.settings.containersDirectory}/${record.id}`,
  ];
}

/** Removes what is stopped and chosen; what cannot be removed is left and logged. `dryRun`: only says what would go. */
export async function pruneContainers(
  deps: EngineDeps,
  selection: Selection,
  dryRun = false,
): Promise<Pruned> {
  const ContainersDeleted: string[] = [];
  let SpaceReclaimed = 0;
  for (const container of prunable(deps.registry, selection)) {
    const { record } = container;
    try {
      const bytes = await diskBytes(ownDirectories(deps, record));
      if (!dryRun) await deleteContainer(deps, container, { force: false, volumes: false });
      ContainersDeleted.push(record.id);
      SpaceReclaimed += bytes;
    } catch (error) {
      log.warn("prune", { id: record.id, error: messageOf(error) });
    }
  }
  if (!dryRun) deps.events.emit("container", "prune", "", { reclaimed: String(SpaceReclaimed) });
  return { ContainersDeleted, SpaceReclaimed };
}
