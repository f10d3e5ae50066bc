/**
 * What nftables' rules are made of: selectors load something of a packet into registers, statements compare it, look it up or do
 * something with the packet. Each is called as nft calls it (nft(8)). Pure.
 */
import { type MessageBuilder, NLA_F_NESTED } from "./netlink.ts";
import { type Expression, fillData, type Verdict } from "./nftables.ts";

/** The first of the registers of 4 bytes (NFT_REG32_00); a value has as many as it needs, one after the other. */
const FIRST_REGISTER = 8;
const VERDICT_REGISTER = 0;
const WORD = 4;

/** Loads something of a packet. */
export interface Selector {
  /** What it has in registers, padded. */
  readonly bytes: number;
  readonly load: (register: number) => Expression;
}

function expression(name: string, data: (data: MessageBuilder) => unknown): Expression {
  return (list) => {
    list.nest(1 | NLA_F_NESTED, (element) => element.text(1, name).nest(2 | NLA_F_NESTED, data));
  };
}

const meta = (key: number, bytes: number): Selector => ({
  bytes,
  load: (register) => expression("meta", (data) => data.u32be(1, register).u32be(2, key)),
});
const ct = (key: number): Selector => ({
  bytes: WORD,
  load: (register) => expression("ct", (data) => data.u32be(1, register).u32be(2, key)),
});
const NETWORK_HEADER = 1;
const TRANSPORT_HEADER = 2;
const payload = (base: number, offset: number, length: number): Selector => ({
  bytes: length,
  load: (register) =>
    expression("payload", (data) =>
      data.u32be(1, register).u32be(2, base).u32be(3, offset).u32be(4, length),
    ),
});

/** The interface that it has come by. */
export const iifname = meta(6, 16);
/** The interface that it leaves by. */
export const oifname = meta(7, 16);
const nfproto = meta(15, WORD);
/** The protocol above IP. */
export const l4proto = meta(16, WORD);
/** How far its connection is, in bits. */
export const ctState = ct(0);
/** What has become of its connection, in bits. */
export const ctStatus = ct(2);
/** Its source address of IPv4. */
export const ipSaddr = payload(NETWORK_HEADER, 12, 4);
/** Its destination address of IPv4. */
export const ipDaddr = payload(NETWORK_HEADER, 16, 4);
/** The first byte of its destination address of IPv4. */
export const ipDaddrNet = payload(NETWORK_HEADER, 16, 1);
/** The first byte of its source address of IPv4. */
export const ipSaddrNet = payload(NETWORK_HEADER, 12, 1);
/** Its source address of IPv6. */
export const ip6Saddr = payload(NETWORK_HEADER, 8, 16);
/** Its destination address of IPv6. */
export const ip6Daddr = payload(NETWORK_HEADER, 24, 16);
/** The first two bytes of its source address of IPv6. */
export const ip6SaddrLink = payload(NETWORK_HEADER, 8, 2);
/** The first two bytes of its destination address of IPv6. */
export const ip6DaddrLink = payload(NETWORK_HEADER, 24, 2);
/** Its destination port. */
export const thDport = payload(TRANSPORT_HEADER, 2, 2);
/** Whose address its destination is (NFT_FIB_RESULT_ADDRTYPE of NFTA_FIB_F_DADDR). */
export const fibDaddrType: Selector = {
  bytes: WORD,
  load: (register) => expression("fib", (data) => data.u32be(1, register).u32be(2, 3).u32be(3, 2)),
};

