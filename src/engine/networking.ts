/**
 * A container's ends on networks: made at its start in a namespace of its own, given back at its end.
 */
import { log } from "../base/log.ts";
import {
  type Attached,
  attach,
  type EndpointRecord,
  type EndWish,
  type NamespaceKind,
  type NamespaceOwner,
  namespaceKind,
  type PortWish,
} from "../network/index.ts";
import { attachmentsOf } from "./attachments.ts";
import type { AttachmentRecord, ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { portWishes } from "./ports.ts";

/**
 * The attachment by which a container leads out: the highest priority, then the first by name; undefined: all are internal.
 * Without a family that of IPv4, or else of IPv6.
 */
export function leadingOf(
  deps: Pick<EngineDeps, "networks">,
  attachments: readonly AttachmentRecord[],
  family?: 4 | 6,
): AttachmentRecord | undefined {
  if (family === undefined)
    return leadingOf(deps, attachments, 4) ?? leadingOf(deps, attachments, 6);
  const able = attachments.filter(({ network }) => {
    const { internal, subnets = [] } = deps.networks.segment(network)?.plan ?? {};
    return internal === false && subnets.some(({ subnet }) => subnet.family === family);
  });
  const priority = ({ gatewayPriority = 0 }: AttachmentRecord) => gatewayPriority;
  return able.toSorted(
    (a, b) => priority(b) - priority(a) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  )[0];
}

/** All of a container's ends, the leading one first. */
export function endpointsOf(record: ContainerRecord): EndpointRecord[] {
  return [
    ...(record.endpoint === undefined ? [] : [record.endpoint]),
    ...(record.moreEndpoints ?? []),
  ];
}

/** An end's addresses, of IPv4 first. */
export function addressesOf({ address, address6 = "" }: EndpointRecord): string[] {
  return [address, address6].filter((one) => one !== "");
}

/** A container's end on a network; undefined when it has none. */
export function endpointOn(record: ContainerRecord, network: string): EndpointRecord | undefined {
  return endpointsOf(record).find((one) => (one.network ?? "") === network);
}

/** Whether ports are published by a network, an attachment's or an endpoint's. */
export function publishesFor(
  { networks }: Pick<EngineDeps, "networks">,
  { network = "" }: { readonly network?: string },
): boolean {
  return (networks.segment(network)?.publishes.length ?? 0) > 0;
}

/** Where ports that name no address of the host's are published, by the network's option. */
export function withBinding(
  { networks }: Pick<EngineDeps, "networks">,
  { network = "" }: { readonly network?: string },
  wishes: readonly PortWish[],
): PortWish[] {
  const binding = networks.hostBinding(network);
  return wishes.map((wish) =>
    wish.hostAddress === "" && binding !== "" ? { ...wish, hostAddress: binding } : wish,
  );
}

/** The ports that a container publishes by the network that leads out. */
function publishedWishes(
  deps: EngineDeps,
  leading: AttachmentRecord | undefined,
  record: ContainerRecord,
): PortWish[] {
  const wishes = portWishes(record.config, record.hostConfig);
  // An internal network has no way in either.
  if (leading === undefined || wishes.length === 0) return [];
  if (!publishesFor(deps, leading)) {
    log.warn("ports are not published: the container is its own host on this network", {
      container: record.name,
      network: leading.name,
    });
    return [];
  }
  return withBinding(deps, leading, wishes);
}

/** The ports of a container that are reached at its own address where a network is routed. */
export function opensFor({
  config,
  hostConfig,
}: Pick<ContainerRecord, "config" | "hostConfig">): NonNullable<EndWish["opens"]> {
  const keys = portWishes(config, hostConfig).map(
    ({ protocol, containerPort }) => `${containerPort}/${protocol}`,
  );
  return [...new Set(keys)].map((key) => {
    const [port = "", protocol = ""] = key.split("/");
    return { port: Number(port), protocol: protocol as PortWish["protocol"] };
  });
}

/** Without a default network nobody is on it. */
function presentOf({ networks }: EngineDeps, record: ContainerRecord): readonly AttachmentRecord[] {
  const all = attachmentsOf(record);
  return networks.defaultBridge === undefined ? all.filter(({ network }) => network !== "") : all;
}

/** What a container is to have of networks. */
function wishesOf(deps: EngineDeps, record: ContainerRecord) {
  const attachments = record.config.NetworkDisabled === true ? [] : presentOf(deps, record);
  const leading = leadingOf(deps, attachments);
  const six = leadingOf(deps, attachments, 6);
  const opens = opensFor(record);
  const ends = attachments.map((one) => {
    return { ...one, leads: one === leading, leads6: one === six, opens };
  });
  return { ends, leading };
}

/** What kind of network namespace a container needs that has its own. */
export function namespaceKindOf(deps: EngineDeps, record: ContainerRecord): NamespaceKind {
  return namespaceKind(wishesOf(deps, record).ends);
}

/** Makes a container's namespace with an end on each of its networks, and publishes its ports. Throws Faults in Docker's words; nothing is left then. */
export function attachNetworks(
  deps: EngineDeps,
  record: ContainerRecord,
  owner?: NamespaceOwner,
): Promise<Attached> {
  const { ends, leading } = wishesOf(deps, record);
  return attach(deps.networks, {
    name: record.name,
    ends,
    ports: publishedWishes(deps, leading, record),
    owner,
  });
}

/** Gives back what a container has of networks. Fine when it has nothing. */
export async function detach(deps: EngineDeps, record: ContainerRecord): Promise<void> {
  const endpoints = endpointsOf(record);
  // First of all: whoever comes meanwhile is not to give them back a second time.
  Object.assign(record, { endpoint: undefined, moreEndpoints: undefined, changing: undefined });
  record.heldPorts = undefined;
  for (const endpoint of endpoints) await deps.networks.release(endpoint);
}
