/**
 * berth's one nftables table: made as text once at start, in one transaction. Networks are chains that maps lead to, published
 * ports are elements of maps: each is put in and taken out by one transaction of its own, so that neither cost grows with the
 * number of networks and containers, and isolation never opens meanwhile.
 */
import { fault } from "../base/errors.ts";
import { addressBytes, ipv4Bytes } from "./addresses.ts";
import {
  MessageBuilder,
  type NetlinkRequest,
  NLA_F_NESTED,
  NLM_F_ACK,
  NLM_F_CREATE,
} from "./netlink.ts";
import type { GatewayMode } from "./options.ts";

/** A published port. */
export interface PublishedPort {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly containerPort: number;
  /** "0.0.0.0" for every address of the host. */
  readonly hostAddress: string;
  readonly hostPort: number;
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

/** A published port with the container's address that it leads to. */
export type LedPort = PublishedPort & { readonly address: string };

function elementText(port: LedPort): string {
  const bound = port.hostAddress === "0.0.0.0" ? "" : `${port.hostAddress} . `;
  return `${port.protocol} . ${bound}${port.hostPort} : ${port.address} . ${port.containerPort}`;
}

/** The chains of a network, by their names, and the elements that lead to them, by their sets. */
interface Parts {
  readonly chains: readonly (readonly [name: string, rules: readonly string[]])[];
  readonly elements: readonly (readonly [set: string, element: string])[];
}

function partsOf(network: NetworkRules): Parts {
  const { bridge, subnet, subnet6, internal, icc, masquerade } = network;
  const own = icc ? [`iifname "${bridge}" accept`] : [];
  const into = internal
    ? [...own, "drop"]
    : [
        "ct state established,related accept",
        ...own,
        "ct status dnat accept",
        ...directWays(network),
        "drop",
      ];
  const leaving = [
    ...(masquerade && !internal
      ? translations(network).map((way) => `oifname != "${bridge}" ${way}`)
      : []),
    // A container that calls a published port of its own network is to hear from whom it has called.
    `oifname "${bridge}" ct status dnat masquerade`,
  ];
  return {
    chains: [
      [`into-${bridge}`, into],
      [`leaving-${bridge}`, leaving],
    ],
    elements: [
      ["bridges", `"${bridge}"`],
      ["into", `"${bridge}" : jump into-${bridge}`],
      ...(subnet === undefined ? [] : [["leaving", `${subnet} : jump leaving-${bridge}`] as const]),
      ...(subnet6 === undefined
        ? []
        : [["leaving6", `${subnet6} : jump leaving-${bridge}`] as const]),
      ...(internal ? [["internal", `"${bridge}"`] as const] : []),
    ],
  };
}

/** How containers are reached at their own addresses. Nothing of that holds for containers of internal networks. */
function directWays({ mode4, mode6, trusted }: NetworkRules): string[] {
  const outside = "iifname != @internal";
  const opened = "meta l4proto . th dport";
  const ofMode = (mode: GatewayMode, family: "ipv4" | "ipv6", ways: readonly string[]) => {
    if (mode === "nat-unprotected") return [`${outside} meta nfproto ${family} accept`];
    return mode === "routed" ? ways.map((way) => `${outside} ${way} accept`) : [];
  };
  return [
    ...trusted.map((name) => `iifname "${name}" accept`),
    ...ofMode(mode4, "ipv4", [
      "meta nfproto ipv4 meta l4proto icmp",
      `ip daddr . ${opened} @opened`,
    ]),
    ...ofMode(mode6, "ipv6", [
      "meta nfproto ipv6 meta l4proto icmpv6",
      `ip6 daddr . ${opened} @opened6`,
    ]),
  ];
}

/** What becomes of the addresses of what leaves: of a family that is routed nothing. */
function translations(network: NetworkRules): string[] {
  const { mode4, mode6, sourceAddress, sourceAddress6 } = network;
  const way = (mode: GatewayMode, family: "ipv4" | "ipv6", translation: string) =>
    mode === "routed" ? [] : [`meta nfproto ${family} ${translation}`];
  return [
    ...way(mode4, "ipv4", sourceAddress ? `snat ip to ${sourceAddress}` : "masquerade"),
    ...way(mode6, "ipv6", sourceAddress6 ? `snat ip6 to ${sourceAddress6}` : "masquerade"),
  ];
}

/** What makes a network part of the table. */
export function additions(table: string, network: NetworkRules): string {
  const { chains, elements } = partsOf(network);
  return [
    ...chains.flatMap(([name, rules]) => [
      `add chain inet ${table} ${name}`,
      // It may be there: the whole table was put back meanwhile.
      `flush chain inet ${table} ${name}`,
      ...rules.map((rule) => `add rule inet ${table} ${name} ${rule}`),
    ]),
    ...elements.map(([set, element]) => `add element inet ${table} ${set} { ${element} }`),
    "",
  ].join("\n");
}

/** What takes a network out of the table. */
export function removals(table: string, network: NetworkRules): string {
  const { chains, elements } = partsOf(network);
  return [
    ...elements.map(
      ([set, element]) => `delete element inet ${table} ${set} { ${element.replace(/ : .*/, "")} }`,
    ),
    ...chains.flatMap(([name]) => [
      `flush chain inet ${table} ${name}`,
      `delete chain inet ${table} ${name}`,
    ]),
    "",
  ].join("\n");
}

/** Earlier versions had one for IPv4 alone. */
function withoutOldTable(table: string): string {
  return `table ip ${table} {}\ndelete table ip ${table}`;
}

/** What takes the whole table away. */
export function tableRemoval(table: string): string {
  return `${withoutOldTable(table)}\ntable inet ${table} {}\ndelete table inet ${table}\n`;
}

/** A port that is reached at a container's own address. */
export interface OpenedPort {
  readonly address: string;
  readonly protocol: PublishedPort["protocol"];
  readonly port: number;
}

function openedTexts(opened: readonly OpenedPort[], family: 4 | 6): string[] {
  return opened
    .filter(({ address }) => address.includes(":") === (family === 6))
    .map(({ address, protocol, port }) => `${address} . ${protocol} . ${port}`);
}

/** The whole table. `ports` and `opened` are those of containers that run already. */
export function ruleset(
  table: string,
  networks: readonly NetworkRules[],
  ports: readonly LedPort[],
  opened: readonly OpenedPort[],
): string {
  const list = (texts: readonly string[]) =>
    texts.length === 0 ? "" : `elements = { ${texts.join(", ")} }`;
  const parts = networks.map(partsOf);
  // In the sets' definitions: nft cannot add to a set of intervals that comes in the same transaction.
  const of = (set: string) =>
    list(
      parts.flatMap(({ elements }) => elements.filter(([one]) => one === set).map(([, e]) => e)),
    );
  const chains = parts
    .flatMap((one) => one.chains)
    .map(([name, rules]) => `  chain ${name} {\n    ${rules.join("\n    ")}\n  }`);
  const any = ports.filter((port) => port.hostAddress === "0.0.0.0");
  const bound = ports.filter((port) => port.hostAddress !== "0.0.0.0");
  return `${withoutOldTable(table)}
table inet ${table} {}
delete table inet ${table}
table inet ${table} {
  map published-any { type inet_proto . inet_service : ipv4_addr . inet_service; ${list(any.map(elementText))} }
  map published-bound { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; ${list(bound.map(elementText))} }
  set opened { type ipv4_addr . inet_proto . inet_service; ${list(openedTexts(opened, 4))} }
  set opened6 { type ipv6_addr . inet_proto . inet_service; ${list(openedTexts(opened, 6))} }
  set bridges { type ifname; ${of("bridges")} }
  set internal { type ifname; ${of("internal")} }
  map into { type ifname : verdict; ${of("into")} }
  map leaving { type ipv4_addr : verdict; flags interval; ${of("leaving")} }
  map leaving6 { type ipv6_addr : verdict; flags interval; ${of("leaving6")} }
${chains.join("\n")}
  chain translate {
    dnat ip to meta l4proto . ip daddr . th dport map @published-bound
    meta nfproto ipv4 dnat ip to meta l4proto . th dport map @published-any
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname @internal return
    ip daddr != 127.0.0.0/8 fib daddr type local jump translate
  }
  chain output {
    type nat hook output priority -100; policy accept;
    meta nfproto ipv4 fib daddr type local jump translate
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    ip saddr vmap @leaving
    ip6 saddr vmap @leaving6
  }
  chain spoofed {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
    iifname @bridges ip saddr 127.0.0.0/8 drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname vmap @into
    iifname @internal drop
  }
}
`;
}

/** Has nft carry out a script, in one transaction; `began` gets its process. Throws a Fault "failed" with what nft says. */
export async function runNft(script: string, began: (pid: number) => void): Promise<void> {
  const child = Bun.spawn(["nft", "-f", "-"], {
    stdin: new TextEncoder().encode(script),
    stdout: "ignore",
    stderr: "pipe",
  });
  began(child.pid);
  const errors = await child.stderr.text();
  if ((await child.exited) !== 0)
    throw fault("failed", "firewall", `nft refused berth's firewall table: ${errors.trim()}`);
}

const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_DELSETELEM = 14;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFPROTO_INET = 1;

function batchMark(type: number): NetlinkRequest {
  return {
    type,
    flags: 0,
    body: Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES),
    what: "nftables batch",
  };
}

