/**
 * One network with addresses: its subnets, what of them is taken, and the ends of containers on it. What the host has of it, and
 * what an end is made of, is the driver's: bridge.ts and parent.ts.
 */
import { fault } from "../base/errors.ts";
import { type Handle, KernelError } from "../kernel/index.ts";
import { contains, type Family, macOf, parseAddress, type Subnet } from "./addresses.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import type { NetworkRules, OpenedPort, PublishedPort } from "./firewall.ts";
import type { NetlinkRequest } from "./netlink.ts";
import { AddressPool } from "./pool.ts";
import {
  getLink,
  type Link,
  linksOf,
  newAddress,
  renameLink,
  setDefaultRoute,
  setUp,
} from "./rtnetlink.ts";

/** The index of lo in every namespace. */
const LOOPBACK = 1;
/** RFC 3927. */
const LINK_LOCAL_PREFIX = 16;
const EEXIST = 17;
const ENODEV = 19;
/** How long an interface that is about to go may be in the way of its successor. */
const RETRY_MS = 2000;

/** A network's subnet and what of it is spoken for. */
export interface Addressing {
  readonly subnet: Subnet;
  /** Empty: nobody's address leads out. */
  readonly gateway: string;
  readonly range?: Subnet | undefined;
  /** Addresses that no container is to have, besides the gateway. */
  readonly reserved: readonly string[];
  /** Where containers' way out leads, if not to the gateway. */
  readonly leads?: string | undefined;
}

/** What a network is to be, whatever its driver. */
export interface SegmentPlan {
  /** The network's id; empty for the default one. */
  readonly id: string;
  /** As messages call it. */
  readonly network: string;
  /** By this text an interface is known again. */
  readonly alias: string;
  /** 0: the driver's own choice. */
  readonly mtu: number;
  readonly subnets: readonly Addressing[];
  /** Nothing leads out. */
  readonly internal: boolean;
}

/** An endpoint as it is stored: enough to take it down after a crash. */
export interface EndpointRecord {
  readonly endpointId: string;
  /** The network's id; absent: the default bridge's. */
  readonly network?: string;
  /** What the interface is called in the container; absent: eth0. */
  readonly interface?: string;
  /** Empty: it has none of IPv4. */
  readonly address: string;
  readonly prefix: number;
  /** Empty: it leads nowhere. */
  readonly gateway: string;
  /** It leads out by its interface, without a gateway. */
  readonly direct?: true;
  readonly address6?: string;
  readonly prefix6?: number;
  readonly gateway6?: string;
  /** Empty: that of the host's interface. */
  readonly mac: string;
  /** Its network has no ports to publish or to show. */
  readonly portless?: true;
  /** Ports that are reached at its own address, where its network is routed. */
  readonly opens?: readonly Omit<OpenedPort, "address">[];
  readonly ports: readonly PublishedPort[];
}

/** An end that a container is to have on a network. */
export interface EndWish {
  /** "eth0". */
  readonly interface: string;
  readonly address?: string | undefined;
  readonly address6?: string | undefined;
  readonly mac?: string | undefined;
  /** Ports that are to be reached at its own address, where its network is routed. */
  readonly opens?: readonly Omit<OpenedPort, "address">[] | undefined;
  /** More addresses, which are its own affair. */
  readonly linkLocal?: readonly string[] | undefined;
  /** The container's way out leads by this network. */
  readonly leads: boolean;
  /** That of IPv6; absent: as the other. */
  readonly leads6?: boolean;
}

/** What is done beside the interface. */
export interface WiringOptions {
  /** For the namespace's own firewall. */
  readonly netfilter?: readonly NetlinkRequest[];
  /** The namespace is new, and its loopback down. */
  readonly fresh?: boolean;
}

/** An end's interface, as a driver has it made. */
export interface EndLink {
  /** What it is called at first, and what index it has; undefined: as it is to be, and the index that it is to have. */
  readonly born?: string;
  /** Said in the host's namespace. */
  readonly make: readonly NetlinkRequest[];
  /** Takes it away again, in that namespace. */
  readonly unmake: readonly [netns: Handle, requests: readonly NetlinkRequest[]];
}

/** Random hexadecimal digits. */
export function hex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

/** An interface of a namespace, if it is there. */
export async function findLink(
  channel: NetlinkChannel,
  name: string,
  netns: Handle = 0,
): Promise<Link | undefined> {
  try {
    return linksOf(await channel.send(netns, [getLink(name)]))[0];
  } catch (error) {
    if (error instanceof KernelError && error.errno === ENODEV) return undefined;
    throw error;
  }
}

interface Taken {
  readonly address: string;
  readonly addressing: Addressing;
}

/** One network. */
export abstract class Segment<Plan extends SegmentPlan = SegmentPlan> {
  private readonly pools: readonly (readonly [Addressing, AddressPool])[];
  private postponed = false;
  private attempt: Promise<void> | undefined;

