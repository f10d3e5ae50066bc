/**
 * A request for a network, checked in Docker's words and made a record. Pure: what the host has is given.
 */
import { fault } from "../base/errors.ts";
import {
  contains,
  formatAddress,
  formatSubnet,
  overlaps,
  parseAddress,
  parsePrefixed,
  type Subnet,
} from "./addresses.ts";
import { bridgeOptions, familyOptions } from "./options.ts";
import {
  checkShared,
  isParentDriver,
  ownParent,
  type ParentUse,
  parentOptions,
  vlanOf,
} from "./parent-options.ts";
import { hostsOf, isHost } from "./pool.ts";
import type { IpamRecord, NetworkRecord, SubnetRecord } from "./record.ts";
import { freeSubnet, type SubnetPool } from "./subnets.ts";

/** One subnet that a network is to have. */
export interface SubnetInput {
  readonly Subnet?: string | undefined;
  readonly IPRange?: string | undefined;
  readonly Gateway?: string | undefined;
  readonly AuxiliaryAddresses?: Readonly<Record<string, string>> | undefined;
}

/** What somebody asks for, in the API's names. */
export interface NetworkInput {
  readonly Name?: string | undefined;
  readonly Driver?: string | undefined;
  readonly Scope?: string | undefined;
  readonly Internal?: boolean | undefined;
  readonly Attachable?: boolean | undefined;
  readonly Ingress?: boolean | undefined;
  readonly ConfigOnly?: boolean | undefined;
  readonly ConfigFrom?: { readonly Network?: string | undefined } | undefined;
  readonly EnableIPv4?: boolean | undefined;
  readonly EnableIPv6?: boolean | undefined;
  readonly IPAM?:
    | {
        readonly Driver?: string | undefined;
        readonly Options?: Readonly<Record<string, string>> | undefined;
        readonly Config?: readonly SubnetInput[] | undefined;
      }
    | undefined;
  readonly Options?: Readonly<Record<string, string>> | undefined;
  readonly Labels?: Readonly<Record<string, string>> | undefined;
}

/** A subnet that is taken already, and by whom, as a message names it. */
export interface TakenSubnet {
  readonly subnet: Subnet;
  readonly by: string;
  /** A network of berth's, as against a route of the host. */
  readonly network: boolean;
}

/** What a record is made against. */
export interface CreationHost {
  readonly pools: readonly SubnetPool[];
  readonly pools6: readonly SubnetPool[];
  readonly taken: readonly TakenSubnet[];
  /** The interface, if it is there already, with the IPv4 address that it has ("10.0.0.1/24"; empty: none). */
  readonly existing:
    | { readonly address: string /** berth has made it. */; readonly own?: boolean }
    | undefined;
  /** Networks on parents. */
  readonly parents: readonly ParentUse[];
}

/** Names that no network of a user's may have. */
export const predefined: readonly string[] = ["bridge", "host", "none"];

const reservedNames = [...predefined, "default"];
/** As Docker's network names are; what else a name holds would break filters and host names. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Throws Faults in Docker's words for a name that a network cannot have. */
export function checkNetworkName(name: string): void {
  if (name === "") throw fault("invalid", "network-name", "invalid network name: name is empty");
  if (reservedNames.includes(name))
    throw fault(
      "forbidden",
      "predefined-network",
      `operation is not permitted on predefined ${name} network `,
    );
  if (!NAME.test(name) || name.length > 255)
    throw fault(
      "invalid",
      "network-name",
      `invalid network name: ${name}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed`,
    );
}

function badConfig(reasons: readonly string[]): Error {
  return fault("invalid", "network-config", `invalid network config:\n${reasons.join("\n")}`);
}

function checkRange(range: string, subnet: Subnet): string | undefined {
  const parsed = parsePrefixed(range);
  if (parsed === undefined) return `invalid ip-range ${range}: invalid CIDR block notation`;
  const { subnet: block, value } = parsed;
  if (block.family !== subnet.family)
    return `invalid ip-range ${range}: parent subnet is an IPv${subnet.family} block`;
  if (value !== block.base) return `invalid ip-range ${range}: it should be ${formatSubnet(block)}`;
  if (block.prefix < subnet.prefix)
    return `invalid ip-range ${range}: CIDR block is bigger than its parent subnet ${formatSubnet(subnet)}`;
  if (!overlaps(block, subnet))
    return `invalid ip-range ${range}: parent subnet ${formatSubnet(subnet)} doesn't contain ip-range`;
  return undefined;
}

