/**
 * What is changed while a container runs and applied at its next start: pure. The record's own fields are those of the run,
 * so that everything that looks at a running container sees what it runs with; what differs waits beside them.
 */
import type { ContainerConfig, HostConfig } from "../spec/engine-api.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";

/** The part of a record that can be changed. */
export type Configuration = Pick<ContainerRecord, "config" | "hostConfig" | "mounts">;

/** The fields that a running process cannot be given any more. */
const configFields = [
  "Env",
  "Cmd",
  "Entrypoint",
  "User",
  "WorkingDir",
  "Hostname",
  "Volumes",
] as const satisfies readonly (keyof ContainerConfig)[];

/** The same of the host's side; those of a change of limits too. */
export const startFields = [
  "Binds",
  "Mounts",
  "Tmpfs",
  "CgroupParent",
  "DeviceCgroupRules",
  "DeviceRequests",
  "Devices",
  "Init",
  "Ulimits",
] as const satisfies readonly (keyof HostConfig)[];

/** A container as it will be at its next start. */
export function configuredOf({
  config,
  hostConfig,
  mounts,
  pending,
}: ContainerRecord): Configuration {
  if (pending === undefined) return { config, hostConfig, mounts };
  return {
    config: { ...config, ...pending.config },
    hostConfig: { ...hostConfig, ...pending.hostConfig },
    mounts: pending.mounts,
  };
}

/** Every mount of a container, of its run and of its next start: what they stand on must stay. */
export function mountsOf({ mounts, pending }: ContainerRecord): readonly MountRecord[] {
  return pending === undefined ? mounts : [...mounts, ...pending.mounts];
}

/** Splits fields into those that stay as they run and those that wait. */
function split<T extends object>(
  running: T,
  next: T,
  fields: readonly (keyof T)[],
): { readonly now: T; readonly later: Partial<T> } {
  const now = { ...next };
  const later: Partial<T> = {};
  for (const field of fields) {
    if (Bun.deepEquals(running[field], next[field])) continue;
    later[field] = next[field];
    if (field in running) now[field] = running[field];
    else delete now[field];
  }
  return { now, later };
}

/** What to write into the record of a running container, for it to be as `next` at its next start. */
export function changeOfRunning(
  { config, hostConfig, mounts }: ContainerRecord,
  next: Configuration,
): Configuration & Pick<ContainerRecord, "pending"> {
  const own = split(config, next.config, configFields);
  const host = split(hostConfig, next.hostConfig, startFields);
  const waits =
    Object.keys(own.later).length + Object.keys(host.later).length > 0 ||
    !Bun.deepEquals(mounts, next.mounts);
  return {
    config: own.now,
    hostConfig: host.now,
    mounts,
    pending: waits ? { config: own.later, hostConfig: host.later, mounts: next.mounts } : undefined,
  };
}

/** The names of the fields that wait for the next start. */
export function pendingFields({ pending }: ContainerRecord): string[] {
  if (pending === undefined) return [];
  const fields = [...Object.keys(pending.config), ...Object.keys(pending.hostConfig)];
  return fields.length > 0 ? fields : ["Mounts"];
}