/** A protocol's number, padded to a register. */
function protocolBytes(protocol: PublishedPort["protocol"]): number[] {
  return [protocols[protocol], 0, 0, 0];
}

/** A port in network order, padded to a register. */
function portBytes(port: number): number[] {
  return [port >> 8, port & 255, 0, 0];
}

/** Puts an element into a set or a map, or takes it out. `data`: what it leads to, in a map. */
function elementRequest(
  table: string,
  set: string,
  element: { readonly key: readonly number[]; readonly data?: readonly number[] },
  add: boolean,
  what: string,
): NetlinkRequest {
  const { key, data } = element;
  const body = new MessageBuilder()
    .raw(Uint8Array.of(NFPROTO_INET, 0, 0, 0))
    .text(1, table)
    .text(2, set)
    .nest(3 | NLA_F_NESTED, (list) =>
      list.nest(1 | NLA_F_NESTED, (one) => {
        one.nest(1 | NLA_F_NESTED, (value) => value.attribute(1, Uint8Array.from(key)));
        if (add && data !== undefined)
          one.nest(2 | NLA_F_NESTED, (value) => value.attribute(1, Uint8Array.from(data)));
      }),
    );
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | (add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM),
    flags: NLM_F_ACK | (add ? NLM_F_CREATE : 0),
    body: body.bytes(),
    what,
  };
}