function checkAddress(what: string, address: string, subnet: Subnet): string | undefined {
  const parsed = parseAddress(address);
  if (parsed === undefined) return `invalid ${what} ${address}: invalid address`;
  if (parsed.family !== subnet.family)
    return `invalid ${what} ${address}: parent subnet is an IPv${subnet.family} block`;
  if (!contains(subnet, parsed.family, parsed.value))
    return `invalid ${what} ${address}: parent subnet ${formatSubnet(subnet)} doesn't contain this address`;
  return undefined;
}

/** What is wrong with a subnet that somebody wants, in Docker's words. */
function faultsOf(input: SubnetInput): string[] {
  const text = input.Subnet ?? "";
  const parsed = parsePrefixed(text);
  if (parsed === undefined) return [`invalid subnet ${text}: invalid CIDR block notation`];
  const { subnet, value } = parsed;
  if (value !== subnet.base)
    return [`invalid subnet ${text}: it should be ${formatSubnet(subnet)}`];
  const [lowest, highest] = hostsOf(subnet);
  if (subnet.prefix < 8 || highest - lowest < 1n)
    return [`invalid subnet ${text}: it has no room for a gateway and containers`];
  const auxiliary = Object.values(input.AuxiliaryAddresses ?? {});
  return [
    ...(input.IPRange ? [checkRange(input.IPRange, subnet)] : []),
    ...(input.Gateway ? [checkAddress("gateway", input.Gateway, subnet)] : []),
    ...auxiliary.map((address) => checkAddress("auxiliary address", address, subnet)),
  ].flatMap((reason) => reason ?? []);
}

/** Throws a Fault in Docker's words for an address that no host can have, or that has been taken; else it is taken. */
function takeAddress(what: string, address: string, subnet: Subnet, taken: Set<bigint>): void {
  const parsed = parseAddress(address);
  if (parsed === undefined || !isHost(subnet, parsed) || taken.has(parsed.value))
    throw fault(
      "forbidden",
      "network-address",
      `failed to allocate ${what}: Address already in use`,
    );
  taken.add(parsed.value);
}

/** The record of a subnet whose fields are right. The gateway is the first address that nothing else has, where there is one. */
function subnetRecord(input: SubnetInput, gatewayNeeded: boolean): SubnetRecord {
  const subnet = subnetOf(input.Subnet ?? "");
  const { family } = subnet;
  const range = parsePrefixed(input.IPRange ?? "")?.subnet;
  const auxiliary = Object.entries(input.AuxiliaryAddresses ?? {});
  const taken = new Set<bigint>();
  const given = input.Gateway ?? "";
  if (given !== "") takeAddress(`gateway (${given})`, given, subnet, taken);
  for (const [name, address] of auxiliary)
    takeAddress(`secondary ip address (${name}:${address})`, address, subnet, taken);
  const [lowest] = hostsOf(subnet);
  let first = range !== undefined && range.base > lowest ? range.base : lowest;
  while (taken.has(first)) first++;
  if (given === "" && gatewayNeeded && !isHost(subnet, { family, value: first }))
    throw fault(
      "forbidden",
      "network-address",
      "failed to allocate gateway (): no available addresses on this pool",
    );
  const gateway = parseAddress(given)?.value ?? (gatewayNeeded ? first : undefined);
  return {
    subnet: formatSubnet(subnet),
    ...(range === undefined ? {} : { range: formatSubnet(range) }),
    gateway: gateway === undefined ? "" : formatAddress(family, gateway),
    ...(auxiliary.length === 0 ? {} : { auxiliary: input.AuxiliaryAddresses }),
  };
}

