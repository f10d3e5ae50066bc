/**
 * The firewall policy "host": what comes to a published port from outside is judged by the host's own rules as if a program of the
 * host listened there. It is not led to the container at once, but goes the way of the host's own traffic, through INPUT; behind
 * all rules there a copy of it is sent round by a pair of interfaces, and only what comes by that pair is led. The kernel does so with
 * the first packet of a connection; all others follow it, and the client's address is kept.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { addressBytes, type Family } from "./addresses.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import {
  type LedPort,
  ledTo,
  type NetworkRules,
  type OpenedPort,
  ofLink,
  portKeyOf,
} from "./firewall.ts";
import type { Firewall, FirewallContents } from "./firewall-backend.ts";
import type { NetlinkRequest } from "./netlink.ts";
import {
  dupTo,
  ifname,
  iifname,
  ip6Daddr,
  ip6DaddrLink,
  ip6SaddrLink,
  ipDaddr,
  is,
  isIn,
  l4proto,
  native,
  thDport,
  verdict,
} from "./nft-expressions.ts";
import {
  dropTable,
  elementRequests,
  newChain,
  newRule,
  newSet,
  newTable,
  type Rule,
  setType,
  type TableName,
  transaction,
} from "./nftables.ts";
import { deleteLinkNamed, newAddress, newLoop, setUp } from "./rtnetlink.ts";
import type { RulesWatch } from "./rules-watch.ts";
import { findLink } from "./segment.ts";

/** Behind all that firewalls have in INPUT: iptables is at 0, firewalld at 10, iptables' table "security" at 50. */
const BEHIND_ALL = 250;
/** Nobody has them: the pair asks for no neighbour's Ethernet address. */
const NEXT = { 4: "169.254.1.1", 6: "fe80::1" } as const;
/** An interface without an address is not believed to lead anywhere; this one is the host's own already. */
const LOOPBACK_ADDRESS = "127.255.255.253";
const LOOSE = "2";

/** The pair's names: what is put into the first comes out of the second. */
export function loopNames(name: string): { readonly into: string; readonly out: string } {
  const hash = Bun.hash(name).toString(16).padStart(16, "0").slice(0, 8);
  return { into: `fw-${hash}-a`, out: `fw-${hash}-b` };
}

function judgeRules(family: Family, networks: readonly NetworkRules[], loop: Loop): Rule[] {
  const copy = [dupTo(addressBytes(NEXT[family]), native(loop.index)), verdict("drop")];
  const linkLocal: Rule[] = [ip6DaddrLink, ip6SaddrLink].map((end) => [
    is(end, ofLink),
    verdict("return"),
  ]);
  return [
    [is(iifname, ifname(loop.out)), verdict("drop")],
    [is(iifname, ifname("lo")), verdict("return")],
    ...networks
      .filter(({ internal }) => internal)
      .map(({ bridge }) => [is(iifname, ifname(bridge)), verdict("return")]),
    ...(family === 6 ? linkLocal : []),
    [isIn([l4proto, family === 4 ? ipDaddr : ip6Daddr, thDport], "bound"), ...copy],
    [isIn([l4proto, thDport], "any"), ...copy],
  ];
}

interface Loop {
  readonly out: string;
  /** Of the interface that copies are put into. */
  readonly index: number;
}

const table = (family: Family, name: string): TableName => ({
  family: family === 4 ? "ip" : "ip6",
  name: `${name}-host`,
});

/** What puts published ports of one family into its table, or takes them out. */
function portElements(
  own: TableName,
  family: Family,
  ports: readonly LedPort[],
  add: boolean,
): NetlinkRequest[] {
  const keys = ports
    .filter((port) => port.hostAddress.includes(":") === (family === 6) && ledTo(port) !== "")
    .map(portKeyOf);
  return (["any", "bound"] as const).flatMap((set) => {
    const elements = keys.filter(({ any }) => any === (set === "any")).map(({ key }) => ({ key }));
    return elementRequests(
      own,
      set,
      elements,
      add,
      `${add ? "put ports into" : "take ports out of"} ${set}`,
    );
  });
}

/** What makes the table of one family anew: published ports, and what becomes of what the host's rules let through to them. */
function judgeTable(
  family: Family,
  name: string,
  { networks, ports }: FirewallContents,
  loop: Loop,
): NetlinkRequest[] {
  const own = table(family, name);
  const address = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const hook = { type: "filter", at: "input", priority: BEHIND_ALL } as const;
  return [
    ...dropTable(own),
    newTable(own),
    newSet(own, "any", { key: setType("inet_proto", "inet_service") }, 1),
    newSet(own, "bound", { key: setType("inet_proto", address, "inet_service") }, 2),
    newChain(own, "input", hook),
    ...portElements(own, family, ports, true),
    ...judgeRules(family, networks, loop).map((rule) => newRule(own, "input", rule)),
  ];
}

