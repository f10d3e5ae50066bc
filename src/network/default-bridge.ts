/**
 * The default network: what the daemon's flags say of it, against what the host has.
 */
import { fault } from "../base/errors.ts";
import {
  contains,
  formatAddress,
  formatSubnet,
  overlaps,
  parseAddress,
  parseCidr,
  parsePrefixed,
  type Subnet,
} from "./addresses.ts";
import type { BridgePlan } from "./bridge.ts";
import type { NetlinkChannel } from "./channel.ts";
import type { OuterRoute } from "./outer-routes.ts";
import {
  addressesOf,
  dumpAddresses,
  dumpRoutes,
  type Link,
  type RouteTo,
  routesOf,
} from "./rtnetlink.ts";
import { type Addressing, type EndpointRecord, findLink } from "./segment.ts";
import { defaultBridgePools, freeSubnet, localPool, type SubnetPool } from "./subnets.ts";

/** What the daemon is told of its default network: dockerd's flags. */
export interface DefaultNetworkOptions {
  /** "172.17.0.1/16": the bridge's address; chosen so that it touches no route of the host when absent. */
  readonly bip?: string | undefined;
  readonly bip6?: string | undefined;
  /** Containers' addresses come from here alone. */
  readonly fixedCidr?: string | undefined;
  readonly fixedCidr6?: string | undefined;
  /** Where containers' way out leads, if not to the bridge. */
  readonly gateway?: string | undefined;
  readonly gateway6?: string | undefined;
  readonly ipv6?: boolean;
  readonly icc?: boolean;
  readonly masquerade?: boolean;
  /** Where ports are published that name no address; empty: everywhere. */
  readonly hostBinding?: string;
  /** There is none: who names no network has none. */
  readonly none?: boolean;
}

/** What it is made of. */
export interface DefaultNetworkContext {
  /** The bridge's name. */
  readonly bridge: string;
  /** A user has named it: it may be there already, and is left then. */
  readonly bridgeNamed: boolean;
  readonly mtu: number;
  readonly seed: string;
  readonly defaultNetwork: DefaultNetworkOptions;
  /** Subnets of users' networks. */
  readonly users: readonly Subnet[];
  /** As in NetworksOptions. */
  readonly outerRoutes?: (() => readonly OuterRoute[]) | undefined;
  /** A container that runs on it. */
  readonly first: EndpointRecord | undefined;
}

/** Where the host has routes to, but the default ones. */
export async function routesTo(
  channel: NetlinkChannel,
  besides?: ReadonlySet<number>,
): Promise<RouteTo[]> {
  const four = routesOf(await channel.send(0, [dumpRoutes(4)]), besides);
  const six = routesOf(await channel.send(0, [dumpRoutes(6)]).catch(() => []), besides);
  return [...four, ...six];
}

/** What the default bridge is to be. Throws Faults that name the flag. */
export async function defaultPlan(
  channel: NetlinkChannel,
  context: DefaultNetworkContext,
): Promise<BridgePlan> {
  const { bridge, bridgeNamed, defaultNetwork: flags, first } = context;
  const alias = `berth ${bridge}`;
  const existing = await findLink(channel, bridge);
  const foreign = existing !== undefined && bridgeNamed && existing.alias !== alias;
  const routes = (await routesTo(channel)).filter(({ index }) => index !== existing?.index);
  const outer = context.outerRoutes?.() ?? [];
  const taken: Subnet[] = [...[...routes, ...outer].map(({ subnet }) => subnet), ...context.users];
  // What is there already is gone on with, whatever routes there are.
  const walls = existing === undefined ? taken : [];
  const present = async (family: 4 | 6) =>
    presentAddress(channel, existing, { family, foreign, first });
  const four = flags.bip ?? (await present(4));
  const subnets = [familyOf4(four, flags, taken, walls)];
  if (flags.ipv6) subnets.push(familyOf6(flags.bip6 ?? (await present(6)), context, taken, walls));
  const { icc = true, masquerade = true } = flags;
  return {
    ...{ id: "", network: "bridge", bridge, alias, mtu: context.mtu, ownName: !bridgeNamed },
    ...{ internal: false, icc, masquerade, foreign, subnets },
    ...{ mode4: "nat", mode6: "nat", inhibit4: false, trusted: [] },
  };
}