/** Throws a Fault that names what a subnet overlaps with. */
function checkFree(subnet: Subnet, host: CreationHost, shape: Shape): void {
  // On a parent containers are neighbours of the host's: its route there is what is meant.
  const walls = host.taken.filter(({ network }) => network || !shape.parented);
  const clash = walls.find((one) => overlaps(one.subnet, subnet));
  if (clash === undefined) return;
  if (clash.network)
    throw fault(
      "forbidden",
      "subnet-taken",
      `invalid pool request: Pool overlaps with other one on this address space: ${formatSubnet(subnet)} with ${clash.by}`,
    );
  throw fault(
    "forbidden",
    "subnet-taken",
    `the subnet ${formatSubnet(subnet)} overlaps with ${clash.by}: choose another with --subnet, or none to have one chosen`,
  );
}

function chosenFor(family: 4 | 6, host: CreationHost): SubnetInput {
  const taken = host.taken.map(({ subnet }) => subnet);
  const free = freeSubnet(family === 4 ? host.pools : host.pools6, taken);
  if (free === undefined)
    throw fault(
      "failed",
      "no-subnet",
      "all predefined address pools have been fully subnetted: give one with --subnet, or more with the daemon's --default-address-pool",
    );
  return { Subnet: formatSubnet(free) };
}

/** A subnet that is known to be one. */
function subnetOf(text: string): Subnet {
  const parsed = parsePrefixed(text);
  if (parsed === undefined) throw new Error(`not a subnet: ${text}`);
  return parsed.subnet;
}

const familyOf = ({ subnet }: SubnetRecord) => subnetOf(subnet).family;

/** The subnet that a bridge has which is there already. */
function existingSubnet({ existing }: CreationHost): SubnetRecord | undefined {
  const parsed = parsePrefixed(existing?.address ?? "");
  return parsed && { subnet: formatSubnet(parsed.subnet), gateway: parsed.address };
}

/** What a driver makes of a network. */
interface Shape {
  /** The interface of the host. */
  readonly interface: string;
  readonly parented: boolean;
  /** A gateway is chosen where none is given: of IPv4, of IPv6. */
  readonly gateways: { readonly 4: boolean; readonly 6: boolean };
}

function shapeOf(id: string, driver: string, input: NetworkInput): Shape {
  const { Options = {}, Internal: internal = false } = input;
  if (!isParentDriver(driver)) {
    const { name, mode4, mode6, inhibit4 } = bridgeOptions(Options, internal);
    const [four, six] = [mode4 !== "isolated" && !(inhibit4 && internal), mode6 !== "isolated"];
    return { interface: bridgeName(id, name), parented: false, gateways: { 4: four, 6: six } };
  }
  const { parent, mode } = parentOptions(driver, Options);
  const gateways = !internal && parent !== "" && (driver === "macvlan" || mode === "l2");
  return {
    interface: parent || ownParent(driver, id),
    parented: true,
    gateways: { 4: gateways, 6: gateways },
  };
}

function checkConfig(input: NetworkInput, shape: Shape): readonly SubnetInput[] {
  const { Driver = "", Config = [] } = input.IPAM ?? {};
  if (Driver !== "" && Driver !== "default")
    throw fault(
      "not-found",
      "plugin",
      `could not find plugin ${Driver} in v1 plugin registry: plugin not found`,
    );
  const asked = Config.filter(({ Subnet, IPRange, Gateway }) => Subnet || IPRange || Gateway);
  const reasons = asked.flatMap(faultsOf);
  if (reasons.length > 0) throw badConfig(reasons);
  for (const family of [4, 6] as const)
    if (!shape.parented && asked.filter((one) => inputFamily(one) === family).length > 1)
      throw fault("forbidden", "subnets", "bridge driver doesn't support multiple subnets");
  return asked;
}

const inputFamily = ({ Subnet = "" }: SubnetInput) => subnetOf(Subnet).family;