/** Changes that are made all together or not at all. */
function transaction(...requests: readonly NetlinkRequest[]): NetlinkRequest[] {
  return [batchMark(NFNL_MSG_BATCH_BEGIN), ...requests, batchMark(NFNL_MSG_BATCH_END)];
}

function portRequest(
  table: string,
  address: string,
  port: PublishedPort,
  add: boolean,
): NetlinkRequest {
  const any = port.hostAddress === "0.0.0.0";
  const bound = any ? [] : ipv4Bytes(port.hostAddress);
  const key = [...protocolBytes(port.protocol), ...bound, ...portBytes(port.hostPort)];
  const data = [...ipv4Bytes(address), ...portBytes(port.containerPort)];
  const what = `${add ? "publish" : "withdraw"} port ${port.hostPort}/${port.protocol}`;
  const map = any ? "published-any" : "published-bound";
  return elementRequest(table, map, { key, data }, add, what);
}

/** One transaction that takes ports of an address out and puts others in. */
export function publishRequests(
  table: string,
  address: string,
  withdrawn: readonly PublishedPort[],
  added: readonly PublishedPort[],
): NetlinkRequest[] {
  return transaction(
    ...withdrawn.map((port) => portRequest(table, address, port, false)),
    ...added.map((port) => portRequest(table, address, port, true)),
  );
}

/** One transaction that opens ports of containers' own addresses, or closes them. */
export function openRequests(
  table: string,
  ports: readonly OpenedPort[],
  add: boolean,
): NetlinkRequest[] {
  return transaction(
    ...ports.map(({ address, protocol, port }) => {
      const key = [...addressBytes(address), ...protocolBytes(protocol), ...portBytes(port)];
      const what = `${add ? "open" : "close"} port ${port}/${protocol} of ${address}`;
      return elementRequest(
        table,
        address.includes(":") ? "opened6" : "opened",
        { key },
        add,
        what,
      );
    }),
  );
}

/** One transaction that leads ports to another address. */
export function moveRequests(
  table: string,
  from: string,
  to: string,
  ports: readonly PublishedPort[],
): NetlinkRequest[] {
  return transaction(
    ...ports.map((port) => portRequest(table, from, port, false)),
    ...ports.map((port) => portRequest(table, to, port, true)),
  );
}
