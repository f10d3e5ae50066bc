/**
 * Inside a container's network namespace: what it sends to 127.0.0.11 port 53 goes to the port where its shim listens, so
 * that a name server in the container can still have port 53 for itself.
 */
import { ipv4Bytes } from "./addresses.ts";
import {
  MessageBuilder,
  type NetlinkRequest,
  NLA_F_NESTED,
  NLM_F_ACK,
  NLM_F_CREATE,
} from "./netlink.ts";

/** Where containers ask. */
export const RESOLVER_ADDRESS = "127.0.0.11";
/** Where the shim listens. */
export const RESOLVER_PORT = 40053;

const NFTABLES = 10 << 8;
const NFPROTO_IPV4 = 2;
const TABLE = "berth-resolver";
const CHAIN = "output";
const NF_INET_LOCAL_OUT = 3;
const PRIORITY_DSTNAT = -100;

const head = () => new MessageBuilder().raw(Uint8Array.of(NFPROTO_IPV4, 0, 0, 0));
const mark = (type: number): NetlinkRequest => ({
  type,
  flags: 0,
  body: Uint8Array.of(0, 0, 0, 10),
  what: "nftables batch",
});

type Expression = (list: MessageBuilder) => void;

function expression(name: string, data: (data: MessageBuilder) => unknown): Expression {
  return (list) => {
    list.nest(1 | NLA_F_NESTED, (element) => element.text(1, name).nest(2 | NLA_F_NESTED, data));
  };
}

/** Loads bytes of the packet into register 1 and compares them. */
function matches(base: number, offset: number, value: Uint8Array): Expression[] {
  return [
    expression("payload", (data) =>
      data.u32be(1, 1).u32be(2, base).u32be(3, offset).u32be(4, value.length),
    ),
    expression("cmp", (data) =>
      data
        .u32be(1, 1)
        .u32be(2, 0)
        .nest(3 | NLA_F_NESTED, (inner) => inner.attribute(1, value)),
    ),
  ];
}

function immediate(register: number, value: Uint8Array): Expression {
  return expression("immediate", (data) =>
    data.u32be(1, register).nest(2 | NLA_F_NESTED, (inner) => inner.attribute(1, value)),
  );
}

/** ip daddr 127.0.0.11 th dport 53 dnat to 127.0.0.11:40053, in one transaction. */
export function resolverRedirect(): NetlinkRequest[] {
  const address = ipv4Bytes(RESOLVER_ADDRESS);
  const rule = [
    ...matches(1, 16, address),
    ...matches(2, 2, Uint8Array.of(0, 53)),
    immediate(1, address),
    immediate(2, Uint8Array.of(RESOLVER_PORT >> 8, RESOLVER_PORT & 255)),
    expression("nat", (data) => data.u32be(1, 1).u32be(2, NFPROTO_IPV4).u32be(3, 1).u32be(5, 2)),
  ];
  const make = (kind: number, body: MessageBuilder, what: string, more = 0): NetlinkRequest => ({
    type: NFTABLES | kind,
    flags: NLM_F_ACK | NLM_F_CREATE | more,
    body: body.bytes(),
    what,
  });
  const chain = head()
    .text(1, TABLE)
    .text(3, CHAIN)
    .nest(4 | NLA_F_NESTED, (hook) => hook.u32be(1, NF_INET_LOCAL_OUT).u32be(2, PRIORITY_DSTNAT))
    .text(7, "nat");
  const rules = head()
    .text(1, TABLE)
    .text(2, CHAIN)
    .nest(4 | NLA_F_NESTED, (list) => {
      for (const add of rule) add(list);
    });
  return [
    mark(16),
    make(0, head().text(1, TABLE), "resolver table"),
    make(3, chain, "resolver chain"),
    make(6, rules, "resolver rule", 0x800),
    mark(17),
  ];
}
