/**
 * berth's one nftables table: made once at start, in one transaction. Networks are chains that maps lead to, published ports are
 * elements of maps: each is put in and taken out by one transaction of its own, so that neither cost grows with the number of
 * networks and containers, and isolation never opens meanwhile.
 */
import { addressBytes, parsePrefixed } from "./addresses.ts";
import type { NetlinkRequest } from "./netlink.ts";
import {
  ctState,
  ctStatus,
  dnatToMap,
  fibDaddrType,
  hasAny,
  ifname,
  iifname,
  ip6Daddr,
  ip6DaddrLink,
  ip6Saddr,
  ip6SaddrLink,
  ipDaddr,
  ipDaddrNet,
  ipSaddr,
  ipSaddrNet,
  is,
  isFamily,
  isIn,
  isNot,
  isNotIn,
  l4proto,
  masquerade,
  native,
  oifname,
  snatTo,
  thDport,
  verdict,
  vmap,
} from "./nft-expressions.ts";
import {
  deleteChain,
  dropTable,
  elementRequests,
  emptyChain,
  type Hook,
  newChain,
  newRule,
  newSet,
  newTable,
  type Rule,
  type SetElement,
  type SetOf,
  setType,
  type TableName,
  transaction,
  type Verdict,
  verdictType,
} from "./nftables.ts";
import type { GatewayMode } from "./options.ts";

/** A published port. */
export interface PublishedPort {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly containerPort: number;
  /** "0.0.0.0" and "::" for every address of the host, of their family. */
  readonly hostAddress: string;
  readonly hostPort: number;
  /** It was asked for together with the port before it, which is the same of the other family. */
  readonly paired?: true;
}

/** What the firewall has to know of a network. */
export interface NetworkRules {
  /** The interface: letters, digits, dots and dashes alone, since it stands in rules. */
  readonly bridge: string;
  /** "172.18.0.0/24"; undefined: it has none of IPv4. */
  readonly subnet?: string | undefined;
  /** "fd00::/64". */
  readonly subnet6?: string | undefined;
  /** Nothing goes in or out, but to and from the host itself. */
  readonly internal: boolean;
  /** Its containers reach each other. */
  readonly icc: boolean;
  /** What leaves has the host's address. */
  readonly masquerade: boolean;
  /** The host's address that what leaves has; undefined: that of the way out. */
  readonly sourceAddress?: string | undefined;
  readonly sourceAddress6?: string | undefined;
  /** How each family is connected to the outside. */
  readonly mode4: GatewayMode;
  readonly mode6: GatewayMode;
  /** Interfaces from which containers are reached directly. */
  readonly trusted: readonly string[];
}

/** Where published ports lead: a container's addresses. */
export interface PortTarget {
  /** Empty: it has none of IPv4. */
  readonly address: string;
  readonly address6?: string | undefined;
}

/** A published port with the container's addresses. */
export type LedPort = PublishedPort & PortTarget;

/** A port that is reached at a container's own address. */
export interface OpenedPort {
  readonly address: string;
  readonly protocol: PublishedPort["protocol"];
  readonly port: number;
}

const inet = (name: string): TableName => ({ family: "inet", name });

const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;
const ICMP = Uint8Array.of(1);
const ICMPV6 = Uint8Array.of(58);

const accept = verdict("accept");
const drop = verdict("drop");
/** IP_CT_ESTABLISHED and IP_CT_RELATED, as bits of the state. */
const goesOn = hasAny(ctState, 2 | 4);
/** IPS_DST_NAT: it has come by a published port. */
const published = hasAny(ctStatus, 1 << 5);
/** RTN_LOCAL: an address of the host's. */
const toHost = is(fibDaddrType, native(2));
const ofLoopback = Uint8Array.of(127);
/** The first bytes of fe80::/10, as far as they are whole: what is assigned of it is fe80::/64 (RFC 4291, 2.5.6). */
export const ofLink = Uint8Array.of(0xfe, 0x80);
const loopback6 = addressBytes("::1");
const comesFrom = (name: string) => is(iifname, ifname(name));
const goesTo = (name: string) => is(oifname, ifname(name));