/** Subnets of a network: as asked for, or of the pools. */
function ipamFor(input: NetworkInput, host: CreationHost, shape: Shape): IpamRecord {
  const families = familiesOf(input);
  const asked = checkConfig(input, shape);
  const recordOf = (one: SubnetInput) => subnetRecord(one, shape.gateways[inputFamily(one)]);
  const own = shape.parented ? undefined : existingSubnet(host);
  const kept = asked.filter((one) => families.includes(inputFamily(one))).map(recordOf);
  for (const [at, { subnet }] of kept.entries()) {
    // What the bridge has already is a route of its own.
    if (subnet !== own?.subnet) checkFree(subnetOf(subnet), host, shape);
    const before = kept.slice(0, at).map((one): TakenSubnet => {
      return { subnet: subnetOf(one.subnet), by: one.subnet, network: true };
    });
    checkFree(subnetOf(subnet), { ...host, taken: before }, shape);
  }
  const has = (family: 4 | 6) => kept.some((one) => familyOf(one) === family);
  const chosen = (family: 4 | 6) =>
    families.includes(family) && !has(family)
      ? [(family === 4 ? own : undefined) ?? recordOf(chosenFor(family, host))]
      : [];
  return {
    driver: "default",
    options: input.IPAM?.Options ?? {},
    config: [...chosen(4), ...kept, ...chosen(6)],
    chosen: asked.length > 0,
  };
}

/** The families of which a network is to have addresses, as the request says, or else its options. Throws a Fault in Docker's words for none. */
function familiesOf({ EnableIPv4, EnableIPv6, Options = {} }: NetworkInput): (4 | 6)[] {
  const { ipv4, ipv6 } = familyOptions(Options);
  const families = [
    ...((EnableIPv4 ?? ipv4) ? [4 as const] : []),
    ...((EnableIPv6 ?? ipv6) ? [6 as const] : []),
  ];
  if (families.length === 0)
    throw fault("invalid", "network-families", "IPv4 or IPv6 must be enabled");
  return families;
}

/** What the bridge of a network is called. */
export function bridgeName(id: string, wanted: string): string {
  return wanted || `br-${id.slice(0, 12)}`;
}

/** Throws Faults in Docker's words for networks of a swarm, of which berth has none. */
function checkScope({ Ingress, Scope = "", Driver = "" }: NetworkInput): void {
  const refuse = (message: string) => fault("unavailable", "network-scope", message);
  if (Driver === "overlay")
    throw refuse(
      'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    );
  if (Scope !== "" && Scope !== "local")
    throw refuse("cannot create a swarm scoped network when swarm is not active");
  if (Ingress) throw refuse("Ingress network can only be global scope network");
}

/** The driver that is asked for. Throws Faults in Docker's words for one that there is not, or only once. */
export function driverOf(input: NetworkInput): string {
  const { Driver = "" } = input;
  const driver = Driver === "" || Driver === "default" ? "bridge" : Driver;
  if (driver === "host" || driver === "null")
    throw fault(
      "forbidden",
      "network-driver-once",
      `only one instance of "${driver}" network is allowed`,
    );
  checkScope(input);
  if (driver !== "bridge" && !isParentDriver(driver))
    throw fault("not-found", "plugin", `plugin "${driver}" not found`);
  return driver;
}

/** The interface of the host that a network would be on. Throws Faults in Docker's words. */
export function interfaceFor(id: string, input: NetworkInput): string {
  return shapeOf(id, driverOf(input), input).interface;
}

/** Throws Faults in Docker's words for a parent that cannot be one. */
function checkParent(driver: string, { Options = {} }: NetworkInput, host: CreationHost): void {
  if (!isParentDriver(driver)) return;
  const { parent, mode } = parentOptions(driver, Options);
  checkShared({ driver, parent, mode }, host.parents);
  if (parent !== "" && host.existing === undefined) vlanOf(driver, parent);
}

/** The record of a network that is to be. Throws Faults in Docker's words. */
export function networkRecord(id: string, input: NetworkInput, host: CreationHost): NetworkRecord {
  const { Name = "", Options = {} } = input;
  checkNetworkName(Name);
  const driver = driverOf(input);
  const shape = shapeOf(id, driver, input);
  checkParent(driver, input, host);
  return {
    id,
    name: Name,
    created: new Date().toISOString(),
    driver,
    ipv4: familiesOf(input).includes(4),
    ipv6: familiesOf(input).includes(6),
    internal: input.Internal === true,
    attachable: input.Attachable === true,
    options: Options,
    labels: input.Labels ?? {},
    ipam: ipamFor(input, host, shape),
    bridge: shape.interface,
    foreign: host.existing !== undefined && host.existing.own !== true,
    configFrom: input.ConfigFrom?.Network ?? "",
  };
}