/** The address that a bridge has which is to be gone on with. */
async function presentAddress(
  channel: NetlinkChannel,
  existing: Link | undefined,
  wanted: {
    readonly family: 4 | 6;
    readonly foreign: boolean;
    readonly first: EndpointRecord | undefined;
  },
): Promise<string | undefined> {
  if (existing === undefined) return undefined;
  const { family, foreign, first } = wanted;
  if (!foreign && first === undefined) return undefined;
  const all = addressesOf(await channel.send(0, [dumpAddresses(family)]), existing.index);
  const [own] = all.filter(({ address }) => !address.startsWith("fe80:"));
  return own && `${own.address}/${own.prefix}`;
}

function familyOf4(
  bip: string | undefined,
  flags: DefaultNetworkOptions,
  taken: readonly Subnet[],
  walls: readonly Subnet[],
): Addressing {
  const { fixedCidr, gateway } = flags;
  const range = fixedCidr === undefined ? undefined : parseCidr(fixedCidr).subnet;
  const wanted = bip ?? (range && firstOf(range));
  if (wanted !== undefined)
    return completed(free(parseCidr(wanted), walls, "--bip"), { range, gateway });
  const chosen = firstOf(chosenFrom(defaultBridgePools, taken, "--bip"));
  return completed(parseCidr(chosen), { range, gateway });
}

function familyOf6(
  bip6: string | undefined,
  { defaultNetwork: { fixedCidr6, gateway6: gateway }, seed }: DefaultNetworkContext,
  taken: readonly Subnet[],
  walls: readonly Subnet[],
): Addressing {
  const range =
    fixedCidr6 === undefined ? undefined : parsed6("--fixed-cidr-v6", fixedCidr6).subnet;
  const wanted = bip6 ?? (range && firstOf(range));
  if (wanted !== undefined)
    return completed(free(parsed6("--bip6", wanted), walls, "--fixed-cidr-v6"), { range, gateway });
  const chosen = firstOf(chosenFrom([localPool(seed)], taken, "--fixed-cidr-v6"));
  return completed(parsed6("", chosen), { range, gateway });
}

function parsed6(flag: string, text: string): { address: string; subnet: Subnet } {
  const parsed = parsePrefixed(text);
  if (parsed === undefined || parsed.subnet.family !== 6 || parsed.subnet.prefix > 126)
    throw fault("invalid", "daemon-option", `invalid value "${text}" for ${flag}: no IPv6 subnet`);
  return parsed;
}

/** The first address of a subnet for hosts, with its prefix length. */
function firstOf({ family, base, prefix }: Subnet): string {
  return `${formatAddress(family, base + 1n)}/${prefix}`;
}

function completed(
  { address, subnet }: { readonly address: string; readonly subnet: Subnet },
  { range, gateway }: { readonly range: Subnet | undefined; readonly gateway: string | undefined },
): Addressing {
  if (range !== undefined && !overlaps(range, subnet))
    throw fault(
      "invalid",
      "daemon-option",
      `the addresses of ${formatSubnet(range)} (--fixed-cidr) are not in the bridge's subnet ${formatSubnet(subnet)}`,
    );
  const leads = gateway === undefined ? undefined : parseAddress(gateway);
  if (gateway !== undefined && !(leads && contains(subnet, leads.family, leads.value)))
    throw fault("invalid", "daemon-option", "default gateway ip must be part of the network");
  return {
    subnet,
    gateway: address,
    range: range !== undefined && range.prefix > subnet.prefix ? range : undefined,
    reserved: gateway === undefined ? [] : [gateway],
    leads: gateway,
  };
}

/** A subnet that is free. Throws a Fault "failed" that names the flag for another. */
function chosenFrom(pools: readonly SubnetPool[], taken: readonly Subnet[], flag: string): Subnet {
  const subnet = freeSubnet(pools, taken);
  if (subnet !== undefined) return subnet;
  throw fault(
    "failed",
    "no-subnet",
    `all predefined address pools have been fully subnetted: give one with ${flag}`,
  );
}

function free<T extends { readonly subnet: Subnet }>(
  wanted: T,
  walls: readonly Subnet[],
  flag: string,
): T {
  const clash = walls.find((route) => overlaps(route, wanted.subnet));
  if (clash === undefined) return wanted;
  throw fault(
    "failed",
    "subnet-taken",
    `the subnet ${formatSubnet(wanted.subnet)} overlaps with the host's route to ${formatSubnet(clash)}: choose another with ${flag}`,
  );
}
