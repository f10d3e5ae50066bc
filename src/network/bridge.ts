/**
 * One bridge network: an interface on the host, and the ends of containers on it.
 */
import { fault } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Handle } from "../kernel/index.ts";
import { type Family, formatSubnet, macOf } from "./addresses.ts";
import type { NetworkRules, OpenedPort } from "./firewall.ts";
import type { NetlinkRequest } from "./netlink.ts";
import type { GatewayMode } from "./options.ts";
import {
  addressesOf,
  deleteLink,
  deleteLinkNamed,
  dumpAddresses,
  dumpLinks,
  type Link,
  linksOf,
  newAddress,
  newBridge,
  newVeth,
  setAlias,
  setBridgePort,
  setUp,
} from "./rtnetlink.ts";
import {
  type Addressing,
  type EndLink,
  type EndpointRecord,
  findLink,
  hex,
  Segment,
  type SegmentPlan,
} from "./segment.ts";

const FAMILIES: readonly Family[] = [4, 6];
/** How long interfaces of an earlier daemon are waited for. */
const OTHERS_MS = 2000;

/** What a bridge network is to be. */
export interface BridgePlan extends SegmentPlan {
  /** The interface's name. */
  readonly bridge: string;
  readonly icc: boolean;
  readonly masquerade: boolean;
  readonly sourceAddress?: string | undefined;
  readonly sourceAddress6?: string | undefined;
  readonly mode4: GatewayMode;
  readonly mode6: GatewayMode;
  /** The bridge gets no address of IPv4. */
  readonly inhibit4: boolean;
  readonly trusted: readonly string[];
  /** The interface was there before, and is left as it is. */
  readonly foreign: boolean;
  /** Nobody else calls an interface so: whatever has this name was made by a daemon that had no time to leave its mark. */
  readonly ownName: boolean;
}

/** One bridge network. */
export class Bridge extends Segment<BridgePlan> {
  private index = 0;

  /** Not of a family that is routed: there ports are opened. A family that it has not is served by the other. */
  get publishes(): readonly Family[] {
    const modes = { 4: this.plan.mode4, 6: this.plan.mode6 };
    const led = FAMILIES.filter((family) => this.addressing(family) && modes[family] !== "routed");
    if (led.length === 0) return [];
    return FAMILIES.filter((family) => led.includes(family) || !this.addressing(family));
  }

  /** Its interface's number; 0 before it is up. */
  get interfaceIndex(): number {
    return this.index;
  }

  private addressing(family: 4 | 6): Addressing | undefined {
    return this.plan.subnets.find(({ subnet }) => subnet.family === family);
  }

  private cidrOf(family: 4 | 6): string | undefined {
    const own = this.addressing(family);
    return own && formatSubnet(own.subnet);
  }

  /** The host's address on it. */
  get gateway(): string {
    return this.addressing(4)?.gateway ?? "";
  }

  /** "172.17.0.0/16". */
  get cidr(): string {
    return this.cidrOf(4) ?? "";
  }

  /** What the firewall has to know. */
  get rules(): NetworkRules {
    const { bridge, internal, icc, masquerade, sourceAddress, sourceAddress6 } = this.plan;
    const { mode4, mode6, trusted } = this.plan;
    const [subnet, subnet6] = [this.cidrOf(4), this.cidrOf(6)];
    const modes = { mode4, mode6, trusted, sourceAddress6 };
    return { ...modes, bridge, subnet, subnet6, internal, icc, masquerade, sourceAddress };
  }

  async up(running: readonly EndpointRecord[]): Promise<void> {
    this.claimFor(running);
    const { bridge, foreign, alias, ownName } = this.plan;
    const existing = await findLink(this.channel, bridge);
    const own = ownName || existing?.alias === alias;
    if (existing !== undefined && (existing.kind !== "bridge" || !(foreign || own)))
      throw fault(
        "conflict",
        "bridge-name",
        `the interface ${bridge} is there already and is not berth's: network ${this.plan.network} cannot have it`,
      );
    if (foreign) await this.adopt(existing);
    else if (existing !== undefined && (running.length > 0 || this.lasts(existing)))
      await this.goOn(existing);
    else await this.make(existing);
    await this.settings();
  }

  /** A user's network stays what it is: to make hundreds of bridges anew would hold the daemon up for long. */
  private lasts({ alias }: Link): boolean {
    return this.plan.id !== "" && alias === this.plan.alias;
  }

