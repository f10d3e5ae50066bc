/**
 * One bridge network: an interface on the host, subnets, and the ends of containers on it.
 */
import { fault } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { type Handle, KernelError } from "../kernel/index.ts";
import { formatSubnet, macOf, type Subnet } from "./addresses.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import type { NetworkRules, PublishedPort } from "./firewall.ts";
import type { NetlinkRequest } from "./netlink.ts";
import { AddressPool } from "./pool.ts";
import {
  addressesOf,
  deleteLink,
  deleteLinkNamed,
  dumpAddresses,
  dumpLinks,
  getLink,
  type Link,
  linksOf,
  newAddress,
  newBridge,
  newVeth,
  setAlias,
  setBridgePort,
  setDefaultRoute,
  setUp,
} from "./rtnetlink.ts";

/** The index of lo in every namespace. */
const LOOPBACK = 1;
/** RFC 3927. */
const LINK_LOCAL_PREFIX = 16;
/** How long interfaces of an earlier daemon are waited for. */
const OTHERS_MS = 2000;
const ENODEV = 19;

/** A network's subnet and what of it is spoken for. */
export interface Addressing {
  readonly subnet: Subnet;
  readonly gateway: string;
  readonly range?: Subnet | undefined;
  /** Addresses that no container is to have, besides the gateway. */
  readonly reserved: readonly string[];
}

/** What a bridge network is to be. */
export interface BridgePlan {
  /** The network's id; empty for the default one. */
  readonly id: string;
  /** As messages call it. */
  readonly network: string;
  /** The interface's name. */
  readonly bridge: string;
  /** By this text the interface is known again. */
  readonly alias: string;
  readonly mtu: number;
  readonly ipv4: Addressing;
  readonly ipv6?: Addressing | undefined;
  readonly internal: boolean;
  readonly icc: boolean;
  readonly masquerade: boolean;
  readonly sourceAddress?: string | undefined;
  /** The interface was there before, and is left as it is. */
  readonly foreign: boolean;
  /** Nobody else calls an interface so: whatever has this name was made by a daemon that had no time to leave its mark. */
  readonly ownName: boolean;
}

/** An endpoint as it is stored: enough to take it down after a crash. */
export interface EndpointRecord {
  readonly endpointId: string;
  /** The network's id; absent: the default bridge's. */
  readonly network?: string;
  /** What the interface is called in the container; absent: eth0. */
  readonly interface?: string;
  readonly address: string;
  readonly prefix: number;
  /** Empty: it leads nowhere. */
  readonly gateway: string;
  readonly address6?: string;
  readonly prefix6?: number;
  readonly gateway6?: string;
  readonly mac: string;
  readonly ports: readonly PublishedPort[];
}

/** An end that a container is to have on a network. */
export interface EndWish {
  /** "eth0". */
  readonly interface: string;
  readonly address?: string | undefined;
  readonly address6?: string | undefined;
  readonly mac?: string | undefined;
  /** More addresses, which are its own affair. */
  readonly linkLocal?: readonly string[] | undefined;
  /** The container's way out leads by this network. */
  readonly leads: boolean;
}

/** What is done beside the interface. */
export interface WiringOptions {
  /** For the namespace's own firewall. */
  readonly netfilter?: readonly NetlinkRequest[];
  /** The namespace is new, and its loopback down. */
  readonly fresh?: boolean;
}

function hex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

/** One bridge network. */
export class Bridge {
  private index = 0;
  private readonly pool: AddressPool;
  private readonly pool6: AddressPool | undefined;

  constructor(
    private readonly channel: NetlinkChannel,
    readonly plan: BridgePlan,
  ) {
    const poolOf = ({ subnet, range, gateway, reserved }: Addressing) =>
      new AddressPool(subnet, {
        network: plan.network,
        range,
        reserved: [gateway, ...reserved],
      });
    this.pool = poolOf(plan.ipv4);
    this.pool6 = plan.ipv6 && poolOf(plan.ipv6);
  }

  /** The host's address on it. */
  get gateway(): string {
    return this.plan.ipv4.gateway;
  }

  /** "172.17.0.0/16". */
  get cidr(): string {
    return formatSubnet(this.plan.ipv4.subnet);
  }

  /** What the firewall has to know. */
  get rules(): NetworkRules {
    const { bridge, internal, icc, masquerade, sourceAddress } = this.plan;
    const subnet6 = this.plan.ipv6 && formatSubnet(this.plan.ipv6.subnet);
    return { bridge, subnet: this.cidr, subnet6, internal, icc, masquerade, sourceAddress };
  }

  /** The interface, if it is there. */
  static async find(channel: NetlinkChannel, name: string): Promise<Link | undefined> {
    try {
      return linksOf(await channel.send(0, [getLink(name)]))[0];
    } catch (error) {
      if (error instanceof KernelError && error.errno === ENODEV) return undefined;
      throw error;
    }
  }

