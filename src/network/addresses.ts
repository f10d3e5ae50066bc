/**
 * IPv4 arithmetic and the allocation of addresses. Pure.
 */
import { fault } from "../base/errors.ts";

/** A subnet: its first address as a number, and its prefix length. */
export interface Subnet {
  readonly base: number;
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

/** The dotted form of a number. */
export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
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

const sizeOf = (prefix: number) => 2 ** (32 - prefix);

/** "172.17.0.1/16" as its address and its subnet. Throws a Fault "invalid". */
export function parseCidr(text: string): { address: string; subnet: Subnet } {
  const [address = "", length = ""] = text.split("/");
  const value = parseIpv4(address);
  const prefix = Number(length);
  if (value === undefined || !/^\d+$/.test(length) || prefix < 8 || prefix > 30)
    throw fault("invalid", "cidr", `invalid CIDR address: ${text}`);
  return { address, subnet: { base: value - (value % sizeOf(prefix)), prefix } };
}

/** True when two subnets share an address. */
export function overlaps(a: Subnet, b: Subnet): boolean {
  return a.base < b.base + sizeOf(b.prefix) && b.base < a.base + sizeOf(a.prefix);
}

/** Docker's default pools: 172.17-172.31 as /16, then 192.168.0.0 in pieces of /20. */
const pools: readonly Subnet[] = [
  ...Array.from({ length: 15 }, (_, i) => ({
    base: ((172 << 24) >>> 0) + ((17 + i) << 16),
    prefix: 16,
  })),
  ...Array.from({ length: 16 }, (_, i) => ({
    base: ((192 << 24) >>> 0) + (168 << 16) + i * 4096,
    prefix: 20,
  })),
];

/** A subnet that no route of the host touches. Throws a Fault "failed" when there is none. */
export function chooseSubnet(taken: readonly Subnet[]): Subnet {
  const free = pools.find((pool) => !taken.some((route) => overlaps(pool, route)));
  if (free === undefined)
    throw fault(
      "failed",
      "no-subnet",
      "all predefined address pools have been fully subnetted: give one with --bip",
    );
  return free;
}

/** Hands out addresses of a subnet, one after the other, so that a freed one is not taken again at once. */
export class AddressPool {
  private readonly used = new Set<number>();
  private next: number;

  constructor(
    private readonly subnet: Subnet,
    gateway: string,
  ) {
    this.used.add(parseIpv4(gateway) ?? subnet.base);
    this.next = subnet.base + 1;
  }

  /** An address that nobody has. Throws a Fault "failed" when all are taken. */
  allocate(): string {
    const [first, last] = [this.subnet.base + 1, this.subnet.base + sizeOf(this.subnet.prefix) - 2];
    for (let tried = first; tried <= last; tried++) {
      const candidate = this.next;
      this.next = candidate >= last ? first : candidate + 1;
      if (this.used.has(candidate)) continue;
      this.used.add(candidate);
      return formatIpv4(candidate);
    }
    throw fault(
      "failed",
      "no-address",
      "no available IPv4 addresses on this network's address pools: bridge",
    );
  }

  /** Takes a certain address; false when somebody has it or it lies elsewhere. */
  claim(address: string): boolean {
    const value = parseIpv4(address);
    if (
      value === undefined ||
      !overlaps({ base: value, prefix: 32 }, this.subnet) ||
      this.used.has(value)
    )
      return false;
    this.used.add(value);
    return true;
  }

  release(address: string): void {
    const value = parseIpv4(address);
    if (value !== undefined) this.used.delete(value);
  }
}
