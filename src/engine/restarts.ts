/**
 * Restart policies: whether a container that has ended begins again, and after how long.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
/** A run of this length was a good one: the delay begins anew. */
const GOOD_RUN_MS = 10_000;

/** Throws a Fault "invalid" for a restart policy that there is not. */
export function checkRestartPolicy({ RestartPolicy }: HostConfig): void {
  const { Name = "", MaximumRetryCount = 0 } = RestartPolicy ?? {};
  if (Name !== "" && !["no", "always", "unless-stopped", "on-failure"].includes(Name))
    throw fault(
      "invalid",
      "restart-policy",
      `invalid restart policy: unknown policy '${String(Name)}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  if (MaximumRetryCount !== 0 && Name !== "on-failure")
    throw fault(
      "invalid",
      "restart-policy",
      "invalid restart policy: maximum retry count can only be used with 'on-failure'",
    );
  if (MaximumRetryCount < 0)
    throw fault(
      "invalid",
      "restart-policy",
      "invalid restart policy: maximum retry count cannot be negative",
    );
}

/** Whether the policy wants a container that has ended to run again. `byUser`: somebody has stopped it. */
export function policyHolds(record: ContainerRecord, byUser: boolean): boolean {
  const { Name = "no", MaximumRetryCount = 0 } = record.hostConfig.RestartPolicy ?? {};
  if (Name === "always") return true;
  if (Name === "unless-stopped") return !byUser;
  if (Name === "on-failure")
    return (
      record.state.exitCode !== 0 &&
      (MaximumRetryCount === 0 || record.restartCount < MaximumRetryCount)
    );
  return false;
}

/** The pause before the next start, in milliseconds: twice the last one, unless the run was long. */
export function nextDelay(last: number, ranMs: number): number {
  if (last === 0 || ranMs >= GOOD_RUN_MS) return FIRST_DELAY_MS;
  return Math.min(last * 2, LONGEST_DELAY_MS);
}

/** The containers that wait for their next start. */
export class Restarts {
  private readonly waiting = new Map<Container, ReturnType<typeof setTimeout>>();
  private readonly delays = new WeakMap<Container, number>();
  private closed = false;

  /** `start` starts a container whose status is "restarting". */
  constructor(private readonly start: (container: Container) => Promise<void>) {}

  /** Starts the container after the pause that its last run has earned. Its status is "restarting" meanwhile. */
  schedule(container: Container, ranMs: number): void {
    if (this.closed) return;
    const delay = nextDelay(this.delays.get(container) ?? 0, ranMs);
    this.delays.set(container, delay);
    const timer = setTimeout(() => {
      this.waiting.delete(container);
      this.start(container).catch((error) =>
        log.warn("restart", { id: container.id, error: messageOf(error) }),
      );
    }, delay);
    this.waiting.set(container, timer);
  }

  /** Forgets a start that was to come. */
  cancel(container: Container): void {
    clearTimeout(this.waiting.get(container));
    this.waiting.delete(container);
    this.delays.delete(container);
  }

  /** Starts nothing more; what waits stays "restarting" in its record, for the next daemon. */
  close(): void {
    this.closed = true;
    for (const timer of this.waiting.values()) clearTimeout(timer);
    this.waiting.clear();
  }
}
