/**
 * What leads out of the network namespace of a daemon that runs as an ordinary user: a pair of interfaces, and a table of the
 * host's that hides what comes out behind the host's addresses. Somebody with the host's rights sends these messages. Pure.
 */
import { addressBytes, formatAddress, type Subnet } from "./addresses.ts";
import { encodeRequests } from "./netlink.ts";
import { ifname, ipSaddr, is, isFamily, isNot, masquerade, oifname } from "./nft-expressions.ts";
import { newChain, newOwnedTable, newRule, type TableName, transaction } from "./nftables.ts";
import { deleteLinkNamed, newAddress, newUplink, setDefaultRoute, setUp } from "./rtnetlink.ts";

/** Where it leads, and by which names. */
export interface Uplink {
  /** The host's end, and its table. */
  readonly name: string;
  /** A number of an interface that the host has not. */
  readonly index: number;
  /** Of IPv4, with room for two: the host's address, and that inside. */
  readonly subnet: Subnet;
  readonly mtu: number;
  /** The namespace, as a descriptor of who sends the messages. */
  readonly netns: number;
}

const INSIDE = { name: "uplink", index: 2 };
const LOOPBACK = 1;
/** Behind other people's translation of addresses, as berth's own table. */
const SOURCE_NAT = 100;

/** Messages for the host's namespace, for the other, and for the host's firewall. */
export function uplinkMessages({ name, index, subnet, mtu, netns }: Uplink): {
  readonly links: Uint8Array;
  /** Takes the pair away, when it is there. */
  readonly removal: Uint8Array;
  readonly inside: Uint8Array;
  readonly firewall: Uint8Array;
} {
  const at = (place: bigint) => formatAddress(subnet.family, subnet.base + place);
  const [own, other] = [at(1n), at(2n)];
  const table: TableName = { family: "inet", name };
  const hidden = [
    isFamily(4),
    is(ipSaddr, addressBytes(other)),
    isNot(oifname, ifname(name)),
    masquerade,
  ];
  return {
    links: encodeRequests(
      [
        newUplink({ name, index }, { ...INSIDE, netns }, mtu),
        newAddress(index, own, subnet.prefix),
      ],
      1,
    ),
    removal: encodeRequests([deleteLinkNamed(name)], 1),
    inside: encodeRequests(
      [
        setUp(LOOPBACK),
        newAddress(INSIDE.index, other, subnet.prefix),
        setUp(INSIDE.index),
        setDefaultRoute(own, INSIDE.index),
      ],
      1,
    ),
    firewall: encodeRequests(
      transaction([
        newOwnedTable(table),
        newChain(table, "out", { type: "nat", at: "postrouting", priority: SOURCE_NAT }),
        newRule(table, "out", hidden),
      ]),
      1,
    ),
  };
}
