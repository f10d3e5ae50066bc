/**
 * berth's one nftables table: made as text once at start, in one transaction; published ports are elements of maps, put
 * in and taken out by single netlink messages, so that cost does not grow with the number of containers.
 */
import { ipv4Bytes } from "./addresses.ts";
import {
  MessageBuilder,
  type NetlinkRequest,
  NLA_F_NESTED,
  NLM_F_ACK,
  NLM_F_CREATE,
} from "./netlink.ts";

/** A published port. */
export interface PublishedPort {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly containerPort: number;
  /** "0.0.0.0" for every address of the host. */
  readonly hostAddress: string;
  readonly hostPort: number;
}

const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;

/** A set of rules for one bridge. `ports` are those of containers that run already. */
export function ruleset(
  table: string,
  bridge: string,
  subnet: string,
  ports: readonly (PublishedPort & { readonly address: string })[],
): string {
  const element = (port: PublishedPort & { readonly address: string }) =>
    `${port.protocol} . ${port.hostAddress === "0.0.0.0" ? "" : `${port.hostAddress} . `}${port.hostPort} : ${port.address} . ${port.containerPort}`;
  const elements = (list: typeof ports) =>
    list.length === 0 ? "" : `elements = { ${list.map(element).join(", ")} }`;
  const any = ports.filter((port) => port.hostAddress === "0.0.0.0");
  const bound = ports.filter((port) => port.hostAddress !== "0.0.0.0");
  return `
table ip ${table} {}
delete table ip ${table}
table ip ${table} {
  map published-any { type inet_proto . inet_service : ipv4_addr . inet_service; ${elements(any)} }
  map published-bound { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; ${elements(bound)} }
  chain translate {
    dnat ip to meta l4proto . ip daddr . th dport map @published-bound
    dnat ip to meta l4proto . th dport map @published-any
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump translate
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump translate
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} oifname != "${bridge}" masquerade
    oifname "${bridge}" ip saddr 127.0.0.0/8 masquerade
    oifname "${bridge}" ip saddr ${subnet} ct status dnat masquerade
  }
  chain spoofed {
    type filter hook prerouting priority raw; policy accept;
    iifname "${bridge}" ip daddr 127.0.0.0/8 drop
    iifname "${bridge}" ip saddr 127.0.0.0/8 drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname != "${bridge}" accept
    ct state established,related accept
    ct status dnat accept
    iifname "${bridge}" accept
    drop
  }
}
`;
}

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_DELSETELEM = 14;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFPROTO_IPV4 = 2;

function batchMark(type: number): NetlinkRequest {
  return {
    type,
    flags: 0,
    body: Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES),
    what: "nftables batch",
  };
}

/** A port in network order, padded to a register. */
function portBytes(port: number): number[] {
  return [port >> 8, port & 255, 0, 0];
}

function elementRequest(
  table: string,
  address: string,
  port: PublishedPort,
  add: boolean,
): NetlinkRequest {
  const any = port.hostAddress === "0.0.0.0";
  const key = [
    protocols[port.protocol],
    0,
    0,
    0,
    ...(any ? [] : ipv4Bytes(port.hostAddress)),
    ...portBytes(port.hostPort),
  ];
  const data = [...ipv4Bytes(address), ...portBytes(port.containerPort)];
  const body = new MessageBuilder()
    .raw(Uint8Array.of(NFPROTO_IPV4, 0, 0, 0))
    .text(1, table)
    .text(2, any ? "published-any" : "published-bound")
    .nest(3 | NLA_F_NESTED, (list) =>
      list.nest(1 | NLA_F_NESTED, (element) => {
        element.nest(1 | NLA_F_NESTED, (value) => value.attribute(1, Uint8Array.from(key)));
        if (add)
          element.nest(2 | NLA_F_NESTED, (value) => value.attribute(1, Uint8Array.from(data)));
      }),
    );
  const type = (NFNL_SUBSYS_NFTABLES << 8) | (add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM);
  return {
    type,
    flags: NLM_F_ACK | (add ? NLM_F_CREATE : 0),
    body: body.bytes(),
    what: `${add ? "publish" : "withdraw"} port ${port.hostPort}/${port.protocol}`,
  };
}

/** One transaction that takes ports of an address out and puts others in. */
export function publishRequests(
  table: string,
  address: string,
  withdrawn: readonly PublishedPort[],
  added: readonly PublishedPort[],
): NetlinkRequest[] {
  return [
    batchMark(NFNL_MSG_BATCH_BEGIN),
    ...withdrawn.map((port) => elementRequest(table, address, port, false)),
    ...added.map((port) => elementRequest(table, address, port, true)),
    batchMark(NFNL_MSG_BATCH_END),
  ];
}