/** A backend whose published ports are the host's firewall's to open. */
export class HostPolicy implements Firewall {
  private loop: Loop | undefined;

  /** `contents` has the pair's end as what leads to published ports. */
  constructor(
    private readonly channel: NetlinkChannel,
    private readonly name: string,
    private readonly backend: Firewall,
    private readonly contents: () => FirewallContents,
    private readonly watch: RulesWatch,
  ) {}

  get driver() {
    return this.backend.driver;
  }

  get about(): [string, string][] {
    return [...this.backend.about, ["Policy", "host"]];
  }

  async open(): Promise<void> {
    const { into, out } = loopNames(this.name);
    if ((await findLink(this.channel, into)) === undefined)
      await this.channel.send(0, [newLoop(into, out)]);
    const [near, far] = [await findLink(this.channel, into), await findLink(this.channel, out)];
    if (near === undefined || far === undefined) throw new Error(`the interface ${into} has gone`);
    await this.settings(into, out);
    await this.channel.send(0, [setUp(near.index), setUp(far.index)]);
    await this.channel.send(0, [newAddress(far.index, LOOPBACK_ADDRESS, 32)]).catch(() => {});
    this.loop = { out, index: near.index };
    await this.judge();
    await this.backend.open();
    this.watch.begin(new Set([`${this.name}-host`]), () => this.judge().then(() => true));
  }

  private async settings(into: string, out: string): Promise<void> {
    const { kernel } = this.channel;
    // What comes by the pair has its sender's address, whose way back is another.
    await kernel.sysctl(0, `net/ipv4/conf/${out}/rp_filter`, LOOSE);
    for (const name of [into, out]) {
      const six = `net/ipv6/conf/${name}`;
      await kernel.sysctl(0, `${six}/accept_ra`, "0").catch(() => {});
      await kernel.sysctl(0, `${six}/disable_ipv6`, "0").catch(() => {});
    }
  }

  /** Makes the tables anew that lead what has been let through. */
  private async judge(): Promise<void> {
    const { loop } = this;
    if (loop === undefined) return;
    const contents = this.contents();
    const six = judgeTable(6, this.name, contents, loop);
    const requests = transaction([...judgeTable(4, this.name, contents, loop), ...six]);
    await this.channel.send(0, requests, NETLINK_NETFILTER);
  }

  async restore(): Promise<void> {
    await this.judge();
    await this.backend.restore();
  }

  async add(network: NetworkRules): Promise<void> {
    await this.backend.add(network);
    if (network.internal) await this.judge();
  }

  async remove(network: NetworkRules): Promise<void> {
    await this.backend.remove(network);
    if (network.internal) await this.judge();
  }

  async lead(withdrawn: readonly LedPort[], led: readonly LedPort[]): Promise<void> {
    await this.backend.lead(withdrawn, led);
    const requests = ([4, 6] as const).flatMap((family) => {
      const own = table(family, this.name);
      return [
        ...portElements(own, family, withdrawn, false),
        ...portElements(own, family, led, true),
      ];
    });
    if (requests.length === 0) return;
    // Where others have taken something away, or just put it back, everything is made anew.
    await this.channel.send(0, transaction(requests), NETLINK_NETFILTER).catch(() => this.judge());
  }

  expose(ports: readonly OpenedPort[], open: boolean): Promise<void> {
    return this.backend.expose(ports, open);
  }

  end(): void {
    this.backend.end();
  }

  async drop(): Promise<void> {
    await this.backend.drop();
    await removeHostPolicy(this.channel, this.name);
  }
}

/** Takes away what the policy "host" has made; fine if there is nothing. */
export async function removeHostPolicy(channel: NetlinkChannel, name: string): Promise<void> {
  try {
    const tables = transaction([...dropTable(table(4, name)), ...dropTable(table(6, name))]);
    await channel.send(0, tables, NETLINK_NETFILTER);
    const { into } = loopNames(name);
    if ((await findLink(channel, into)) !== undefined)
      await channel.send(0, [deleteLinkNamed(into)]);
  } catch (error) {
    log.warn("remove the firewall policy's rules", { error: messageOf(error) });
  }
}
