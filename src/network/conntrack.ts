/**
 * Flows that the kernel remembers (conntrack). A datagram has no connection whose end would be seen: while its sender goes
 * on, the kernel leads it where the first one went, whatever the rules say by now. So flows are forgotten when their port is
 * withdrawn, and those that were none of the container's when it is published. Pure.
 */
import { type Family, formatAddress } from "./addresses.ts";
import type { LedPort, PublishedPort } from "./firewall.ts";
import {
  attributesOf,
  MessageBuilder,
  type NetlinkAnswer,
  type NetlinkRequest,
  NLA_F_NESTED,
  NLM_F_ACK,
  NLM_F_DUMP,
} from "./netlink.ts";

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_NEW = 0;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
/** The kernel compares protocol and destination port alone. */
const BY_PROTOCOL_AND_PORT = (1 << 3) | (1 << 5);
const AF_INET = 2;
const AF_INET6 = 10;
const UDP = 17;

const typeOf = (message: number) => (NFNL_SUBSYS_CTNETLINK << 8) | message;
const head = (family: Family) =>
  new MessageBuilder().raw(Uint8Array.of(family === 4 ? AF_INET : AF_INET6, 0, 0, 0));

/** Asks for the flows of a family that were begun to a port of UDP. */
export function flowsTo(port: number, family: Family): NetlinkRequest {
  const body = head(family)
    .nest(CTA_TUPLE_ORIG | NLA_F_NESTED, (tuple) =>
      tuple.nest(CTA_TUPLE_PROTO | NLA_F_NESTED, (protocol) => protocol.u8(1, UDP).u16be(3, port)),
    )
    .nest(CTA_FILTER | NLA_F_NESTED, (filter) => filter.u32(1, BY_PROTOCOL_AND_PORT));
  return {
    type: typeOf(IPCTNL_MSG_CT_GET),
    flags: NLM_F_DUMP,
    body: body.bytes(),
    what: `list flows to port ${port}`,
  };
}

interface Tuple {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
}

/** One flow: how it was begun, and how its answers come. */
export interface Flow {
  readonly begun: Tuple;
  readonly answered: Tuple;
  /** What deletes it. */
  readonly forget: NetlinkRequest;
}

function tupleOf(data: Uint8Array, family: Family): Tuple {
  const parts = attributesOf(data, 0);
  const ip = attributesOf(parts.get(CTA_TUPLE_IP) ?? new Uint8Array(), 0);
  const ports = attributesOf(parts.get(CTA_TUPLE_PROTO) ?? new Uint8Array(), 0);
  // Those of IPv6 come after those of IPv4.
  const address = (type: 1 | 2) => {
    const bytes = ip.get(family === 4 ? type : type + 2) ?? new Uint8Array();
    return bytes.length === 0 ? "" : formatAddress(family, BigInt(`0x${bytes.toHex()}`));
  };
  const port = (type: number) => {
    const [high = 0, low = 0] = ports.get(type) ?? [];
    return (high << 8) | low;
  };
  return {
    source: address(1),
    destination: address(2),
    sourcePort: port(2),
    destinationPort: port(3),
    protocol: ports.get(1)?.[0] ?? 0,
  };
}

/** The flows of a family in an answer. */
export function flowsIn(answers: readonly NetlinkAnswer[], family: Family): Flow[] {
  return answers
    .filter(({ type }) => type === typeOf(IPCTNL_MSG_CT_NEW))
    .flatMap(({ body }) => {
      const attributes = attributesOf(body, 4);
      const [begun, answered] = [attributes.get(CTA_TUPLE_ORIG), attributes.get(CTA_TUPLE_REPLY)];
      if (begun === undefined || answered === undefined) return [];
      const named = head(family).attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, begun);
      for (const type of [CTA_ID, CTA_ZONE]) {
        const value = attributes.get(type);
        if (value !== undefined) named.attribute(type, value);
      }
      const forget = {
        type: typeOf(IPCTNL_MSG_CT_DELETE),
        flags: NLM_F_ACK,
        body: named.bytes(),
        what: "forget a flow",
      };
      return { begun: tupleOf(begun, family), answered: tupleOf(answered, family), forget };
    });
}

/** A flow is led to the container by a port that it no longer has. */
export function leadsTo(port: LedPort): (flow: Flow) => boolean {
  return ({ begun, answered }) =>
    begun.protocol === UDP &&
    begun.destinationPort === port.hostPort &&
    (answered.source === port.address || answered.source === port.address6) &&
    answered.sourcePort === port.containerPort;
}

/** A flow that is led nowhere else, by a port that a container has now. */
export function missesOut(port: PublishedPort): (flow: Flow) => boolean {
  return ({ begun, answered }) =>
    begun.protocol === UDP &&
    begun.destinationPort === port.hostPort &&
    (["0.0.0.0", "::"].includes(port.hostAddress) || port.hostAddress === begun.destination) &&
    answered.source === begun.destination &&
    answered.sourcePort === begun.destinationPort &&
    answered.destination === begun.source;
}
