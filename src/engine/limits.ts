/**
 * Changing limits and the restart policy: what a change says, and what comes of it over what is set. Pure.
 */
import { fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { OciResources } from "../spec/oci-runtime.ts";
import { type ResourceHost, resourcesOf } from "./oci-resources.ts";
import { startFields } from "./pending.ts";
import { checkRestartPolicy } from "./restarts.ts";

/** What a running container can be given at once. */
const liveFields = [
  "BlkioDeviceReadBps",
  "BlkioDeviceReadIOps",
  "BlkioDeviceWriteBps",
  "BlkioDeviceWriteIOps",
  "BlkioWeight",
  "BlkioWeightDevice",
  "CpuPeriod",
  "CpuQuota",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "CpuShares",
  "CpusetCpus",
  "CpusetMems",
  "KernelMemoryTCP",
  "Memory",
  "MemoryReservation",
  "MemorySwap",
  "MemorySwappiness",
  "NanoCpus",
  "OomKillDisable",
  "PidsLimit",
] as const satisfies readonly (keyof HostConfig)[];

/** What is not said in Docker's update of an existing container: mounts have words of their own. */
const notLimits = new Set<string>(["Binds", "Mounts", "Tmpfs"]);

/** Values with which the kernel must be told several things at once. */
const groups: readonly (readonly (keyof HostConfig)[])[] = [
  ["Memory", "MemorySwap"],
  ["CpuPeriod", "CpuQuota", "NanoCpus"],
];

/** Clients send every field; zero and empty ones say nothing, except where they have a meaning. */
function says(field: keyof HostConfig, value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (field === "MemorySwappiness") return value !== -1;
  if (field === "PidsLimit" || field === "OomKillDisable" || field === "Init") return true;
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

function picked(change: HostConfig, fields: readonly (keyof HostConfig)[]): HostConfig {
  const entries = fields.flatMap((field) =>
    says(field, change[field]) ? [[field, change[field]] as const] : [],
  );
  return Object.fromEntries(entries);
}

/** The limits of a change, without what it leaves as it is. */
export function limitsIn(change: HostConfig): HostConfig {
  const limits = picked(change, liveFields);
  // 0 and below: none.
  return limits.PidsLimit === undefined || limits.PidsLimit === null
    ? limits
    : { ...limits, PidsLimit: Math.max(0, limits.PidsLimit) };
}

/** What of a change is for the next start: devices, ulimits, the parent of the control group. */
export function startLimitsIn(change: HostConfig): HostConfig {
  return picked(
    change,
    startFields.filter((field) => !notLimits.has(field)),
  );
}

function conflict(message: string): Error {
  return fault("conflict", "update", message);
}

function checkAgainst(current: HostConfig, change: HostConfig): void {
  const refuse = (asked: number | undefined, set: number | undefined, what: string) => {
    if ((asked ?? 0) > 0 && (set ?? 0) > 0)
      throw conflict(`Conflicting options: ${what} already been set`);
  };
  refuse(change.NanoCpus, current.CpuPeriod, "Nano CPUs cannot be updated as CPU Period has");
  refuse(change.NanoCpus, current.CpuQuota, "Nano CPUs cannot be updated as CPU Quota has");
  refuse(change.CpuPeriod, current.NanoCpus, "CPU Period cannot be updated as NanoCPUs has");
  refuse(change.CpuQuota, current.NanoCpus, "CPU Quota cannot be updated as NanoCPUs has");
  if (change.Memory && !change.MemorySwap && change.Memory > (current.MemorySwap ?? 0))
    throw conflict(
      "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
    );
}

/**
 * A host configuration with the limits and the restart policy of a change. Throws a Fault "conflict" in Docker's words for
 * what contradicts what is set.
 */
export function withLimits(current: HostConfig, change: HostConfig): HostConfig {
  checkAgainst(current, change);
  const next = { ...current, ...limitsIn(change), ...startLimitsIn(change) };
  const { Name, MaximumRetryCount = 0 } = change.RestartPolicy ?? {};
  if (!Name) return next;
  checkRestartPolicy(change);
  if (next.AutoRemove && Name !== "no")
    throw conflict(
      "Restart policy cannot be updated because AutoRemove is enabled for the container",
    );
  return { ...next, RestartPolicy: { Name, MaximumRetryCount } };
}

/** What the kernel is told of limits that have changed; `next` has them all. Undefined: nothing. */
export function liveResources(
  change: HostConfig,
  next: HostConfig,
  host: ResourceHost,
): OciResources | undefined {
  const limits = limitsIn(change);
  if (Object.keys(limits).length === 0) return undefined;
  const together = groups
    .filter((fields) => fields.some((field) => field in limits))
    .flatMap((fields) => fields.map((field) => [field, next[field]] as const));
  const { PidsLimit, OomKillDisable } = limits;
  const resources = resourcesOf({ ...limits, ...Object.fromEntries(together) }, host);
  return {
    ...resources,
    ...(OomKillDisable === false
      ? { memory: { ...resources.memory, disableOOMKiller: false } }
      : {}),
    ...(PidsLimit === 0 ? { pids: { limit: -1 } } : {}),
  };
}