  constructor(
    protected readonly channel: NetlinkChannel,
    readonly plan: Plan,
  ) {
    this.pools = plan.subnets.map((one) => {
      const reserved = one.gateway === "" ? one.reserved : [one.gateway, ...one.reserved];
      const { subnet, range } = one;
      const network = plan.id === "" ? plan.network : `${plan.network} (${plan.id})`;
      return [one, new AddressPool(subnet, { network, range, reserved })] as const;
    });
  }

  /** The families of the host's addresses by which ports of its containers are published that name no address; none: they are not published. */
  abstract get publishes(): readonly Family[];

  /** What the firewall has to know; undefined: nothing. */
  abstract get rules(): NetworkRules | undefined;

  /**
   * Makes what the host has of it, or takes what is there: as it is when endpoints are on it. Throws a Fault "conflict" when
   * somebody else has something of that name.
   */
  abstract up(running: readonly EndpointRecord[]): Promise<void>;

  /** It could not be set up: that is tried again by whoever is to have an end on it, and is told why not. */
  postpone(): void {
    this.postponed = true;
  }

  /** Sets up what could not be before. */
  private async settled(): Promise<void> {
    if (!this.postponed) return;
    this.attempt ??= this.up([])
      .then(() => {
        this.postponed = false;
      })
      .finally(() => {
        this.attempt = undefined;
      });
    await this.attempt;
  }

  /** Takes it away; what somebody else has made stays. */
  abstract down(): Promise<void>;

  /** The ports of an end that are reached at its own addresses. */
  opened(_record: EndpointRecord): OpenedPort[] {
    return [];
  }

  protected abstract linkFor(
    netns: Handle,
    record: EndpointRecord,
    index: number,
  ): EndLink | Promise<EndLink>;

  /** Whether making an interface may be tried again: another, which is about to go, was in its way. */
  protected mayRetry(_error: unknown): boolean {
    return false;
  }

  protected claimFor(running: readonly EndpointRecord[]): void {
    for (const { address, address6 } of running) {
      if (address !== "") this.claim(address);
      if (address6 !== undefined) this.claim(address6);
    }
  }

  private poolsOf(family: Family) {
    return this.pools.filter(([{ subnet }]) => subnet.family === family);
  }

  private claim(address: string): Addressing | undefined {
    return this.pools.find(([, pool]) => pool.claim(address))?.[0];
  }

  /** Takes the address that is asked for, or a free one. Throws Faults in Docker's words. */
  private take(family: Family, wanted: string | undefined): Taken | undefined {
    const pools = this.poolsOf(family);
    if (wanted !== undefined) {
      const addressing = this.claim(wanted);
      if (addressing !== undefined) return { address: wanted, addressing };
      throw fault("conflict", "address-in-use", "Address already in use");
    }
    for (const [at, [addressing, pool]] of pools.entries())
      try {
        return { address: pool.allocate(), addressing };
      } catch (error) {
        if (at === pools.length - 1) throw error;
      }
    return undefined;
  }

  /** An endpoint with its addresses, of which there is no interface yet. Throws Faults in Docker's words; nothing is taken then. */
  reserve(wish: EndWish): EndpointRecord {
    const four = this.take(4, wish.address);
    try {
      return this.recordOf(four, this.take(6, wish.address6), wish);
    } catch (error) {
      if (four !== undefined) this.giveBack(four.address);
      throw error;
    }
  }

  /** The Ethernet address of an end; "": it has none of its own. */
  protected macFor(wanted: string | undefined, address: string): string {
    return wanted ?? macOf(address);
  }

  private recordOf(four: Taken | undefined, six: Taken | undefined, wish: EndWish): EndpointRecord {
    const { id, internal } = this.plan;
    const gatewayOf = (taken: Taken | undefined) =>
      internal || taken === undefined ? "" : (taken.addressing.leads ?? taken.addressing.gateway);
    return {
      endpointId: hex(32),
      ...(id === "" ? {} : { network: id }),
      interface: wish.interface,
      address: four?.address ?? "",
      prefix: four?.addressing.subnet.prefix ?? 0,
      gateway: gatewayOf(four),
      ...(six === undefined
        ? {}
        : {
            address6: six.address,
            prefix6: six.addressing.subnet.prefix,
            gateway6: gatewayOf(six),
          }),
      ...(wish.opens === undefined || wish.opens.length === 0 ? {} : { opens: wish.opens }),
      mac: this.macFor(wish.mac, four?.address ?? six?.address ?? ""),
      ports: [],
    };
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
    await this.settled();
    const end = Date.now() + RETRY_MS;
    for (;;)
      try {
        return await this.wireOnce(netns, record, wish, index, more);
      } catch (error) {
        const exists = error instanceof KernelError && error.errno === EEXIST;
        if (exists) await this.checkNameFree(netns, wish.interface);
        // An interface of the host's happens to be called as the new one was.
        const may = exists || this.mayRetry(error);
        if (Date.now() > end || !may) throw this.refusal(error);
        await Bun.sleep(5);
      }
  }