/** A number as the machine has it. */
export function native(value: number): Uint8Array {
  return Uint8Array.of(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
}

const encoder = new TextEncoder();

/** An interface's name, padded. */
export function ifname(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  encoder.encodeInto(name, bytes.subarray(0, 15));
  return bytes;
}

function compare(selector: Selector, op: number, value: Uint8Array): Expression[] {
  return [
    selector.load(FIRST_REGISTER),
    expression("cmp", (data) =>
      data
        .u32be(1, FIRST_REGISTER)
        .u32be(2, op)
        .nest(3 | NLA_F_NESTED, (inner) => inner.attribute(1, value)),
    ),
  ];
}

/** It is this value. */
export const is = (selector: Selector, value: Uint8Array) => compare(selector, 0, value);
/** It is another. */
export const isNot = (selector: Selector, value: Uint8Array) => compare(selector, 1, value);

/** Packets of IPv4, or of IPv6. */
export const isFamily = (family: 4 | 6) => is(nfproto, Uint8Array.of(family === 4 ? 2 : 10));

/** Any of these bits is set. */
export function hasAny(selector: Selector, bits: number): Expression[] {
  const [load, isZero] = compare(selector, 1, native(0));
  const mask = expression("bitwise", (data) =>
    data
      .u32be(1, FIRST_REGISTER)
      .u32be(2, FIRST_REGISTER)
      .u32be(3, WORD)
      .nest(4 | NLA_F_NESTED, (inner) => inner.attribute(1, native(bits)))
      .nest(5 | NLA_F_NESTED, (inner) => inner.attribute(1, native(0))),
  );
  return [load, mask, isZero].filter((one) => one !== undefined);
}

/** Loads selectors one behind the other, as a set's key has them. */
function loadAll(selectors: readonly Selector[]): Expression[] {
  let register = FIRST_REGISTER;
  return selectors.map((selector) => {
    const at = register;
    register += Math.ceil(selector.bytes / WORD);
    return selector.load(at);
  });
}

const lookup = (set: string, more: (data: MessageBuilder) => unknown) =>
  expression("lookup", (data) => {
    data.text(1, set).u32be(2, FIRST_REGISTER);
    more(data);
  });

/** What is selected is in a set. */
export function isIn(selectors: readonly Selector[], set: string): Expression[] {
  return [...loadAll(selectors), lookup(set, () => {})];
}

/** It is not. */
export function isNotIn(selectors: readonly Selector[], set: string): Expression[] {
  return [...loadAll(selectors), lookup(set, (data) => data.u32be(5, 1))];
}

/** Does with a packet what a map of verdicts says of it. */
export function vmap(selectors: readonly Selector[], map: string): Expression[] {
  return [...loadAll(selectors), lookup(map, (data) => data.u32be(3, VERDICT_REGISTER))];
}

/** Ends the chain, or goes on in another. */
export function verdict(what: Verdict): Expression[] {
  return [immediate(VERDICT_REGISTER, what)];
}

function immediate(register: number, value: Uint8Array | Verdict): Expression {
  return expression("immediate", (data) =>
    data.u32be(1, register).nest(2 | NLA_F_NESTED, (inner) => fillData(inner, value)),
  );
}

const SNAT = 0;
const DNAT = 1;
const nfprotos = { 4: 2, 6: 10 } as const;
/** Where a port is in registers after an address. */
const behind = (family: 4 | 6) => FIRST_REGISTER + (family === 4 ? 1 : 4);

function nat(type: number, family: 4 | 6, withPort: boolean): Expression {
  return expression("nat", (data) => {
    data.u32be(1, type).u32be(2, nfprotos[family]).u32be(3, FIRST_REGISTER);
    if (withPort) data.u32be(5, behind(family));
  });
}

/** Gives what leaves another source address. */
export function snatTo(family: 4 | 6, address: Uint8Array): Expression[] {
  return [immediate(FIRST_REGISTER, address), nat(SNAT, family, false)];
}

/** Leads to an address and a port. */
export function dnatTo(family: 4 | 6, address: Uint8Array, port: Uint8Array): Expression[] {
  return [
    immediate(FIRST_REGISTER, address),
    immediate(behind(family), port),
    nat(DNAT, family, true),
  ];
}

/** Leads to the address and port that a map has for what is selected. */
export function dnatToMap(
  family: 4 | 6,
  selectors: readonly Selector[],
  map: string,
): Expression[] {
  return [
    ...loadAll(selectors),
    lookup(map, (data) => data.u32be(3, FIRST_REGISTER)),
    nat(DNAT, family, true),
  ];
}

/** Sends a copy to an address by the interface of an index, before the rules of what the host sends. Tables of one family have it. */
export function dupTo(address: Uint8Array, index: Uint8Array): Expression[] {
  const device = FIRST_REGISTER + address.length / WORD;
  return [
    immediate(FIRST_REGISTER, address),
    immediate(device, index),
    expression("dup", (data) => data.u32be(1, FIRST_REGISTER).u32be(2, device)),
  ];
}

/** Gives what leaves the address of the way out. */
export const masquerade: readonly Expression[] = [expression("masq", () => {})];
