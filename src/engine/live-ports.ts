/**
 * Changing which ports a container publishes while it runs.
 *
 * What claims a live port is a socket of the container's shim, so that it outlives the daemon and ends with the container.
 * The record says which ports are published, and, while a change is under way, that it may not have been finished: the
 * firewall's table follows the record at the next start of the daemon, and the shim then lets go of all other claims.
 */
import { fault } from "../base/errors.ts";
import { KernelError } from "../kernel/index.ts";
import type { EndpointRecord, PortClaimer, PublishedPort } from "../network/index.ts";
import type { ShimConnection } from "../runtime/index.ts";
import { wireConstants } from "../spec/wire.ts";
import { type Container, notRunning } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { type PortConfiguration, portDifference } from "./port-changes.ts";
import { portWishes } from "./ports.ts";

/** Lets the shim hold just the ports of the record. */
export async function retainPorts(shim: ShimConnection, ports: readonly PublishedPort[]) {
  return shim.retainPorts(
    ports.map(({ protocol, hostAddress, hostPort }) => ({
      protocol,
      address: hostAddress,
      port: hostPort,
    })),
  );
}

/** Claims by a shim; a socket that a withdrawn port leaves is taken over. */
function claimerFor(shim: ShimConnection, withdrawn: readonly PublishedPort[]): PortClaimer {
  const left = new Set(withdrawn);
  return async (request) => {
    for (const port of left) {
      const { protocol, hostAddress, hostPort } = port;
      if (protocol !== request.protocol || hostAddress !== request.address) continue;
      if (hostPort !== request.port) continue;
      left.delete(port);
      return hostPort;
    }
    return shim.claimPort(request);
  };
}

/** A change of a running container's ports that has been prepared: every new port is claimed, nothing else has happened. */
export interface LivePortChange {
  /** The endpoint as it will be. */
  readonly endpoint: EndpointRecord;
  /** Leads clients to the new ports, and no longer to those that go. Called right after the record has been written. */
  publish(): Promise<void>;
  /** Frees the ports that went; the next daemon does it if this one cannot. */
  finish(): Promise<void>;
  /** Lets go of what has been claimed. */
  undo(): Promise<void>;
}

/** Claims what `next` publishes and the running container does not yet; undefined when its ports stay as they are. */
export async function prepareLivePorts(
  deps: EngineDeps,
  container: Container,
  next: PortConfiguration,
): Promise<LivePortChange | undefined> {
  const { record, shim } = container;
  const { endpoint } = record;
  if (endpoint === undefined) return undefined;
  const { kept, withdrawn, missing } = portDifference(
    portWishes(record.config, record.hostConfig),
    endpoint.ports,
    portWishes(next.config, next.hostConfig),
  );
  if (withdrawn.length + missing.length === 0) return undefined;
  if (shim === undefined) throw notRunning(container);
  if ((record.shimVersion ?? 1) < wireConstants.SHIM_VERSION)
    throw fault(
      "conflict",
      "older-shim",
      `container ${container.id} was started by an older version of berth: restart it before its ports can be changed while it runs`,
    );
  // Recorded before it happens: a daemon that dies now leaves claims that the next one lets go.
  record.changing = true;
  deps.database.insist(record);
  const settle = async (ports: readonly PublishedPort[]) => {
    await retainPorts(shim, ports);
    record.changing = undefined;
    if (!container.removed) deps.database.save(record);
  };
  const undo = () => settle(endpoint.ports);
  try {
    const claim = claimerFor(shim, withdrawn);
    const added = await deps.bridge.claimMore(record.name, endpoint, missing, claim);
    const rest = [...added];
    const ports = kept.flatMap((port) => port ?? rest.shift() ?? []);
    return {
      endpoint: { ...endpoint, ports },
      publish: () => deps.bridge.republish(endpoint.address, withdrawn, added),
      finish: () => settle(ports),
      undo,
    };
  } catch (error) {
    await undo();
    // The shim's answers stop when the container has ended.
    throw error instanceof KernelError && !container.running ? notRunning(container) : error;
  }
}
