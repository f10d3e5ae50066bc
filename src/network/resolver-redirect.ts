/**
 * Inside a container's network namespace: what it sends to 127.0.0.11 port 53 goes to the port where its shim listens, so
 * that a name server in the container can still have port 53 for itself.
 */
import { ipv4Bytes } from "./addresses.ts";
import type { NetlinkRequest } from "./netlink.ts";
import { dnatTo, ipDaddr, is, thDport } from "./nft-expressions.ts";
import { newChain, newRule, newTable, type TableName, transaction } from "./nftables.ts";

/** Where containers ask. */
export const RESOLVER_ADDRESS = "127.0.0.11";
/** Where the shim listens. */
export const RESOLVER_PORT = 40053;

const table: TableName = { family: "ip", name: "berth-resolver" };
const CHAIN = "output";
const PRIORITY_DSTNAT = -100;

const portBytes = (port: number) => Uint8Array.of(port >> 8, port & 255);

/** ip daddr 127.0.0.11 th dport 53 dnat to 127.0.0.11:40053, in one transaction. */
export function resolverRedirect(): NetlinkRequest[] {
  const address = ipv4Bytes(RESOLVER_ADDRESS);
  return transaction([
    newTable(table),
    newChain(table, CHAIN, { type: "nat", at: "output", priority: PRIORITY_DSTNAT }),
    newRule(table, CHAIN, [
      is(ipDaddr, address),
      is(thDport, portBytes(53)),
      dnatTo(4, address, portBytes(RESOLVER_PORT)),
    ]),
  ]);
}
