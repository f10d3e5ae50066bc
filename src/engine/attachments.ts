/**
 * Which networks a container is to be on: from a request's endpoint settings to what is stored.
 */
import { isIPv4, isIPv6 } from "node:net";
import { fault } from "../base/errors.ts";
import { isMac, type NetworkRecord, type Networks } from "../network/index.ts";
import type {
  ContainerConfig,
  EndpointSettings,
  HostConfig,
  NetworkingConfig,
} from "../spec/engine-api.ts";
import type { AttachmentRecord, ContainerRecord } from "./container-record.ts";
import { namedLinksOf } from "./link-text.ts";
import type { ContainerRegistry } from "./registry.ts";

/** A network as it is referred to: one of a user's, or the default bridge. */
export type Referred = NetworkRecord | "bridge";

const BRIDGE_NAMES = ["", "default", "bridge"];

/** True for a mode that names a network of a user's. */
export function isUserDefined(mode: string): boolean {
  return ![...BRIDGE_NAMES, "host", "none"].includes(mode) && !mode.startsWith("container:");
}

/** Finds a user's network by its name, its id, or the beginning of that. Throws a Fault "invalid" for one that several have. */
export function userNetwork(networks: Networks, reference: string): NetworkRecord | undefined {
  const all = networks.all();
  const exact = all.find(({ name }) => name === reference) ?? networks.find(reference);
  if (exact !== undefined || !/^[0-9a-f]{1,63}$/.test(reference)) return exact;
  const found = all.filter(({ id }) => id.startsWith(reference));
  if (found.length > 1)
    throw fault(
      "invalid",
      "network-ambiguous",
      `network ${reference} is ambiguous (${found.length} matches found based on ID prefix)`,
    );
  return found[0];
}

function refer(networks: Networks, reference: string): Referred {
  if (BRIDGE_NAMES.includes(reference)) return "bridge";
  const found = userNetwork(networks, reference);
  if (found === undefined)
    throw fault("invalid", "no-such-network", `network ${reference} not found`);
  if (found.template !== undefined)
    throw fault(
      "forbidden",
      "network-config-only",
      "cannot create endpoint on configuration-only network",
    );
  return found;
}

function addressFaults(settings: EndpointSettings, network: Referred): string[] {
  const { IPv4Address: four, IPv6Address: six, LinkLocalIPs } = settings.IPAMConfig ?? {};
  const asked = [four, six].filter((one) => one !== undefined && one !== "");
  if (network === "bridge")
    return [
      ...(asked.length > 0
        ? ["user specified IP address is supported on user defined networks only"]
        : []),
      ...(settings.Aliases?.length
        ? ["network-scoped aliases are only supported for user-defined networks"]
        : []),
    ];
  return [
    ...(four && !isIPv4(four) ? [`invalid IPv4 address: ${four}`] : []),
    ...(six && !isIPv6(six) ? [`invalid IPv6 address: ${six}`] : []),
    ...(LinkLocalIPs ?? [])
      .filter((one) => !isIPv4(one))
      .map((one) => `invalid link-local IP address: ${one}`),
    ...(asked.length > 0 && !network.ipam.chosen
      ? [
          "user specified IP address is supported only when connecting to networks with user configured subnets",
        ]
      : []),
  ];
}

const IFNAME = "com.docker.network.endpoint.ifname";

function interfaceFault(name: string | undefined): string[] {
  if (name === undefined) return [];
  const fits = /^[a-zA-Z0-9_.-]{1,15}$/.test(name) && ![".", "..", "lo"].includes(name);
  return fits ? [] : [`invalid interface name: ${name}`];
}

/** Throws a Fault "invalid" in Docker's words for settings that an endpoint cannot have. */
function checkSettings(networks: Networks, network: Referred, settings: EndpointSettings): void {
  const name = network === "bridge" ? "bridge" : network.name;
  const { IPAMConfig, MacAddress, DriverOpts, Aliases = [] } = settings;
  const bridge = networks.segment(network === "bridge" ? "" : network.id);
  const own = addressFaults(settings, network);
  const outside = [IPAMConfig?.IPv4Address, IPAMConfig?.IPv6Address].flatMap((one) =>
    one && own.length === 0 && bridge?.covers(one) === false
      ? [`no configured subnet contains IP address ${one}`]
      : [],
  );
  const reasons = [
    ...own,
    ...outside,
    ...Aliases.filter((one) => !/^[^\s\p{Cc}]{1,253}$/u.test(one)).map(
      (one) => `invalid alias: ${JSON.stringify(one)}`,
    ),
    ...interfaceFault(DriverOpts?.[IFNAME]),
  ];
  if (reasons.length > 0)
    throw fault(
      "invalid",
      "endpoint-settings",
      `invalid config for network ${name}: invalid endpoint settings:\n${reasons.join("\n")}`,
    );
  if (MacAddress && !isMac(MacAddress))
    throw fault("invalid", "mac-address", `invalid MAC address: ${MacAddress}`);
}

