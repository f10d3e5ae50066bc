/**
 * What is done about a container that has become unhealthy (--health-on-failure, as Podman has it). Docker's API has no
 * field for it: it travels as a label, which counts only when the user has given it, never when an image has.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ContainerConfig } from "../spec/engine-api.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { HealthAction } from "./container-record.ts";
import { endUnasked, restartContainer, stopContainer } from "./control.ts";
import type { EngineDeps } from "./deps.ts";

const LABEL = "berth.health-on-failure";
const actions: readonly HealthAction[] = ["none", "kill", "restart", "stop"];

/** The action that a user's own labels ask for. Throws a Fault "invalid" for one that there is not. */
export function healthActionOf({ Labels }: ContainerConfig): HealthAction | undefined {
  const text = Labels?.[LABEL];
  const action = actions.find((one) => one === text);
  if (text !== undefined && action === undefined)
    throw fault(
      "invalid",
      "health-action",
      `invalid value ${JSON.stringify(text)} for health-on-failure: use ${actions.join(", ")}`,
    );
  return action === "none" ? undefined : action;
}

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
