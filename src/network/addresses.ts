/**
 * Arithmetic with IP addresses of both families. Pure.
 */
import { isIPv6 } from "node:net";
import { fault } from "../base/errors.ts";

/** An address's family. */
export type Family = 4 | 6;

/** A subnet: its first address as a number, and its prefix length. */
export interface Subnet {
  readonly family: Family;
  readonly base: bigint;
  readonly prefix: number;
}

/** "172.17.0.1" as a number; undefined for what is no IPv4 address. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (
    parts.length !== 4 ||
    !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)
  )
    return undefined;
  return parts.reduce((value, part) => value * 256 + Number(part), 0);
}

function parseIpv6(text: string): bigint | undefined {
  if (!isIPv6(text) || text.includes("%")) return undefined;
  // An IPv4 address at the end stands for two groups.
  const dotted = /^(.*:)([\d.]+\.\d+)$/.exec(text);
  const low = dotted === null ? 0 : (parseIpv4(dotted[2] ?? "") ?? 0);
  const plain =
    dotted === null
      ? text
      : `${dotted[1]}${(low >>> 16).toString(16)}:${(low & 65535).toString(16)}`;
  const [head = "", tail] = plain.split("::");
  const groups = (part: string | undefined) => (part ? part.split(":") : []);
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [
    ...groups(head),
    ...(tail === undefined ? [] : Array<string>(missing).fill("0")),
    ...groups(tail),
  ];
  return all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

/** An address as a number. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** An address of either family; undefined for what is none. */
export function parseAddress(text: string): Address | undefined {
  const four = parseIpv4(text);
  if (four !== undefined) return { family: 4, value: BigInt(four) };
  const six = parseIpv6(text);
  return six === undefined ? undefined : { family: 6, value: six };
}

function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  );
  // The longest run of at least two zeros is left out, the first of equals (RFC 5952).
  let best = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === "0") length++;
    if (length > best.length) best = { at, length };
  }
  if (best.length < 2) return groups.join(":");
  const [head, tail] = [groups.slice(0, best.at), groups.slice(best.at + best.length)];
  return `${head.join(":")}::${tail.join(":")}`;
}

/** The text of an address. */
export function formatAddress(family: Family, value: bigint): string {
  if (family === 6) return formatIpv6(value);
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
}

/** The bytes of an address, 4 or 16 of them. */
export function addressBytes(text: string): Uint8Array {
  const { family, value } = parseAddress(text) ?? { family: 4, value: 0n };
  const length = family === 4 ? 4 : 16;
  return Uint8Array.from({ length }, (_, i) =>
    Number((value >> BigInt(8 * (length - 1 - i))) & 255n),
  );
}

/** The four bytes of a dotted address. */
export function ipv4Bytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(".").map(Number));
}

/** The six bytes of "02:42:…". */
export function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(":").map((part) => Number.parseInt(part, 16)));
}

/** True for a unicast Ethernet address in colon form. */
export function isMac(text: string): boolean {
  return (
    /^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text) &&
    (Number.parseInt(text.slice(0, 2), 16) & 1) === 0
  );
}

/** An Ethernet address that goes with an address: of IPv4 as Docker makes them, of IPv6 by its digest. */
export function macOf(address: string): string {
  const own = parseAddress(address)?.family === 4;
  const bytes = own
    ? ipv4Bytes(address)
    : new Bun.CryptoHasher("sha256").update(address).digest().subarray(0, 4);
  return ["02", "42", ...[...bytes].map((byte) => byte.toString(16).padStart(2, "0"))].join(":");
}

/** The bits of a family's addresses. */
export const bitsOf = (family: Family): number => (family === 4 ? 32 : 128);

/** How many addresses a subnet has. */
export function sizeOf({ family, prefix }: Subnet): bigint {
  return 1n << BigInt(bitsOf(family) - prefix);
}

/** The subnet of so many bits that an address is in. */
export function subnetAt(family: Family, value: bigint, prefix: number): Subnet {
  const size = 1n << BigInt(bitsOf(family) - prefix);
  return { family, base: value - (value % size), prefix };
}

/** Whether an address is in a subnet, which is given by any address in it; never for one of the other family. */
export function isWithinSubnet(
  address: string,
  subnet: { readonly address: string; readonly prefix: number },
): boolean {
  const [one, other] = [parseAddress(address), parseAddress(subnet.address)];
  if (one === undefined || other === undefined || one.family !== other.family) return false;
  const rest = BigInt(bitsOf(one.family) - subnet.prefix);
  return one.value >> rest === other.value >> rest;
}

/** "172.17.0.1/16" as its address and its subnet; undefined for what is none. */
export function parsePrefixed(
  text: string,
): { readonly address: string; readonly value: bigint; readonly subnet: Subnet } | undefined {
  const [address = "", length = "", ...more] = text.split("/");
  const parsed = parseAddress(address);
  if (parsed === undefined || more.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  const { family, value } = parsed;
  if (Number(length) > bitsOf(family)) return undefined;
  return {
    address: formatAddress(family, value),
    value,
    subnet: subnetAt(family, value, Number(length)),
  };
}

/** The same of what has to be an IPv4 subnet with room for containers. Throws a Fault "invalid". */
export function parseCidr(text: string): { address: string; subnet: Subnet } {
  const parsed = parsePrefixed(text);
  if (
    parsed === undefined ||
    parsed.subnet.family !== 4 ||
    parsed.subnet.prefix < 8 ||
    parsed.subnet.prefix > 30
  )
    throw fault("invalid", "cidr", `invalid CIDR address: ${text}`);
  return parsed;
}

/** "172.17.0.0/16". */
export function formatSubnet({ family, base, prefix }: Subnet): string {
  return `${formatAddress(family, base)}/${prefix}`;
}

/** True when two subnets share an address. */
export function overlaps(a: Subnet, b: Subnet): boolean {
  return a.family === b.family && a.base < b.base + sizeOf(b) && b.base < a.base + sizeOf(a);
}

/** True when an address is in a subnet. */
export function contains(subnet: Subnet, family: Family, value: bigint): boolean {
  return overlaps(subnet, { family, base: value, prefix: bitsOf(family) });
}
