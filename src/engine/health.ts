/**
 * Health checks: the state machine that Docker documents, over probes that somebody else runs.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { pause } from "../base/timers.ts";
import type { ContainerConfig, HealthConfig } from "../spec/engine-api.ts";
import type { Container } from "./container.ts";
import type { HealthRecord, ProbeRecord } from "./container-record.ts";

const NS_PER_MS = 1e6;
const DEFAULT_INTERVAL_MS = 30_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_START_INTERVAL_MS = 5_000;
const DEFAULT_RETRIES = 3;
/** Results that are kept. */
const KEPT = 5;

/** A check with everything that it leaves out filled in; times in milliseconds. */
export interface HealthCheck {
  readonly args: readonly string[];
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly startInterval: number;
  readonly retries: number;
}

/** Throws a Fault "invalid" in Docker's words for a check that cannot be. */
export function checkHealthConfig(config: HealthConfig | null | undefined): void {
  if (config === undefined || config === null) return;
  const bad = (message: string) => fault("invalid", "healthcheck", message);
  for (const key of ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const) {
    const value = config[key] ?? 0;
    if (value !== 0 && value < NS_PER_MS)
      throw bad(`${key} in Healthcheck cannot be less than 1ms`);
  }
  if ((config.Retries ?? 0) < 0) throw bad("Retries in Healthcheck cannot be negative");
  const kind = config.Test?.[0];
  if (kind !== undefined && !["NONE", "CMD", "CMD-SHELL"].includes(kind))
    throw bad(`Unknown type '${kind}' in HEALTHCHECK: use NONE, CMD or CMD-SHELL`);
}

/** The check that a configuration asks for; undefined when there is none. */
export function healthCheckOf(config: ContainerConfig): HealthCheck | undefined {
  const health = config.Healthcheck;
  const [kind, ...args] = health?.Test ?? [];
  if (health === undefined || health === null || kind === undefined || kind === "NONE")
    return undefined;
  const shell = config.Shell?.length ? config.Shell : ["/bin/sh", "-c"];
  const ms = (value: number | undefined, fallback: number) =>
    value ? value / NS_PER_MS : fallback;
  return {
    args: kind === "CMD-SHELL" ? [...shell, args.join(" ")] : args,
    interval: ms(health.Interval, DEFAULT_INTERVAL_MS),
    timeout: ms(health.Timeout, DEFAULT_TIMEOUT_MS),
    startPeriod: ms(health.StartPeriod, 0),
    startInterval: ms(health.StartInterval, DEFAULT_START_INTERVAL_MS),
    retries: health.Retries || DEFAULT_RETRIES,
  };
}

/** What follows from a probe's result. Pure; `age` is how long the container had run when it began, in milliseconds. */
export function afterProbe(
  health: HealthRecord,
  check: HealthCheck,
  probe: ProbeRecord,
  age: number,
): HealthRecord {
  const results = [...health.log, probe].slice(-KEPT);
  if (probe.exitCode === 0) return { status: "healthy", failingStreak: 0, log: results };
  // While it is still starting up, a failure is no news.
  if (health.status === "starting" && age < check.startPeriod) return { ...health, log: results };
  const failingStreak = health.failingStreak + 1;
  return {
    status: failingStreak >= check.retries ? "unhealthy" : health.status,
    failingStreak,
    log: results,
  };
}

/** What the monitor needs of others. */
export interface HealthHooks {
  /** Runs a probe; a time-out is a result too (exit code -1). */
  probe(container: Container, check: HealthCheck): Promise<ProbeRecord>;
  /** Stores the record; `status` is set when it has become another. */
  changed(container: Container, status: string | undefined): void;
}

/** The checks of all containers that run. */
export class HealthMonitor {
  private readonly loops = new Map<Container, AbortController>();
  /** Probes since the daemon's start, and those of them that failed. */
  checks = 0;
  failedChecks = 0;

  constructor(private readonly hooks: HealthHooks) {}

  /** Checks the container from now on; `fresh`: it has just been started, so nothing is known of it. */
  begin(container: Container, fresh: boolean): void {
    const check = healthCheckOf(container.record.config);
    if (check === undefined || this.loops.has(container)) return;
    const { state } = container.record;
    if (fresh || state.health === undefined) {
      // The results of earlier runs stay, as with Docker.
      state.health = { status: "starting", failingStreak: 0, log: state.health?.log ?? [] };
      this.hooks.changed(container, undefined);
    }
    const abort = new AbortController();
    this.loops.set(container, abort);
    this.watch(container, check, abort.signal).catch((error) =>
      log.warn("health check", { id: container.id, error: messageOf(error) }),
    );
  }

  /** Checks no more. What is not checked counts as unhealthy, as with Docker: also a container that is paused. */
  end(container: Container): void {
    this.loops.get(container)?.abort();
    this.loops.delete(container);
    const { state } = container.record;
    if (state.health !== undefined) state.health = { ...state.health, status: "unhealthy" };
  }

  private async watch(container: Container, check: HealthCheck, signal: AbortSignal) {
    const { state } = container.record;
    const started = Date.parse(state.startedAt);
    for (;;) {
      const early = state.health?.status === "starting" && Date.now() - started < check.startPeriod;
      await pause(early ? check.startInterval : check.interval, signal);
      if (signal.aborted) return;
      const probe = await this.hooks.probe(container, check);
      this.checks++;
      if (probe.exitCode !== 0) this.failedChecks++;
      if (signal.aborted || state.health === undefined) return;
      const before = state.health.status;
      state.health = afterProbe(state.health, check, probe, Date.parse(probe.start) - started);
      const { status } = state.health;
      this.hooks.changed(container, status === before ? undefined : status);
    }
  }
}
