/**
 * The label that says what is done about an unhealthy container (--health-on-failure, as Podman has it): Docker's API has
 * no field for it. It counts only when the user has given it, never when an image has.
 */
import { fault } from "../base/errors.ts";
import type { HealthAction } from "./container-record.ts";

const LABEL = "berth.health-on-failure";
const actions: readonly HealthAction[] = ["none", "kill", "restart", "stop"];

/** The action that a user's own labels ask for. Throws a Fault "invalid" for one that there is not. */
export function healthActionIn(labels: Readonly<Record<string, string>>): HealthAction | undefined {
  const text = labels[LABEL];
  const action = actions.find((one) => one === text);
  if (text !== undefined && action === undefined)
    throw fault(
      "invalid",
      "health-action",
      `invalid value ${JSON.stringify(text)} for health-on-failure: use ${actions.join(", ")}`,
    );
  return action === "none" ? undefined : action;
}