  /**
   * Makes the interface, or takes the one that is there: as it is when endpoints are on it, else made anew. Throws a Fault
   * "conflict" when somebody else has something of that name.
   */
  async up(running: readonly EndpointRecord[]): Promise<void> {
    for (const { address, address6 } of running) {
      this.pool.claim(address);
      if (address6 !== undefined) this.pool6?.claim(address6);
    }
    const { bridge, foreign, alias, ownName } = this.plan;
    const existing = await Bridge.find(this.channel, bridge);
    const own = ownName || existing?.alias === alias;
    if (existing !== undefined && (existing.kind !== "bridge" || !(foreign || own)))
      throw fault(
        "conflict",
        "bridge-name",
        `the interface ${bridge} is there already and is not berth's: network ${this.plan.network} cannot have it`,
      );
    if (foreign) await this.adopt(existing);
    else if (existing !== undefined && running.length > 0) this.index = existing.index;
    else await this.make(existing);
    await this.settings();
  }

  private async make(existing: Link | undefined): Promise<void> {
    const { bridge, ipv4, ipv6, alias } = this.plan;
    if (existing !== undefined) await this.channel.send(0, [deleteLink(existing.index)]);
    await this.channel.send(0, [newBridge(bridge, macOf(ipv4.gateway))]);
    const made = await Bridge.find(this.channel, bridge);
    if (made === undefined) throw new Error(`the bridge ${bridge} has gone at once`);
    this.index = made.index;
    await this.channel.send(0, [
      setAlias(made.index, alias),
      newAddress(made.index, ipv4.gateway, ipv4.subnet.prefix),
    ]);
    if (ipv6 === undefined) return;
    const { kernel } = this.channel;
    await kernel.sysctl(0, `net/ipv6/conf/${bridge}/disable_ipv6`, "0");
    await this.channel.send(0, [newAddress(made.index, ipv6.gateway, ipv6.subnet.prefix)]);
  }

  /** Somebody else's bridge gets the gateway's address if it has it not; nothing else of it is changed. */
  private async adopt(existing: Link | undefined): Promise<void> {
    const { bridge, ipv4 } = this.plan;
    if (existing === undefined)
      throw fault(
        "failed",
        "bridge-missing",
        `network ${this.plan.network} is on the bridge ${bridge}, which somebody else has made, and which is not there any more`,
      );
    this.index = existing.index;
    const had = addressesOf(await this.channel.send(0, [dumpAddresses(4)]), existing.index);
    const missing = !had.some(({ address }) => address === ipv4.gateway);
    await this.channel.send(0, [
      setUp(existing.index),
      ...(missing ? [newAddress(existing.index, ipv4.gateway, ipv4.subnet.prefix)] : []),
    ]);
  }

  private async settings(): Promise<void> {
    const { bridge, ipv6 } = this.plan;
    const { kernel } = this.channel;
    // A container's forged router advertisement must not change the host's routes (CVE-2020-13401).
    await kernel.sysctl(0, `net/ipv6/conf/${bridge}/accept_ra`, "0").catch(() => {});
    await kernel.sysctl(0, `net/ipv4/conf/${bridge}/route_localnet`, "1");
    await kernel.sysctl(0, "net/ipv4/ip_forward", "1");
    if (ipv6 !== undefined) await kernel.sysctl(0, "net/ipv6/conf/all/forwarding", "1");
  }

  /** Takes the interface away; one that somebody else has made stays. */
  async down(): Promise<void> {
    const { bridge, foreign, alias, ownName } = this.plan;
    if (foreign) return;
    const existing = await Bridge.find(this.channel, bridge);
    if (existing?.kind === "bridge" && (ownName || existing.alias === alias))
      await this.channel.send(0, [deleteLink(existing.index)]);
  }

  /**
   * The namespaces that an earlier daemon held ready die with it, but not at once. Until then they answer at addresses that
   * this one is about to give away: a while is waited for that.
   */
  async othersGone(running: number): Promise<void> {
    if (this.plan.foreign) return;
    for (const end = Date.now() + OTHERS_MS; Date.now() < end; await Bun.sleep(5)) {
      const links = linksOf(await this.channel.send(0, [dumpLinks()]));
      const ends = links.filter(({ name, master }) => master === this.index && /^veth/.test(name));
      if (ends.length <= running) return;
    }
    log.warn("interfaces of nobody known are on the bridge", { bridge: this.plan.bridge });
  }

  /** Takes addresses: those that are asked for, or free ones. Throws Faults in Docker's words; nothing is taken then. */
  private addressesFor({ address, address6 }: EndWish): { address: string; address6?: string } {
    const four = take(this.pool, address);
    if (this.pool6 === undefined) return { address: four };
    try {
      return { address: four, address6: take(this.pool6, address6) };
    } catch (error) {
      this.pool.release(four);
      throw error;
    }
  }

  /** An endpoint with its addresses, of which there is no interface yet. Throws Faults in Docker's words; nothing is taken then. */
  reserve(wish: EndWish): EndpointRecord {
    return this.recordOf(this.addressesFor(wish), wish);
  }

