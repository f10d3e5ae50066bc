/**
 * Containers whose processes stand still while something is done with their files. A daemon that dies meanwhile leaves them so
 * to the next one, which lets them go on (recovery.ts).
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { cgroupPath } from "./places.ts";

/** Lets one go on, unless somebody else wants it still. */
function release(deps: EngineDeps, container: Container): void {
  container.heldStill--;
  // It may have been paused by a user meanwhile, who then wants it so.
  if (container.heldStill > 0 || container.record.state.status === "paused") return;
  try {
    deps.cgroups.thaw(cgroupPath(deps.settings, container.record));
  } catch (error) {
    log.debug("let a container go on", { id: container.id, error: messageOf(error) });
  }
}

/** How long processes may take to stand still: a call that writes much ends first. */
const STILL_MS = 60_000;

/** Waits until nothing of containers runs any more. Throws a Fault "failed". */
async function allStill(deps: EngineDeps, containers: readonly Container[]): Promise<void> {
  for (const { record, running } of containers) {
    const path = cgroupPath(deps.settings, record);
    for (const end = Date.now() + STILL_MS; running && !deps.cgroups.isFrozen(path); ) {
      if (Date.now() > end)
        throw fault(
          "failed",
          "cgroup-freeze",
          `cannot freeze: processes of ${record.name} do not stand still`,
        );
      await Bun.sleep(1);
    }
  }
}

/**
 * Freezes containers; gives what lets them go on. Throws a Fault "failed", and then all of them go on. Where the engine has no
 * control groups nobody can be frozen: what is read meanwhile is as it is found.
 */
export async function holdStill(
  deps: EngineDeps,
  containers: readonly Container[],
): Promise<() => void> {
  if (!deps.cgroups.there) {
    for (const { id } of containers)
      log.warn("a container is not held still: there are no cgroups", { id });
    return () => {};
  }
  const held: Container[] = [];
  const letGo = () => {
    for (const container of held.splice(0)) release(deps, container);
  };
  try {
    for (const container of containers) {
      container.heldStill++;
      held.push(container);
      deps.cgroups.freeze(cgroupPath(deps.settings, container.record));
    }
    await allStill(deps, held);
  } catch (error) {
    letGo();
    throw error;
  }
  return letGo;
}