/** A protocol's number, padded to a register. */
function protocolBytes(protocol: PublishedPort["protocol"]): number[] {
  return [protocols[protocol], 0, 0, 0];
}

/** A port in network order, padded to a register. */
function portBytes(port: number): number[] {
  return [port >> 8, port & 255, 0, 0];
}

const isSix = (address: string): boolean => address.includes(":");

/** The container's address of the port's own family; "": the kernel cannot lead there. */
export function ledTo({ hostAddress, address, address6 = "" }: LedPort): string {
  return isSix(hostAddress) ? address6 : address;
}

/**
 * Whether clients come to the port's socket, and are handed on from there: the container has no address of the port's family, or
 * it is IPv6, where no rule leads away from ::1 and from link-local addresses.
 */
export function isRelayed(port: LedPort): boolean {
  return isSix(port.hostAddress) || ledTo(port) === "";
}

/** An element with the set that it is in. */
interface Placed {
  readonly set: string;
  readonly element: SetElement;
}

/** What a published port's clients ask for, as sets' keys have it: protocol, address (unless it is any) and port. */
export function portKeyOf(port: PublishedPort): {
  readonly any: boolean;
  readonly key: Uint8Array;
} {
  const any = port.hostAddress === "0.0.0.0" || port.hostAddress === "::";
  const bound = any ? [] : addressBytes(port.hostAddress);
  const key = [...protocolBytes(port.protocol), ...bound, ...portBytes(port.hostPort)];
  return { any, key: Uint8Array.from(key) };
}

/** Where a published port stands in the table, and what it leads to; nowhere, if the kernel cannot lead there. */
function portElements(port: LedPort): Placed[] {
  const address = ledTo(port);
  if (address === "") return [];
  const { any, key } = portKeyOf(port);
  const data = [...addressBytes(address), ...portBytes(port.containerPort)];
  const set = `published-${any ? "any" : "bound"}${isSix(address) ? "6" : ""}`;
  return [{ set, element: { key, data: Uint8Array.from(data) } }];
}

function relayedElement({ protocol, hostPort }: PublishedPort): Placed {
  const key = Uint8Array.from([...protocolBytes(protocol), ...portBytes(hostPort)]);
  return { set: "relayed", element: { key } };
}

function openedElement({ address, protocol, port }: OpenedPort): Placed {
  const key = [...addressBytes(address), ...protocolBytes(protocol), ...portBytes(port)];
  return {
    set: address.includes(":") ? "opened6" : "opened",
    element: { key: Uint8Array.from(key) },
  };
}

/** A subnet as two elements: where it begins, and the first address behind it. */
function subnetElements(text: string, leads: Verdict): SetElement[] {
  const subnet = parsePrefixed(text)?.subnet;
  if (subnet === undefined) return [];
  const { family, base, prefix } = subnet;
  const bits = family === 4 ? 32 : 128;
  const bytes = (value: bigint) =>
    Uint8Array.from({ length: bits / 8 }, (_, at) =>
      Number((value >> BigInt(bits - 8 * (at + 1))) & 255n),
    );
  const end = base + (1n << BigInt(bits - prefix));
  const first = { key: bytes(base), data: leads };
  return end >> BigInt(bits) === 0n ? [first, { key: bytes(end), ends: true }] : [first];
}

/** The chains of a network, by their names, and the elements that lead to them, by their sets. */
interface Parts {
  readonly chains: readonly (readonly [name: string, rules: readonly Rule[]])[];
  readonly elements: readonly (readonly [set: string, elements: readonly SetElement[]])[];
}

