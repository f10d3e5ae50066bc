/**
 * What is done about a container that has become unhealthy, as its user's label wants it.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import { endUnasked, restartContainer, stopContainer } from "./control.ts";
import type { EngineDeps } from "./deps.ts";

/** Does what is to be done. A container that is killed may be started again by its restart policy. */
export function actOnFailure(deps: EngineDeps, container: Container): void {
  const action = container.record.healthAction;
  if (action === undefined) return;
  deps.events.emit(
    "container",
    `health_on_failure: ${action}`,
    container.id,
    attributesOf(container.record),
  );
  const work = {
    none: async () => {},
    kill: () => endUnasked(container),
    restart: () => restartContainer(deps, container, {}),
    stop: () => stopContainer(deps, container, {}),
  }[action];
  work().catch((error) =>
    log.warn("act on a failed health check", { id: container.id, error: messageOf(error) }),
  );
}
