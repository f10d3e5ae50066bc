/**
 * The allocation of a network's addresses. What is taken is nowhere written down but in the records of the endpoints that have
 * it: a daemon that starts claims those again, so that no crash can lose an address or hand it out twice.
 */
import { fault } from "../base/errors.ts";
import {
  type Address,
  contains,
  formatAddress,
  parseAddress,
  type Subnet,
  sizeOf,
} from "./addresses.ts";

/** Hands out addresses of a subnet, one after the other, so that a freed one is not taken again at once. */
export class AddressPool {
  private readonly used: Set<bigint>;
  private readonly reserved: ReadonlySet<bigint>;
  private readonly first: bigint;
  private readonly last: bigint;
  private next: bigint;

  constructor(
    private readonly subnet: Subnet,
    private readonly options: {
      /** The network as messages call it. */
      readonly network: string;
      /** Only from here come addresses that nobody asks for by name. */
      readonly range?: Subnet | undefined;
      /** The gateway and what else nobody may have. */
      readonly reserved: readonly string[];
    },
  ) {
    const range = options.range ?? subnet;
    const [lowest, highest] = hostsOf(subnet);
    const end = range.base + sizeOf(range) - 1n;
    [this.first, this.last] = [range.base, end];
    // What names the subnet itself, or all of it, is nobody's.
    if (range.base <= lowest) this.first = lowest;
    if (end >= highest) this.last = highest;
    this.next = this.first;
    this.reserved = new Set(
      options.reserved.flatMap((address) => parseAddress(address)?.value ?? []),
    );
    this.used = new Set(this.reserved);
  }

  /** An address that nobody has. Throws a Fault "failed" when all are taken. */
  allocate(): string {
    // Among one more than are used one is free, if the range has so many.
    const most = BigInt(this.used.size + 1);
    const size = this.last - this.first + 1n;
    for (let tried = 0n; tried < most && tried < size; tried++) {
      const candidate = this.next;
      this.next = candidate >= this.last ? this.first : candidate + 1n;
      if (this.used.has(candidate)) continue;
      this.used.add(candidate);
      return formatAddress(this.subnet.family, candidate);
    }
    throw fault(
      "failed",
      "no-address",
      `no available IPv${this.subnet.family} addresses on this network's address pools: ${this.options.network}`,
    );
  }

  /** Whether anybody has an address. */
  get inUse(): boolean {
    return this.used.size > this.reserved.size;
  }

  /** Whether an address could be had here at all, by whoever asks for it by name. */
  covers(address: string): boolean {
    const parsed = parseAddress(address);
    return parsed !== undefined && contains(this.subnet, parsed.family, parsed.value);
  }

  /** Takes a certain address; false when somebody has it or it lies elsewhere. */
  claim(address: string): boolean {
    const parsed = parseAddress(address);
    if (parsed === undefined || !isHost(this.subnet, parsed)) return false;
    if (this.used.has(parsed.value)) return false;
    this.used.add(parsed.value);
    return true;
  }

  /** Gives an address back. What the network itself has stays its own. */
  release(address: string): void {
    const value = parseAddress(address)?.value;
    if (value !== undefined && !this.reserved.has(value)) this.used.delete(value);
  }
}

/** Whether a host may have an address: it lies in the subnet, and is not that of the subnet itself or of all its hosts. */
export function isHost(subnet: Subnet, { family, value }: Address): boolean {
  const [lowest, highest] = hostsOf(subnet);
  return family === subnet.family && value >= lowest && value <= highest;
}

/** The lowest and highest address that a host may have: without the subnet's own, and without IPv4's broadcast. */
export function hostsOf(subnet: Subnet): readonly [bigint, bigint] {
  const { base, family } = subnet;
  const size = sizeOf(subnet);
  if (size <= 2n) return [base, base + size - 1n];
  return [base + 1n, base + size - (family === 4 ? 2n : 1n)];
}
