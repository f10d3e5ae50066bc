/**
 * Removing the containers that do not run.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { isSelected, type Selection } from "../base/selection.ts";
import { deleteContainer } from "./control.ts";
import type { EngineDeps } from "./deps.ts";

/** What went, as the API says it. */
export interface Pruned {
  readonly ContainersDeleted: readonly string[];
  /** Bytes. */
  readonly SpaceReclaimed: number;
}

/** Removes what is stopped and chosen; what cannot be removed is left and logged. */
export async function pruneContainers(deps: EngineDeps, selection: Selection): Promise<Pruned> {
  const ContainersDeleted: string[] = [];
  let SpaceReclaimed = 0;
  for (const container of deps.registry.all()) {
    const { record } = container;
    if (container.alive || record.state.status === "removing") continue;
    if (!isSelected(selection, record.config.Labels ?? {}, Date.parse(record.created))) continue;
    try {
      const { bytes } = deps.driver.usage(record.id);
      await deleteContainer(deps, container, { force: false, volumes: false });
      ContainersDeleted.push(record.id);
      SpaceReclaimed += bytes;
    } catch (error) {
      log.warn("prune", { id: record.id, error: messageOf(error) });
    }
  }
  deps.events.emit("container", "prune", "", { reclaimed: String(SpaceReclaimed) });
  return { ContainersDeleted, SpaceReclaimed };
}