  /** Gives a namespace an end on this network. Throws Faults in Docker's words; nothing is left then. */
  async connect(
    netns: Handle,
    wish: EndWish,
    index?: number,
    more: WiringOptions = {},
  ): Promise<EndpointRecord> {
    const record = this.reserve(wish);
    try {
      await this.wire(netns, record, wish, index, more);
      return record;
    } catch (error) {
      this.release(record);
      throw error;
    }
  }

  /**
   * Makes the interface of an endpoint; nothing is left of one that cannot be. In a new namespace the kernel numbers interfaces
   * one after the other, so that all can be said at once; `index`: the next number there.
   */
  async wire(
    netns: Handle,
    record: EndpointRecord,
    wish: EndWish,
    index?: number,
    more: WiringOptions = {},
  ): Promise<void> {
    const name = `veth${hex(4).slice(0, 7)}`;
    const settings = this.sysctls(netns, record);
    const inside = (at: number) =>
      this.channel.send(netns, this.inside(record, wish, at, more.fresh === true));
    const outside = this.channel.send(0, this.outside(netns, name, record, index ?? 0));
    try {
      await Promise.all([
        ...settings,
        outside,
        index === undefined
          ? outside.then(async () => inside(await this.indexOf(netns, wish.interface)))
          : inside(index),
        more.netfilter && this.channel.send(netns, more.netfilter, NETLINK_NETFILTER),
      ]);
    } catch (error) {
      // In a namespace that lives on nobody else would take it away.
      await this.channel.send(0, [deleteLinkNamed(name)]).catch(() => {});
      throw error;
    }
  }

  private async indexOf(netns: Handle, name: string): Promise<number> {
    return linksOf(await this.channel.send(netns, [getLink(name)]))[0]?.index ?? 0;
  }

  /** What an interface of a namespace is born with. */
  private sysctls(netns: Handle, { address6 }: EndpointRecord): Promise<void>[] {
    const set = (name: string, value: string) =>
      this.channel.kernel.sysctl(netns, `net/ipv6/conf/default/${name}`, value).catch(() => {});
    if (address6 === undefined) return [set("disable_ipv6", "1")];
    return [set("disable_ipv6", "0"), set("accept_ra", "0")];
  }

  private recordOf(
    { address, address6 }: { address: string; address6?: string },
    wish: EndWish,
  ): EndpointRecord {
    const { id, ipv4, ipv6, internal } = this.plan;
    return {
      endpointId: hex(32),
      ...(id === "" ? {} : { network: id }),
      interface: wish.interface,
      address,
      prefix: ipv4.subnet.prefix,
      gateway: internal ? "" : ipv4.gateway,
      ...(ipv6 === undefined || address6 === undefined
        ? {}
        : {
            address6,
            prefix6: ipv6.subnet.prefix,
            gateway6: internal ? "" : ipv6.gateway,
          }),
      mac: wish.mac ?? macOf(address),
      ports: [],
    };
  }

  private outside(
    netns: Handle,
    name: string,
    { interface: inside = "eth0", mac }: EndpointRecord,
    index: number,
  ): NetlinkRequest[] {
    const peer = { name: inside, index, mac, netns };
    return [
      newVeth({ name, bridgeIndex: this.index, mtu: this.plan.mtu, peer }),
      setBridgePort(name, { hairpin: true, isolated: !this.plan.icc }),
    ];
  }

  private inside(
    record: EndpointRecord,
    { leads, linkLocal = [] }: EndWish,
    index: number,
    fresh: boolean,
  ): NetlinkRequest[] {
    const { address, prefix, address6, prefix6 = 64, gateway, gateway6 } = record;
    return [
      ...(fresh ? [setUp(LOOPBACK)] : []),
      newAddress(index, address, prefix),
      ...(address6 === undefined ? [] : [newAddress(index, address6, prefix6)]),
      ...linkLocal.map((one) => newAddress(index, one, LINK_LOCAL_PREFIX)),
      setUp(index),
      ...(leads && gateway !== "" ? [setDefaultRoute(gateway, index)] : []),
      ...(leads && gateway6 ? [setDefaultRoute(gateway6, index)] : []),
    ];
  }

  /** Whether anybody has an address on it. */
  get inUse(): boolean {
    return this.pool.inUse;
  }

  /** Whether an address could be had by whoever asks for it. */
  covers(address: string): boolean {
    return this.pool.covers(address) || this.pool6?.covers(address) === true;
  }

  /** Gives an endpoint's addresses back. */
  release({ address, address6 }: EndpointRecord): void {
    this.pool.release(address);
    if (address6 !== undefined) this.pool6?.release(address6);
  }
}

function take(pool: AddressPool, wanted: string | undefined): string {
  if (wanted === undefined) return pool.allocate();
  if (!pool.claim(wanted)) throw fault("conflict", "address-in-use", `Address already in use`);
  return wanted;
}
