/**
 * A new network namespace with its ends on networks and its published ports: made as a whole, or nothing is left of it.
 */
import { fault } from "../base/errors.ts";
import type { Handle } from "../kernel/index.ts";
import type { NamespaceKind, NamespaceOwner } from "./namespaces.ts";
import type { Networks } from "./networks.ts";
import type { PortWish } from "./publish.ts";
import type { EndpointRecord, EndWish } from "./segment.ts";

/** An end on one of several networks. */
export interface NetworkEnd extends EndWish {
  /** The network's id; empty: the default bridge. */
  readonly network: string;
  /** As messages call the network. */
  readonly name: string;
}

/** A namespace with what its shim is to hold. */
export interface Attached {
  /** The network namespace; close it once the shim has it. */
  readonly netns: Handle;
  /** Claimed ports; close them once the shim has them. */
  readonly claims: readonly Handle[];
  /** By which it leads out and publishes, or its first; undefined: it is on no network. */
  readonly endpoint?: EndpointRecord;
  readonly more: readonly EndpointRecord[];
}

/** The index of a new namespace's first interface after lo. */
const FIRST_INDEX = 2;

/** What a network's ends are connected to. Throws a Fault "not-found" in Docker's words when the network is there no longer. */
export function segmentFor(
  networks: Networks,
  { network, name }: Pick<NetworkEnd, "network" | "name">,
) {
  const segment = networks.segment(network);
  if (segment === undefined)
    throw fault("not-found", "no-such-network", `network ${name} not found`);
  return segment;
}

async function connectOne(
  networks: Networks,
  netns: Handle,
  end: NetworkEnd,
  index: number,
): Promise<EndpointRecord> {
  const made = await segmentFor(networks, end).connect(netns, end, index);
  try {
    await networks.openPorts(made, true);
    return made;
  } catch (error) {
    await networks.release(made);
    throw error;
  }
}

async function connectAll(
  networks: Networks,
  netns: Handle,
  ends: readonly NetworkEnd[],
): Promise<EndpointRecord[]> {
  const made: EndpointRecord[] = [];
  try {
    for (const [at, end] of ends.entries())
      made.push(await connectOne(networks, netns, end, FIRST_INDEX + at));
    return made;
  } catch (error) {
    for (const endpoint of made) await networks.release(endpoint);
    throw error;
  }
}

/** What kind of namespace these ends need. */
export function namespaceKind(ends: readonly NetworkEnd[]): NamespaceKind {
  const [only, ...more] = ends;
  if (only === undefined) return "isolated";
  const plain = only.network === "" && only.interface === "eth0" && only.mac === undefined;
  return plain && only.address === undefined && more.length === 0 ? "default" : "connectable";
}

/** A namespace with its interfaces, the endpoint that leads out first. */
async function connected(
  networks: Networks,
  ends: readonly NetworkEnd[],
  owner: NamespaceOwner | undefined,
): Promise<{ netns: Handle; endpoints: EndpointRecord[] }> {
  for (const end of ends) segmentFor(networks, end);
  const { kind, netns, endpoint } = await networks.namespaces.take(namespaceKind(ends), owner);
  if (kind !== "connectable") return { netns, endpoints: endpoint === undefined ? [] : [endpoint] };
  try {
    const endpoints = await connectAll(networks, netns, ends);
    const first = ends.findIndex(({ leads }) => leads);
    return { netns, endpoints: [...endpoints.splice(Math.max(first, 0), 1), ...endpoints] };
  } catch (error) {
    await networks.channel.kernel.close(netns).catch(() => {});
    throw error;
  }
}

/** Makes a namespace. Throws Faults in Docker's words; nothing is left then. */
export async function attach(
  networks: Networks,
  input: {
    /** As messages call the container. */
    readonly name: string;
    readonly ends: readonly NetworkEnd[];
    readonly ports: readonly PortWish[];
    /** The user namespace that the new one belongs to; absent: the host's. */
    readonly owner?: NamespaceOwner | undefined;
  },
): Promise<Attached> {
  const { kernel } = networks.channel;
  const { netns, endpoints } = await connected(networks, input.ends, input.owner);
  const [first, ...more] = endpoints;
  if (first === undefined) return { netns, claims: [], more };
  const claims: Handle[] = [];
  try {
    const { publisher } = networks;
    const families = networks.segment(first.network ?? "")?.publishes ?? [];
    const ports = await publisher.claim(input.name, first, families, input.ports, {
      async claim(request) {
        const claim = await kernel.socket({ netns: 0, ...request });
        claims.push(claim.handle);
        return claim.port;
      },
      async letGo() {
        const last = claims.pop();
        if (last !== undefined) await kernel.close(last);
      },
    });
    await publisher.republish(first, [], ports);
    return { netns, claims, endpoint: { ...first, ports }, more };
  } catch (error) {
    for (const handle of [netns, ...claims]) await kernel.close(handle).catch(() => {});
    for (const endpoint of endpoints) await networks.release(endpoint);
    throw error;
  }
}