function partsOf(network: NetworkRules): Parts {
  const { bridge, subnet, subnet6, internal, icc, masquerade: hides } = network;
  const own: Rule[] = icc ? [[comesFrom(bridge), accept]] : [];
  const into: Rule[] = internal
    ? [...own, [drop]]
    : [[goesOn, accept], ...own, [published, accept], ...directWays(network), [drop]];
  const leaving: Rule[] = [
    ...(hides && !internal
      ? translations(network).map((way) => [isNot(oifname, ifname(bridge)), ...way])
      : []),
    // A container that calls a published port of its own network is to hear from whom it has called.
    [goesTo(bridge), published, masquerade],
  ];
  const key = ifname(bridge);
  const jump = { jump: `leaving-${bridge}` };
  return {
    chains: [
      [`into-${bridge}`, into],
      [`leaving-${bridge}`, leaving],
    ],
    elements: [
      ["bridges", [{ key }]],
      ["into", [{ key, data: { jump: `into-${bridge}` } }]],
      ["leaving", subnetElements(subnet ?? "", jump)],
      ["leaving6", subnetElements(subnet6 ?? "", jump)],
      ["internal", internal ? [{ key }] : []],
    ],
  };
}

/** How containers are reached at their own addresses. Nothing of that holds for containers of internal networks. */
function directWays({ mode4, mode6, trusted }: NetworkRules): Rule[] {
  const outside = isNotIn([iifname], "internal");
  const ofMode = (mode: GatewayMode, family: 4 | 6, ways: Rule): Rule[] => {
    if (mode === "nat-unprotected") return [[outside, isFamily(family), accept]];
    return mode === "routed" ? ways.map((way) => [outside, isFamily(family), way, accept]) : [];
  };
  return [
    ...trusted.map((name) => [comesFrom(name), accept]),
    ...ofMode(mode4, 4, [is(l4proto, ICMP), isIn([ipDaddr, l4proto, thDport], "opened")]),
    ...ofMode(mode6, 6, [is(l4proto, ICMPV6), isIn([ip6Daddr, l4proto, thDport], "opened6")]),
  ];
}

/** What becomes of the addresses of what leaves: of a family that is routed nothing. */
function translations(network: NetworkRules): Rule[] {
  const { mode4, mode6, sourceAddress, sourceAddress6 } = network;
  const way = (mode: GatewayMode, family: 4 | 6, address: string | undefined): Rule[] => {
    if (mode === "routed") return [];
    return [[isFamily(family), address ? snatTo(family, addressBytes(address)) : masquerade]];
  };
  return [...way(mode4, 4, sourceAddress), ...way(mode6, 6, sourceAddress6)];
}

/** What makes a network part of the table, in one transaction. */
export function additions(table: string, network: NetworkRules): NetlinkRequest[] {
  const { chains, elements } = partsOf(network);
  return transaction([
    ...chains.flatMap(([name, rules]) => [
      newChain(inet(table), name),
      // It may be there: the whole table was put back meanwhile.
      emptyChain(inet(table), name),
      ...rules.map((rule) => newRule(inet(table), name, rule)),
    ]),
    ...elements.flatMap(([set, list]) =>
      elementRequests(inet(table), set, list, true, `put ${network.bridge} into ${set}`),
    ),
  ]);
}

/** What takes a network out of the table, in one transaction. */
export function removals(table: string, network: NetworkRules): NetlinkRequest[] {
  const { chains, elements } = partsOf(network);
  return transaction([
    ...elements.flatMap(([set, list]) =>
      elementRequests(inet(table), set, list, false, `take ${network.bridge} out of ${set}`),
    ),
    ...chains.flatMap(([name]) => [emptyChain(inet(table), name), deleteChain(inet(table), name)]),
  ]);
}

/** What takes the whole table away, in one transaction; fine if it is not there. */
export function tableRemoval(table: string): NetlinkRequest[] {
  // Earlier versions had one for IPv4 alone.
  return transaction([...dropTable({ family: "ip", name: table }), ...dropTable(inet(table))]);
}

