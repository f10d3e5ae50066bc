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

/** The containers that wait for their next start. Each has the status "restarting" meanwhile. */
export class Restarts {
  /** With what ends the wait. */
  private readonly waiting = new Map<Container, () => void>();
  private readonly held = new Set<Container>();
  private readonly delays = new WeakMap<Container, number>();
  /** Those that are to be started when the daemon has set its house in order; undefined afterwards. */
  private gathered: Set<Container> | undefined = new Set();
  private closed = false;

  /** `start` starts a container whose status is "restarting". */
  constructor(private readonly start: (container: Container) => Promise<void>) {}

  /** Starts the container after the pause that its last run has earned. */
  schedule(container: Container, ranMs: number): void {
    if (this.closed) return;
    if (this.gathered !== undefined) {
      this.gathered.add(container);
      return;
    }
    const delay = nextDelay(this.delays.get(container) ?? 0, ranMs);
    this.delays.set(container, delay);
    const timer = setTimeout(() => this.begin(container), delay);
    this.waiting.set(container, () => clearTimeout(timer));
  }

  /** From now on starts are made, not gathered. Gives those that have been gathered. */
  open(): Container[] {
    const gathered = [...(this.gathered ?? [])].filter(({ restarting }) => restarting);
    this.gathered = undefined;
    return gathered;
  }

  /** Starts the container once `ready` has resolved with true; with false it is not started. */
  hold(container: Container, ready: (signal: AbortSignal) => Promise<boolean>): void {
    if (this.closed) return;
    const abort = new AbortController();
    this.waiting.set(container, () => abort.abort());
    this.held.add(container);
    ready(abort.signal)
      .then((wanted) => {
        if (abort.signal.aborted) return;
        this.forget(container);
        if (wanted) this.begin(container);
      })
      .catch((error) => log.error("hold a start", { id: container.id, error }));
  }

  /** True while a container waits for others. */
  holds(container: Container): boolean {
    return this.held.has(container);
  }

  private begin(container: Container): void {
    this.forget(container);
    this.start(container).catch((error) =>
      log.warn("restart", { id: container.id, error: messageOf(error) }),
    );
  }

  private forget(container: Container): void {
    this.waiting.delete(container);
    this.held.delete(container);
  }

  /** Forgets a start that was to come. */
  cancel(container: Container): void {
    this.gathered?.delete(container);
    this.waiting.get(container)?.();
    this.forget(container);
    this.delays.delete(container);
  }

  /** Starts nothing more; what waits stays "restarting" in its record, for the next daemon. */
  close(): void {
    this.closed = true;
    for (const end of this.waiting.values()) end();
    this.waiting.clear();
    this.held.clear();
  }
}