/** The lowest of a network's names for interfaces that is free. */
function interfaceFor(
  network: Referred,
  settings: EndpointSettings,
  used: ReadonlySet<string>,
): string {
  const wanted = settings.DriverOpts?.[IFNAME];
  if (wanted !== undefined) {
    if (used.has(wanted))
      throw fault(
        "invalid",
        "endpoint-settings",
        `the container has an interface ${wanted} already`,
      );
    return wanted;
  }
  const prefix =
    (network !== "bridge" && network.options["com.docker.network.container_iface_prefix"]) || "eth";
  for (let number = 0; ; number++) {
    const name = `${prefix}${number}`;
    if (!used.has(name)) return name;
  }
}

/** What an attachment is made with. */
export interface AttachmentContext {
  readonly networks: Networks;
  readonly registry: ContainerRegistry;
}

/** An attachment as it is stored. Throws Faults "invalid" in Docker's words. */
export function attachmentFor(
  { networks, registry }: AttachmentContext,
  reference: string,
  settings: EndpointSettings,
  others: readonly AttachmentRecord[],
): AttachmentRecord {
  const network = refer(networks, reference);
  checkSettings(networks, network, settings);
  const used = new Set(others.map((one) => one.interface));
  const { IPAMConfig, Aliases = [], Links = [], MacAddress, DriverOpts, GwPriority } = settings;
  const links = network === "bridge" ? [] : namedLinksOf(registry, Links);
  return {
    network: network === "bridge" ? "" : network.id,
    name: network === "bridge" ? "bridge" : network.name,
    interface: interfaceFor(network, settings, used),
    aliases: [...new Set(Aliases)],
    ...(links.length > 0 ? { links } : {}),
    ...(IPAMConfig?.IPv4Address ? { address: IPAMConfig.IPv4Address } : {}),
    ...(IPAMConfig?.IPv6Address ? { address6: IPAMConfig.IPv6Address } : {}),
    ...(IPAMConfig?.LinkLocalIPs?.length ? { linkLocal: IPAMConfig.LinkLocalIPs } : {}),
    ...(MacAddress ? { mac: MacAddress.toLowerCase() } : {}),
    ...(DriverOpts ? { driverOptions: DriverOpts } : {}),
    ...(GwPriority ? { gatewayPriority: GwPriority } : {}),
  };
}

/** The networks that a new container is to be on. Throws Faults "invalid" in Docker's words. */
export function attachmentsFor(
  context: AttachmentContext,
  config: ContainerConfig,
  { NetworkMode = "" }: HostConfig,
  { EndpointsConfig }: NetworkingConfig,
): AttachmentRecord[] {
  const asked = Object.entries(EndpointsConfig ?? {});
  const alone = NetworkMode === "host" || NetworkMode === "none" || /^container:/.test(NetworkMode);
  if (alone) {
    const other = asked.find(([name]) => name !== NetworkMode);
    if (other !== undefined)
      throw fault("invalid", "no-such-network", `network ${other[0]} not found`);
    return [];
  }
  const main = refer(context.networks, NetworkMode);
  const isMain = (name: string) => refer(context.networks, name) === main;
  const first = asked.filter(([name]) => isMain(name));
  // What is asked for stands for the default network, but not for one that has been named.
  const implied: typeof asked =
    first.length > 0 || (main === "bridge" && asked.length > 0) ? [] : [[NetworkMode, {}]];
  const attachments: AttachmentRecord[] = [];
  for (const [name, given] of [...implied, ...first, ...asked.filter(([one]) => !isMain(one))]) {
    const settings = given ?? {};
    const ofMain = attachments.length === 0 && isMain(name);
    const mac = settings.MacAddress || (ofMain ? config.MacAddress : undefined);
    const attachment = attachmentFor(
      context,
      name,
      { ...settings, MacAddress: mac ?? undefined },
      attachments,
    );
    if (attachments.some(({ network }) => network === attachment.network))
      throw fault("invalid", "endpoint-settings", `network ${name} is given more than once`);
    attachments.push(attachment);
  }
  return attachments;
}

/** The networks that a container is to be on whenever it runs. */
export function attachmentsOf(record: ContainerRecord): readonly AttachmentRecord[] {
  if (record.attachments !== undefined) return record.attachments;
  if (record.hostConfig.NetworkMode !== "bridge") return [];
  const mac = record.macAddress;
  return [
    {
      ...{ network: "", name: "bridge", interface: "eth0", aliases: [] },
      ...(mac === undefined ? {} : { mac }),
    },
  ];
}

/** The names by which a container is found on a user's network. */
export function dnsNames(record: ContainerRecord, attachment: AttachmentRecord): string[] {
  const names = [
    record.name,
    ...attachment.aliases,
    record.id.slice(0, 12),
    record.config.Hostname ?? "",
  ];
  return [...new Set(names.filter((name) => name !== ""))];
}

/** Whether a container finds others by their names: on users' networks. */
export function usesNames(record: ContainerRecord): boolean {
  return attachmentsOf(record).some(({ network }) => network !== "");
}
