/**
 * Where networks get their subnets: pools that are cut into equal pieces. Pure.
 */
import { fault } from "../base/errors.ts";
import { overlaps, parsePrefixed, type Subnet, sizeOf } from "./addresses.ts";

/** A range of addresses that is cut into subnets of a prefix length. */
export interface SubnetPool {
  readonly range: Subnet;
  readonly prefix: number;
}

function pool(range: string, prefix: number): SubnetPool {
  const parsed = parsePrefixed(range);
  if (parsed === undefined) throw new Error(`not a range: ${range}`);
  return { range: parsed.subnet, prefix };
}

/** The default bridge's: Docker's pools, 172.17 to 172.31 as /16, then 192.168.0.0 in pieces of /20. */
export const defaultBridgePools: readonly SubnetPool[] = [
  ...Array.from({ length: 15 }, (_, i) => pool(`172.${17 + i}.0.0/16`, 16)),
  pool("192.168.0.0/16", 20),
];

/**
 * Users' networks: from the same ranges, but 254 addresses each, so that there are 3,500 of them instead of 30, and none takes
 * more of what a VPN may want than it needs.
 */
export const defaultPools: readonly SubnetPool[] = [
  ...Array.from({ length: 14 }, (_, i) => pool(`172.${18 + i}.0.0/16`, 24)),
  pool("192.168.0.0/16", 24),
];

/** Where networks get their IPv6 subnets: 65,536 of a prefix that nobody else is likely to have (RFC 4193). */
export function localPool(seed: string): SubnetPool {
  const digest = new Bun.CryptoHasher("sha256").update(seed).digest("hex");
  const [a, b, c] = [digest.slice(0, 2), digest.slice(2, 6), digest.slice(6, 10)];
  return pool(`fd${a}:${b}:${c}::/48`, 64);
}

/** "base=10.10.0.0/16,size=24" (--default-address-pool). Throws a Fault "invalid" in Docker's words. */
export function parsePool(text: string): SubnetPool {
  const bad = (why: string) =>
    fault(
      "invalid",
      "address-pool",
      `invalid default address pool ${JSON.stringify(text)}: ${why}`,
    );
  const fields = new Map(
    text.split(",").map((field) => {
      const [key = "", value = ""] = field.split(/=(.*)/s, 2);
      return [key.trim().toLowerCase(), value.trim()] as const;
    }),
  );
  for (const key of fields.keys())
    if (key !== "base" && key !== "size") throw bad(`unexpected key '${key}'`);
  const range = parsePrefixed(fields.get("base") ?? "");
  const size = Number(fields.get("size"));
  if (range === undefined) throw bad("base is no range of addresses, such as 10.10.0.0/16");
  if (range.subnet.family !== 4) throw bad("base has to be IPv4");
  if (!Number.isInteger(size) || size < range.subnet.prefix || size > 30)
    throw bad("size is the prefix length of each network, from that of base to 30");
  return { range: range.subnet, prefix: size };
}

/** The first subnet of the pools that touches nothing that is taken; undefined when there is none. */
export function freeSubnet(
  pools: readonly SubnetPool[],
  taken: readonly Subnet[],
): Subnet | undefined {
  for (const { range, prefix } of pools) {
    const size = sizeOf({ ...range, prefix });
    const end = range.base + sizeOf(range);
    const walls = taken
      .filter((one) => overlaps(one, range))
      .map((one) => ({ from: one.base, to: one.base + sizeOf(one) }))
      .sort((a, b) => (a.from < b.from ? -1 : 1));
    let base = range.base;
    // Each is stepped over as a whole: a VPN's route may cover thousands of candidates.
    for (const { from, to } of walls) {
      if (base + size <= from) break;
      if (to > base) base = to + ((size - (to % size)) % size);
    }
    if (base + size <= end) return { family: range.family, base, prefix };
  }
  return undefined;
}
