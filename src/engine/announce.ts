/**
 * What a container's start and end mean for volumes and networks, told as their events.
 */
import type { ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { networkId } from "./views.ts";

const drivers: Readonly<Record<string, string>> = { none: "null", host: "host", bridge: "bridge" };

function network(deps: EngineDeps, record: ContainerRecord, action: "connect" | "disconnect") {
  const name = record.hostConfig.NetworkMode ?? "bridge";
  const type = drivers[name];
  if (type !== undefined)
    deps.events.emit("network", action, networkId(name), { container: record.id, name, type });
}

/** The volumes and the network that a container has from its start on. */
export function announceUse(deps: EngineDeps, record: ContainerRecord): void {
  for (const { volume, driver = "local", target, readOnly, propagation } of record.mounts)
    if (volume !== undefined)
      deps.events.emit("volume", "mount", volume, {
        driver,
        container: record.id,
        destination: target,
        "read/write": String(!readOnly),
        propagation,
      });
  network(deps, record, "connect");
}

/** The same at its end. */
export function announceRelease(deps: EngineDeps, record: ContainerRecord): void {
  network(deps, record, "disconnect");
  for (const { volume, driver = "local" } of record.mounts)
    if (volume !== undefined)
      deps.events.emit("volume", "unmount", volume, { driver, container: record.id });
}
