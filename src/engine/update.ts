/**
 * Changing a container's limits and restart policy, at once when it runs.
 */
import { fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { resourceHostOf } from "./host.ts";
import { checkResources, resourcesOf } from "./oci-resources.ts";
import { cgroupPath } from "./places.ts";
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

/** Changes limits and restart policy. Throws Faults in Docker's words; the record is then as it was. */
export async function updateContainer(
  deps: EngineDeps,
  container: Container,
  change: HostConfig,
): Promise<{ Warnings: string[] }> {
  const { record } = container;
  const host = resourceHostOf(deps);
  const wanted = given(change);
  const policy = change.RestartPolicy?.Name ? change.RestartPolicy : undefined;
  const next = merged(record.hostConfig, wanted);
  checkResources(next, host);
  if (policy !== undefined) {
    checkRestartPolicy({ ...next, RestartPolicy: policy });
    if (next.AutoRemove && policy.Name !== "no")
      throw conflict(
        "Restart policy cannot be updated because AutoRemove is enabled for the container",
      );
  }
  return container.exclusively(async () => {
    if (container.running && Object.keys(wanted).length > 0) {
      const swap = wanted.Memory ? { MemorySwap: next.MemorySwap } : {};
      deps.cgroups.update(
        cgroupPath(deps.settings, record),
        resourcesOf({ ...wanted, ...swap }, host),
      );
    }
    record.hostConfig =
      policy === undefined
        ? next
        : {
            ...next,
            RestartPolicy: {
              Name: policy.Name,
              MaximumRetryCount: policy.MaximumRetryCount ?? 0,
            },
          };
    deps.database.insist(record);
    deps.events.emit("container", "update", container.id, attributesOf(record));
    return { Warnings: [] };
  });
}