  /** It gets what it has not yet. */
  private async goOn(existing: Link): Promise<void> {
    this.index = existing.index;
    await this.allowSix();
    await this.addMissing();
  }

  private async allowSix(): Promise<void> {
    if (this.ownSubnets().some(({ subnet }) => subnet.family === 6))
      await this.channel.kernel.sysctl(0, `net/ipv6/conf/${this.plan.bridge}/disable_ipv6`, "0");
  }

  private async make(existing: Link | undefined): Promise<void> {
    const { bridge, alias, subnets } = this.plan;
    if (existing !== undefined) await this.channel.send(0, [deleteLink(existing.index)]);
    const mac = macOf(subnets.map(({ gateway }) => gateway).find((one) => one !== "") ?? "");
    await this.channel.send(0, [newBridge(bridge, mac)]);
    const made = await findLink(this.channel, bridge);
    if (made === undefined) throw new Error(`the bridge ${bridge} has gone at once`);
    this.index = made.index;
    await this.channel.send(0, [setAlias(made.index, alias)]);
    await this.allowSix();
    await this.channel.send(0, this.ownAddresses());
  }

  /** The subnets of which the host has the gateway's address. */
  private ownSubnets(): readonly Addressing[] {
    return this.plan.subnets.filter(
      ({ gateway, subnet }) => gateway !== "" && !(subnet.family === 4 && this.plan.inhibit4),
    );
  }

  private ownAddresses(): NetlinkRequest[] {
    return this.ownSubnets().map(({ gateway, subnet }) =>
      newAddress(this.index, gateway, subnet.prefix),
    );
  }

  /** The ports of an end that are reached at its own addresses. */
  override opened({ address, address6 = "", opens = [] }: EndpointRecord): OpenedPort[] {
    const { mode4, mode6 } = this.plan;
    const routed = [
      ...(mode4 === "routed" ? [address] : []),
      ...(mode6 === "routed" ? [address6] : []),
    ];
    return routed
      .filter((one) => one !== "")
      .flatMap((one) => opens.map((port) => ({ address: one, ...port })));
  }

  /** Somebody else's bridge gets the gateways' addresses that it has not; nothing else of it is changed. */
  private async adopt(existing: Link | undefined): Promise<void> {
    const { bridge } = this.plan;
    if (existing === undefined)
      throw fault(
        "failed",
        "bridge-missing",
        `network ${this.plan.network} is on the bridge ${bridge}, which somebody else has made, and which is not there any more`,
      );
    this.index = existing.index;
    await this.channel.send(0, [setUp(existing.index)]);
    await this.addMissing();
  }

  private async addMissing(): Promise<void> {
    for (const { gateway, subnet } of this.ownSubnets()) {
      const dumped = await this.channel.send(0, [dumpAddresses(subnet.family)]);
      if (addressesOf(dumped, this.index).some(({ address }) => address === gateway)) continue;
      await this.channel.send(0, [newAddress(this.index, gateway, subnet.prefix)]);
    }
  }

  private async settings(): Promise<void> {
    const { bridge } = this.plan;
    const { kernel } = this.channel;
    // A container's forged router advertisement must not change the host's routes (CVE-2020-13401).
    await kernel.sysctl(0, `net/ipv6/conf/${bridge}/accept_ra`, "0").catch(() => {});
    await kernel.sysctl(0, `net/ipv4/conf/${bridge}/route_localnet`, "1");
    if (this.addressing(6) !== undefined)
      await kernel.sysctl(0, "net/ipv6/conf/all/forwarding", "1");
  }

  /** Takes the interface away; one that somebody else has made stays. */
  async down(): Promise<void> {
    const { bridge, foreign, alias, ownName } = this.plan;
    if (foreign) return;
    const existing = await findLink(this.channel, bridge);
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

  protected linkFor(
    netns: Handle,
    { interface: inside = "eth0", mac }: EndpointRecord,
    index: number,
  ): EndLink {
    const name = `veth${hex(4).slice(0, 7)}`;
    const peer = { name: inside, index, mac, netns };
    return {
      make: [
        newVeth({ name, bridgeIndex: this.index, mtu: this.plan.mtu, peer }),
        setBridgePort(name, { hairpin: true, isolated: !this.plan.icc }),
      ],
      unmake: [0, [deleteLinkNamed(name)]],
    };
  }
}
