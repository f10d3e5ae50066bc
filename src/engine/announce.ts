/**
 * What a container's start and end mean for volumes and networks, told as their events.
 */
import { own } from "../base/own.ts";
import { attachmentsOf } from "./attachments.ts";
import type { AttachmentRecord, ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { networkId } from "./network-ids.ts";

const drivers: Readonly<Record<string, string>> = { none: "null", host: "host" };

/** That a container is on a network now, or no longer. */
export function announceNetwork(
  { events, networks }: Pick<EngineDeps, "events" | "networks">,
  { id }: ContainerRecord,
  { network, name }: AttachmentRecord,
  action: "connect" | "disconnect",
): void {
  const actor = network === "" ? networkId(name) : network;
  const type = networks.find(network)?.driver ?? "bridge";
  events.emit("network", action, actor, { container: id, name, type });
}

function announceNetworks(
  deps: EngineDeps,
  record: ContainerRecord,
  action: "connect" | "disconnect",
) {
  const name = record.hostConfig.NetworkMode ?? "";
  const type = own(drivers, name);
  if (type !== undefined)
    deps.events.emit("network", action, networkId(name), { container: record.id, name, type });
  for (const attachment of attachmentsOf(record)) announceNetwork(deps, record, attachment, action);
}

/** The volumes and the networks that a container has from its start on. */
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
  announceNetworks(deps, record, "connect");
}

/** The same at its end. */
export function announceRelease(deps: EngineDeps, record: ContainerRecord): void {
  announceNetworks(deps, record, "disconnect");
  for (const { volume, driver = "local" } of record.mounts)
    if (volume !== undefined)
      deps.events.emit("volume", "unmount", volume, { driver, container: record.id });
}
