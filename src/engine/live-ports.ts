/**
 * Changing which ports a container publishes while it runs.
 *
 * What claims a live port is a socket of the container's shim, so that it outlives the daemon and ends with the container.
 * The record says which ports are published, and, while a change is under way, that it may not have been finished: the
 * firewall's table follows the record at the next start of the daemon, and the shim then lets go of all other claims.
 */
import { fault } from "../base/errors.ts";
import { log } from "../base/log.ts";
import {
  type EndpointRecord,
  type PortClaimer,
  type PublishedPort,
  relaysOf,
} from "../network/index.ts";
import type { ShimConnection } from "../runtime/index.ts";
import { type Container, notRunning } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { endpointsOf, opensFor, publishesFor, withBinding } from "./networking.ts";
import { type PortConfiguration, type PortDifference, portDifference } from "./port-changes.ts";
import { portWishes } from "./ports.ts";

/** From this version on shims claim ports of both families, and hand their clients on (SHIM_VERSION). */
const PORTS_VERSION = 5;

/** Lets the shim hand on clients of an endpoint's ports that the kernel cannot lead, and of no others. */
export async function relayPorts(
  { shim, record }: Pick<Container, "shim" | "record">,
  endpoint: EndpointRecord | undefined,
): Promise<void> {
  if (shim === undefined || (record.shimVersion ?? 1) < PORTS_VERSION) return;
  const errno = await shim.relayPorts(endpoint === undefined ? [] : relaysOf(endpoint));
  if (errno !== 0) log.warn("relay ports", { id: record.id, errno });
}

/** Lets the shim hold just these ports; gives the errno. */
export function retainPorts(
  shim: ShimConnection,
  ports: readonly PublishedPort[],
): Promise<number> {
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
  return {
    async claim(request) {
      for (const port of left) {
        const { protocol, hostAddress, hostPort } = port;
        if (protocol !== request.protocol || hostAddress !== request.address) continue;
        if (hostPort !== request.port) continue;
        left.delete(port);
        return hostPort;
      }
      return shim.claimPort(request);
    },
    // At the end the shim is told what to hold.
    async letGo() {},
  };
}

/** A change of a running container's ports of which nothing has happened yet. */
export interface LivePortChange {
  readonly shim: ShimConnection;
  readonly endpoint: EndpointRecord;
  readonly difference: PortDifference;
}

/** A change of which every new port is claimed, and nothing else has happened. */
export interface ClaimedPorts {
  /** The endpoint as it will be. */
  readonly endpoint: EndpointRecord;
  /** Leads clients to the new ports, and no longer to those that go. Called right after the record has been written. */
  publish(): Promise<void>;
  /** Frees the ports that went. */
  finish(): Promise<unknown>;
  /** Lets go of what has been claimed. */
  undo(): Promise<unknown>;
}

/** What changes of a running container's ports when it is to be as `next`; undefined: nothing. */
export function livePortChange(
  { networks }: Pick<EngineDeps, "networks">,
  container: Container,
  next: PortConfiguration,
): LivePortChange | undefined {
  const { record, shim } = container;
  const { endpoint } = record;
  if (endpoint === undefined || !publishesFor({ networks }, endpoint)) return undefined;
  const difference = portDifference(
    portWishes(record.config, record.hostConfig),
    endpoint.ports,
    portWishes(next.config, next.hostConfig),
  );
  if (difference.withdrawn.length + difference.missing.length === 0) return undefined;
  if (shim === undefined) throw notRunning(container);
  if ((record.shimVersion ?? 1) < PORTS_VERSION)
    throw fault(
      "conflict",
      "older-shim",
      `container ${container.id} was started by an older version of berth: restart it before its ports can be changed while it runs`,
    );
  return { shim, endpoint, difference };
}

/** A change of which ports are reached at a container's own addresses, where its networks are routed. */
export interface OpenedChange {
  /** Puts it into the record. */
  note(): void;
  /** Opens and closes what the record says. */
  apply(): Promise<void>;
  /** Has it as it was; the record is the caller's to put back. */
  undo(): Promise<void>;
}

/** What becomes of that when a running container is to be as `next`; undefined: nothing. */
export function openedChange(
  { networks }: Pick<EngineDeps, "networks">,
  record: ContainerRecord,
  next: PortConfiguration,
): OpenedChange | undefined {
  const opens = opensFor(next);
  const before = endpointsOf(record);
  if (JSON.stringify(opensFor(record)) === JSON.stringify(opens)) return undefined;
  const after = (endpoint: EndpointRecord) => ({ ...endpoint, opens });
  return {
    note() {
      const { endpoint, moreEndpoints } = record;
      if (endpoint !== undefined) record.endpoint = after(endpoint);
      if (moreEndpoints !== undefined) record.moreEndpoints = moreEndpoints.map(after);
    },
    async apply() {
      for (const endpoint of before) await networks.reopenPorts(endpoint, after(endpoint));
    },
    async undo() {
      for (const endpoint of before) await networks.reopenPorts(after(endpoint), endpoint);
    },
  };
}

/** Takes what one wish has got from the front of a list. */
function nextGroup(ports: PublishedPort[]): PublishedPort[] {
  const next = ports.findIndex(({ paired }, at) => at > 0 && !paired);
  return ports.splice(0, next < 0 ? ports.length : next);
}

/** Claims the ports that come. Throws Faults in Docker's words; nothing is claimed then. */
export async function claimLivePorts(
  deps: EngineDeps,
  container: Container,
  { shim, endpoint, difference: { kept, withdrawn, missing } }: LivePortChange,
): Promise<ClaimedPorts> {
  const undo = () => retainPorts(shim, endpoint.ports);
  try {
    const claim = claimerFor(shim, withdrawn);
    const added = await deps.networks.publisher.claim(
      container.record.name,
      endpoint,
      deps.networks.segment(endpoint.network ?? "")?.publishes ?? [],
      withBinding(deps, endpoint, missing),
      claim,
    );
    const rest = [...added];
    const ports = kept.flatMap((group) => group ?? nextGroup(rest));
    return {
      endpoint: { ...endpoint, ports },
      async publish() {
        await deps.networks.publisher.republish(endpoint, withdrawn, added);
        await relayPorts(container, { ...endpoint, ports });
      },
      finish: () => retainPorts(shim, ports),
      undo,
    };
  } catch (error) {
    await undo();
    // The shim's answers stop when the container has ended.
    throw container.running ? error : notRunning(container);
  }
}