const portKey = setType("inet_proto", "inet_service");
const boundKey = setType("inet_proto", "ipv4_addr", "inet_service");
const boundKey6 = setType("inet_proto", "ipv6_addr", "inet_service");
const endType = setType("ipv4_addr", "inet_service");
const endType6 = setType("ipv6_addr", "inet_service");
const sets: readonly (readonly [name: string, SetOf])[] = [
  ["published-any", { key: portKey, data: endType }],
  ["published-bound", { key: boundKey, data: endType }],
  ["published-any6", { key: portKey, data: endType6 }],
  ["published-bound6", { key: boundKey6, data: endType6 }],
  ["relayed", { key: portKey }],
  ["opened", { key: setType("ipv4_addr", "inet_proto", "inet_service") }],
  ["opened6", { key: setType("ipv6_addr", "inet_proto", "inet_service") }],
  ["bridges", { key: setType("ifname") }],
  ["internal", { key: setType("ifname") }],
  ["into", { key: setType("ifname"), data: verdictType }],
  ["leaving", { key: setType("ipv4_addr"), data: verdictType, interval: true }],
  ["leaving6", { key: setType("ipv6_addr"), data: verdictType, interval: true }],
];

const dstnat = -100;
const srcnat = 100;
const raw = -300;
const filter = 0;

/** The chains that the table has, whatever networks there are. */
const commonChains: readonly (readonly [name: string, Hook | undefined, readonly Rule[]])[] = [
  [
    "translate",
    undefined,
    [
      [isFamily(4), dnatToMap(4, [l4proto, ipDaddr, thDport], "published-bound")],
      [isFamily(4), dnatToMap(4, [l4proto, thDport], "published-any")],
    ],
  ],
  [
    "translate6",
    undefined,
    [
      [isFamily(6), is(ip6Daddr, loopback6), verdict("return")],
      [isFamily(6), is(ip6DaddrLink, ofLink), verdict("return")],
      [isFamily(6), is(ip6SaddrLink, ofLink), verdict("return")],
      [isFamily(6), dnatToMap(6, [l4proto, ip6Daddr, thDport], "published-bound6")],
      [isFamily(6), dnatToMap(6, [l4proto, thDport], "published-any6")],
    ],
  ],
  [
    "prerouting",
    { type: "nat", at: "prerouting", priority: dstnat },
    [
      [isIn([iifname], "internal"), verdict("return")],
      [isFamily(4), isNot(ipDaddrNet, ofLoopback), toHost, verdict({ jump: "translate" })],
      [isFamily(6), toHost, verdict({ jump: "translate6" })],
    ],
  ],
  [
    "output",
    { type: "nat", at: "output", priority: dstnat },
    [
      [isFamily(4), toHost, verdict({ jump: "translate" })],
      [isFamily(6), toHost, verdict({ jump: "translate6" })],
    ],
  ],
  [
    "input",
    { type: "filter", at: "input", priority: filter },
    // A relayed port leads out of an internal network as little as any other.
    [[isIn([iifname], "internal"), isIn([l4proto, thDport], "relayed"), drop]],
  ],
  [
    "postrouting",
    { type: "nat", at: "postrouting", priority: srcnat },
    [
      [isIn([oifname], "bridges"), isFamily(4), is(ipSaddrNet, ofLoopback), masquerade],
      [isFamily(4), vmap([ipSaddr], "leaving")],
      [isFamily(6), vmap([ip6Saddr], "leaving6")],
    ],
  ],
  [
    "spoofed",
    { type: "filter", at: "prerouting", priority: raw },
    [ipDaddrNet, ipSaddrNet].map((address) => [
      ...[isIn([iifname], "bridges"), isFamily(4), is(address, ofLoopback), drop],
    ]),
  ],
  [
    "forward",
    { type: "filter", at: "forward", priority: filter },
    [[vmap([oifname], "into")], [isIn([iifname], "internal"), drop]],
  ],
];

