/**
 * Changing an existing container: limits, the restart policy, labels and published ports, at once when it runs.
 */
import { fault } from "../base/errors.ts";
import type { ContainerConfig, HostConfig, RestartPolicy } from "../spec/engine-api.ts";
import type { ContainerChanges } from "../spec/extensions.ts";
import { attributesOf } from "./attributes.ts";
import { type Container, notRunning } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import { PORTS_DISCARDED } from "./create.ts";
import type { EngineDeps } from "./deps.ts";
import { resourceHostOf } from "./host.ts";
import { prepareLivePorts } from "./live-ports.ts";
import { checkResources, resourcesOf } from "./oci-resources.ts";
import { cgroupPath } from "./places.ts";
import { type PortConfiguration, withPorts } from "./port-changes.ts";
import { checkRestartPolicy } from "./restarts.ts";

const limits = [
  "BlkioWeight",
  "CpuShares",
  "CpuPeriod",
  "CpuQuota",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "CpusetCpus",
  "CpusetMems",
  "Memory",
  "MemorySwap",
  "MemoryReservation",
  "NanoCpus",
  "PidsLimit",
] as const;

/** The fields of a change that say something. */
function given(change: HostConfig): HostConfig {
  const entries = limits.flatMap((key) => (change[key] ? [[key, change[key]] as const] : []));
  return Object.fromEntries(entries);
}

function conflict(message: string): Error {
  return fault("conflict", "update", message);
}

function merged(current: HostConfig, change: HostConfig): HostConfig {
  if (change.CpuPeriod && current.NanoCpus)
    throw conflict(
      "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
    );
  if (change.CpuQuota && current.NanoCpus)
    throw conflict(
      "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
    );
  if (change.NanoCpus && current.CpuPeriod)
    throw conflict(
      "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
    );
  if (change.NanoCpus && current.CpuQuota)
    throw conflict(
      "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
    );
  const swap = current.MemorySwap ?? 0;
  if (change.Memory && !change.MemorySwap && swap > 0 && change.Memory > swap)
    throw conflict(
      "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
    );
  return { ...current, ...change };
}

/** What a user wants changed: limits and the restart policy, and what Docker cannot change. */
export interface UpdateInput {
  readonly limits: HostConfig;
  readonly changes: ContainerChanges;
}

/** Throws a Fault "conflict" in Docker's words for a container that is about to be no more. */
function checkStays(container: Container): void {
  const { status } = container.record.state;
  if (container.removed || status === "removing" || status === "dead")
    throw conflict(
      `Cannot update container ${container.id}: container is marked for removal and cannot be "update"`,
    );
}

function withLabels(config: ContainerConfig, { Labels, LabelsRemove = [] }: ContainerChanges) {
  if (Labels === undefined && LabelsRemove.length === 0) return config;
  const gone = new Set(LabelsRemove);
  const kept = Object.entries(config.Labels ?? {}).filter(([key]) => !gone.has(key));
  return { ...config, Labels: { ...Object.fromEntries(kept), ...Labels } };
}

function changesPorts(changes: ContainerChanges): boolean {
  const { PortBindings, PortBindingsRemove, PublishAllPorts } = changes;
  return (PortBindings ?? PortBindingsRemove ?? PublishAllPorts) !== undefined;
}

/** The limits that are given, and the restart policy, over those that are set. Throws Faults in Docker's words. */
function withLimits(current: HostConfig, given: HostConfig, policy: RestartPolicy | undefined) {
  const next = merged(current, given);
  if (policy === undefined) return next;
  checkRestartPolicy({ ...next, RestartPolicy: policy });
  if (next.AutoRemove && policy.Name !== "no")
    throw conflict(
      "Restart policy cannot be updated because AutoRemove is enabled for the container",
    );
  const { Name, MaximumRetryCount = 0 } = policy;
  return { ...next, RestartPolicy: { Name, MaximumRetryCount } };
}

/** Everything as it is to be. Throws Faults in Docker's words. */
function configurationAfter(
  deps: EngineDeps,
  record: ContainerRecord,
  { limits, changes }: UpdateInput,
): PortConfiguration {
  const policy = limits.RestartPolicy?.Name ? limits.RestartPolicy : undefined;
  const hostConfig = withLimits(record.hostConfig, given(limits), policy);
  checkResources(hostConfig, resourceHostOf(deps));
  const labelled = { config: withLabels(record.config, changes), hostConfig };
  return changesPorts(changes)
    ? withPorts(labelled, changes, record.endpoint?.ports ?? [])
    : labelled;
}

function applyLimits(
  deps: EngineDeps,
  { record }: Container,
  wanted: HostConfig,
  next: HostConfig,
) {
  if (Object.keys(wanted).length === 0) return;
  const swap = wanted.Memory ? { MemorySwap: next.MemorySwap } : {};
  deps.cgroups.update(
    cgroupPath(deps.settings, record),
    resourcesOf({ ...wanted, ...swap }, resourceHostOf(deps)),
  );
}

async function updateNow(deps: EngineDeps, container: Container, input: UpdateInput) {
  checkStays(container);
  const { record } = container;
  const next = configurationAfter(deps, record, input);
  const before = {
    config: record.config,
    hostConfig: record.hostConfig,
    endpoint: record.endpoint,
  };
  const ports = container.running ? await prepareLivePorts(deps, container, next) : undefined;
  try {
    // It may have ended while ports were claimed.
    if (ports !== undefined && record.endpoint !== before.endpoint) throw notRunning(container);
    if (container.running) applyLimits(deps, container, given(input.limits), next.hostConfig);
    Object.assign(record, next, ports && { endpoint: ports.endpoint });
    deps.database.insist(record);
    await ports?.publish();
  } catch (error) {
    const ended = record.endpoint === undefined;
    Object.assign(record, before, ended && { endpoint: undefined });
    await ports?.undo();
    throw error;
  }
  await ports?.finish();
  deps.events.emit("container", "update", container.id, attributesOf(record));
  return { Warnings: portWarnings(record.hostConfig, input.changes) };
}

function portWarnings({ NetworkMode }: HostConfig, changes: ContainerChanges): string[] {
  const published = Object.keys(changes.PortBindings ?? {}).length > 0;
  return NetworkMode === "host" && published ? [PORTS_DISCARDED] : [];
}

/** Changes a container: all that is asked, or nothing. Throws Faults in Docker's words. */
export function updateContainer(
  deps: EngineDeps,
  container: Container,
  input: UpdateInput,
): Promise<{ Warnings: string[] }> {
  return container.exclusively(async () => {
    if (!container.running) await container.cleaned;
    return updateNow(deps, container, input);
  });
}