  /** Whoever may do so in a container makes interfaces there, too. */
  private async checkNameFree(netns: Handle, name: string): Promise<void> {
    if ((await findLink(this.channel, name, netns)) === undefined) return;
    throw fault(
      "conflict",
      "interface-exists",
      `the container has an interface ${name} already, which is none of berth's: remove it, or name another with --driver-opt com.docker.network.endpoint.ifname=NAME`,
    );
  }

  /** What to say of an interface that cannot be. */
  protected refusal(error: unknown): unknown {
    return error;
  }

  private async wireOnce(
    netns: Handle,
    record: EndpointRecord,
    wish: EndWish,
    index: number | undefined,
    more: WiringOptions,
  ): Promise<void> {
    const { make, unmake, born } = await this.linkFor(netns, record, index ?? 0);
    const settings = this.sysctls(netns, record);
    const inside = (at: number) =>
      this.channel.send(netns, insideOf(record, wish, at, more.fresh === true));
    const outside = this.channel.send(0, make);
    try {
      await Promise.all([
        ...settings,
        outside,
        index === undefined || born !== undefined
          ? outside.then(async () => {
              const at = await this.indexOf(netns, born ?? wish.interface);
              if (born !== undefined)
                await this.channel.send(netns, [renameLink(at, wish.interface)]);
              return inside(at);
            })
          : inside(index),
        more.netfilter && this.channel.send(netns, more.netfilter, NETLINK_NETFILTER),
      ]);
    } catch (error) {
      await outside.catch(() => {});
      // In a namespace that lives on nobody else would take it away.
      for (const request of unmake[1])
        await this.channel.send(unmake[0], [request]).catch(() => {});
      // What came after it has failed for want of it.
      throw await outside.then(
        () => error,
        (first) => first,
      );
    }
  }

  private async indexOf(netns: Handle, name: string): Promise<number> {
    return (await findLink(this.channel, name, netns))?.index ?? 0;
  }

  /** What an interface of a namespace is born with. */
  private sysctls(netns: Handle, { address6 }: EndpointRecord): Promise<void>[] {
    const set = (name: string, value: string) =>
      this.channel.kernel.sysctl(netns, `net/ipv6/conf/default/${name}`, value).catch(() => {});
    if (address6 === undefined) return [set("disable_ipv6", "1")];
    return [set("disable_ipv6", "0"), set("accept_ra", "0")];
  }

  /** Whether anybody has an address on it. */
  get inUse(): boolean {
    return this.pools.some(([, pool]) => pool.inUse);
  }

  /** Whether an address could be had by whoever asks for it. */
  covers(address: string): boolean {
    return this.pools.some(([, pool]) => pool.covers(address));
  }

  private giveBack(address: string): void {
    const parsed = parseAddress(address);
    if (parsed === undefined) return;
    const [, pool] =
      this.pools.find(([{ subnet }]) => contains(subnet, parsed.family, parsed.value)) ?? [];
    pool?.release(address);
  }

  /** Gives an endpoint's addresses back. */
  release({ address, address6 }: EndpointRecord): void {
    for (const one of [address, address6 ?? ""]) this.giveBack(one);
  }
}

function insideOf(
  record: EndpointRecord,
  { leads, leads6 = leads, linkLocal = [] }: EndWish,
  index: number,
  fresh: boolean,
): NetlinkRequest[] {
  const { address, prefix, address6, prefix6 = 64 } = record;
  return [
    ...(fresh ? [setUp(LOOPBACK)] : []),
    ...(address === "" ? [] : [newAddress(index, address, prefix)]),
    ...(address6 === undefined ? [] : [newAddress(index, address6, prefix6)]),
    ...linkLocal.map((one) => newAddress(index, one, LINK_LOCAL_PREFIX)),
    setUp(index),
    ...waysOut(record)
      .filter((way) => (familyOf(way) === 4 ? leads : leads6))
      .map((way) => setDefaultRoute(way, index)),
  ];
}

/** The family of a way out. */
export function familyOf(way: string | Family): Family {
  if (typeof way === "number") return way;
  return way.includes(":") ? 6 : 4;
}

/** Where an endpoint leads out: gateways, or the families of which everything is at its interface. */
export function waysOut({
  address,
  address6,
  gateway,
  gateway6,
  direct,
}: EndpointRecord): (string | Family)[] {
  if (direct)
    return [
      ...(address === "" ? [] : [4 as const]),
      ...(address6 === undefined ? [] : [6 as const]),
    ];
  return [gateway, gateway6 ?? ""].filter((one) => one !== "");
}
