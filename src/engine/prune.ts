/**
 * Removing the containers that do not run.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { deleteContainer } from "./control.ts";
import type { EngineDeps } from "./deps.ts";

/** Which of them. */
export interface PruneChoice {
  /** Created before this, in milliseconds since 1970. */
  readonly until: number | undefined;
  /** "key" or "key=value": all must hold. */
  readonly labels: readonly string[];
  /** None of these may hold. */
  readonly withoutLabels: readonly string[];
}

/** What went, as the API says it. */
export interface Pruned {
  readonly ContainersDeleted: readonly string[];
  /** Bytes. */
  readonly SpaceReclaimed: number;
}

function holds(labels: Readonly<Record<string, string>>, want: string): boolean {
  const equals = want.indexOf("=");
  if (equals < 0) return want in labels;
  return labels[want.slice(0, equals)] === want.slice(equals + 1);
}

/** Removes what is stopped and chosen; what cannot be removed is left and logged. */
export async function pruneContainers(deps: EngineDeps, choice: PruneChoice): Promise<Pruned> {
  const ContainersDeleted: string[] = [];
  let SpaceReclaimed = 0;
  for (const container of deps.registry.all()) {
    const { record } = container;
    const labels = record.config.Labels ?? {};
    if (container.running || container.restarting || record.state.status === "removing") continue;
    if (choice.until !== undefined && Date.parse(record.created) >= choice.until) continue;
    if (!choice.labels.every((want) => holds(labels, want))) continue;
    if (choice.withoutLabels.some((want) => holds(labels, want))) continue;
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