const onlyBy = (name: string): Rule => [isNot(iifname, ifname(name)), verdict("return")];

/** What the table is to have. */
export interface Ruleset {
  readonly networks: readonly NetworkRules[];
  /** Of containers that run already. */
  readonly ports: readonly LedPort[];
  readonly opened: readonly OpenedPort[];
  /** Only who makes it may change it, as `newTable` has it. */
  readonly held: boolean;
  /** As FirewallContents has it. */
  readonly via?: string | undefined;
}

/** The whole table, in place of what there is of it, in one transaction. */
export function ruleset(
  table: string,
  { networks, ports, opened, held, via }: Ruleset,
): NetlinkRequest[] {
  const name = inet(table);
  const parts = networks.map(partsOf);
  const elements = Map.groupBy(
    [
      ...parts.flatMap((one) =>
        one.elements.flatMap(([set, list]) => list.map((element) => ({ set, element }))),
      ),
      ...ports.flatMap(portElements),
      ...relayedOnce(ports).map(relayedElement),
      ...opened.map(openedElement),
    ],
    ({ set }) => set,
  );
  const chains = [
    ...parts.flatMap((one) =>
      one.chains.map(([chain, rules]) => [chain, undefined, rules] as const),
    ),
    ...commonChains,
  ];
  return transaction([
    ...dropTable({ family: "ip", name: table }),
    ...dropTable(name),
    newTable(name, held),
    ...sets.map(([set, of], at) => newSet(name, set, of, at + 1)),
    // What is led to stands before what leads there.
    ...chains.map(([chain, hook]) => newChain(name, chain, hook)),
    ...[...elements].flatMap(([set, list]) =>
      elementRequests(
        ...([name, set, list.map(({ element }) => element), true, `fill ${set}`] as const),
      ),
    ),
    ...(via === undefined ? [] : [newRule(name, "prerouting", onlyBy(via))]),
    ...chains.flatMap(([chain, , rules]) => rules.map((rule) => newRule(name, chain, rule))),
  ]);
}

/** What relayed ports of several addresses may share. */
export function relayKey({ protocol, hostPort }: PublishedPort): string {
  return `${protocol} ${hostPort}`;
}

/** Relayed ports, of those with the same number one. */
function relayedOnce(ports: readonly LedPort[]): LedPort[] {
  return [...new Map(ports.filter(isRelayed).map((port) => [relayKey(port), port])).values()];
}

/** What a transaction takes out or puts in. */
export interface PortChanges {
  readonly ports: readonly LedPort[];
  /** Relayed ports of whose number there is no other. */
  readonly relayed: readonly PublishedPort[];
}

function portRequests(
  table: string,
  { ports, relayed }: PortChanges,
  add: boolean,
): NetlinkRequest[] {
  const request = ({ hostPort, protocol }: PublishedPort, { set, element }: Placed) => {
    const what = `${add ? "publish" : "withdraw"} port ${hostPort}/${protocol}`;
    return elementRequests(inet(table), set, [element], add, what);
  };
  return [
    ...ports.flatMap((port) => portElements(port).flatMap((one) => request(port, one))),
    ...relayed.flatMap((port) => request(port, relayedElement(port))),
  ];
}

/** One transaction that takes ports out and puts others in. */
export function publishRequests(
  table: string,
  withdrawn: PortChanges,
  added: PortChanges,
): NetlinkRequest[] {
  return transaction([
    ...portRequests(table, withdrawn, false),
    ...portRequests(table, added, true),
  ]);
}

/** One transaction that opens ports of containers' own addresses, or closes them. */
export function openRequests(
  table: string,
  ports: readonly OpenedPort[],
  add: boolean,
): NetlinkRequest[] {
  return transaction(
    ports.flatMap((port) => {
      const { set, element } = openedElement(port);
      const what = `${add ? "open" : "close"} port ${port.port}/${port.protocol} of ${port.address}`;
      return elementRequests(inet(table), set, [element], add, what);
    }),
  );
}
