/**
 * All networks of a daemon: the default bridge and users' own. What is stored is in networks' records and endpoints' records;
 * bridges and rules on the host follow from those at every start.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Kernel } from "../kernel/index.ts";
import { formatSubnet, parsePrefixed } from "./addresses.ts";
import { Bridge } from "./bridge.ts";
import { NetlinkChannel } from "./channel.ts";
import {
  type CreationHost,
  driverOf,
  interfaceFor,
  type NetworkInput,
  networkRecord,
  type TakenSubnet,
} from "./creation.ts";
import { type DefaultNetworkOptions, defaultPlan, routesTo } from "./default-bridge.ts";
import type { OpenedPort } from "./firewall.ts";
import type { Firewall } from "./firewall-backend.ts";
import {
  type FirewallBackend,
  type FirewallKind,
  type FirewallPolicy,
  firewallOf,
  removeOther,
} from "./firewall-choice.ts";
import { type NamespaceKind, Namespaces } from "./namespaces.ts";
import type { OuterRoute } from "./outer-routes.ts";
import { isParentDriver } from "./parent-options.ts";
import { segmentOf, usesOfParents } from "./plans.ts";
import { Publisher } from "./publish.ts";
import type { NetworkRecord } from "./record.ts";
import { addressesOf, dumpAddresses, getLinkAt, type Link, linksOf } from "./rtnetlink.ts";
import { type EndpointRecord, findLink, type Segment } from "./segment.ts";
import type { NetworkStore } from "./store.ts";
import { localPool, type SubnetPool } from "./subnets.ts";

/** How networks are set up. */
export interface NetworksOptions {
  /** The default bridge, at most 15 characters; also the firewall table's name. */
  readonly bridge: string;
  /** The bridge was named by a user: it may be there already, and is left then. */
  readonly bridgeNamed: boolean;
  readonly defaultNetwork: DefaultNetworkOptions;
  /** The host is to forward packets between interfaces. */
  readonly forward: boolean;
  readonly firewallBackend: FirewallBackend;
  /** Absent: docker. */
  readonly firewallPolicy?: FirewallPolicy;
  /** Only the daemon may change the firewall's table, where the kernel can have it so. */
  readonly firewallLock: boolean;
  readonly mtu: number;
  /** Namespaces to hold ready. */
  readonly warm: number;
  /** The host's namespaces are held ready from the beginning, and not only once somebody has asked for one. */
  readonly ahead: boolean;
  /** What no other daemon has: its networks' IPv6 addresses follow from that. */
  readonly seed: string;
  /** Where users' networks get their subnets. */
  readonly pools: readonly SubnetPool[];
  /** Of which ports of the host one is published where none is named; undefined: the kernel chooses. */
  readonly freePorts?: readonly [number, number] | undefined;
  /** Routes of a network beyond the one that bridges are in, which containers' networks are not to hide. */
  readonly outerRoutes?: (() => readonly OuterRoute[]) | undefined;
}

/** How many bridges are looked after at a time. */
const AT_ONCE = 16;

/** The networks of one daemon. */
export class Networks {
  readonly publisher: Publisher;
  readonly firewall: Firewall;
  readonly namespaces: Namespaces;
  private readonly kind: FirewallKind;
  private readonly records = new Map<string, NetworkRecord>();
  private readonly segments = new Map<string, Segment>();
  /** Changes of the set of networks come one after the other. */
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly channel: NetlinkChannel,
    private readonly options: NetworksOptions,
    private readonly store: NetworkStore,
    /** Undefined: there is none. */
    readonly defaultBridge: Bridge | undefined,
  ) {
    const { bridge: name, firewallLock: lock, firewallBackend: backend } = options;
    this.kind = { backend, policy: options.firewallPolicy ?? "docker", name, lock };
    this.firewall = firewallOf(channel, this.kind, () => ({
      networks: this.everySegment().flatMap((segment) => segment.rules ?? []),
      ports: this.publisher.all(),
      opened: this.publisher.opened(),
    }));
    this.publisher = new Publisher(channel, this.firewall, options.freePorts);
    this.namespaces = new Namespaces(channel, defaultBridge, options.warm);
  }

  /**
   * Makes or finds the bridges, and puts the firewall's table in place with the ports of containers that run. Throws a Fault
   * "failed" that names the route when the default bridge's subnet is taken; a user's network that cannot be is told of in the log.
   */
  static async open(
    kernel: Kernel,
    options: NetworksOptions,
    store: NetworkStore,
    running: readonly EndpointRecord[],
  ): Promise<Networks> {
    const channel = new NetlinkChannel(kernel);
    const on = (id: string) => running.filter(({ network = "" }) => network === id);
    const networks = new Networks(
      channel,
      options,
      store,
      await defaultBridgeOf(channel, options, store, on("")[0]),
    );
    try {
      await networks.restore(on, running);
    } catch (error) {
      await networks.close(on("").length === 0);
      throw error;
    }
    networks.fill("default");
    networks.fill("isolated");
    if (networks.records.size > 0) networks.fill("connectable");
    return networks;
  }

  private fill(kind: NamespaceKind): void {
    if (this.options.ahead) this.namespaces.fill(kind);
  }

  private async restore(
    on: (id: string) => readonly EndpointRecord[],
    running: readonly EndpointRecord[],
  ): Promise<void> {
    if (this.options.forward) await this.forwardPackets();
    await this.defaultBridge?.up(on(""));
    for (const { record, ready } of this.store.all()) {
      if (ready) this.records.set(record.id, record);
      else await this.finishRemoval(record);
    }
    const all = this.all().filter(({ template }) => template === undefined);
    const several = all.filter(({ driver }) => driver === "bridge");
    // Those on parents may share what they make.
    for (const one of all.filter((record) => !several.includes(record)))
      await this.restoreOne(one, on(one.id));
    for (let at = 0; at < several.length; at += AT_ONCE)
      await Promise.all(
        several.slice(at, at + AT_ONCE).map((one) => this.restoreOne(one, on(one.id))),
      );
    await this.restoreRules(on, running);
  }

  private async restoreRules(
    on: (id: string) => readonly EndpointRecord[],
    running: readonly EndpointRecord[],
  ): Promise<void> {
    const all = this.everySegment();
    for (const endpoint of running) {
      const { address, address6, ports } = endpoint;
      const led = ports.map((port) => ({ ...port, address, address6 }));
      this.publisher.adopt(led, this.openedOf(endpoint));
    }
    await this.firewall.open();
    await removeOther(this.channel, this.kind);
    for (const segment of all) {
      const count = on(segment.plan.id).length;
      if (count > 0 && segment instanceof Bridge) await segment.othersGone(count);
    }
  }

  private everySegment(): Segment[] {
    const own = this.defaultBridge === undefined ? [] : [this.defaultBridge];
    return [...own, ...this.segments.values()];
  }

  private async forwardPackets(): Promise<void> {
    const { kernel } = this.channel;
    await kernel.sysctl(0, "net/ipv4/ip_forward", "1");
  }

  /** One network that cannot be must not keep the daemon from its work: whoever starts a container on it is told why. */
  private async restoreOne(
    record: NetworkRecord,
    running: readonly EndpointRecord[],
  ): Promise<void> {
    const segment = segmentOf(this.channel, record, this.options);
    this.segments.set(record.id, segment);
    try {
      await segment.up(running);
    } catch (error) {
      log.error("a network cannot be set up", { name: record.name, error: messageOf(error) });
      segment.postpone();
    }
  }

  /** What a daemon has left that died while it made or removed a network. */
  private async finishRemoval(record: NetworkRecord): Promise<void> {
    try {
      if (record.template === undefined && !this.parentUsed(record))
        await segmentOf(this.channel, record, this.options).down();
      this.store.forget(record.id);
    } catch (error) {
      log.warn("remove the rest of a network", { name: record.name, error: messageOf(error) });
    }
  }

  /** Whether another network is on the same interface of the host. */
  private parentUsed({ id, bridge }: NetworkRecord): boolean {
    return this.store
      .all()
      .some(({ record, ready }) => ready && record.id !== id && record.bridge === bridge);
  }

  /** Users' networks, the oldest first. */
  all(): NetworkRecord[] {
    return [...this.records.values()];
  }

  /** A user's network by its whole id. */
  find(id: string): NetworkRecord | undefined {
    return this.records.get(id);
  }

  /** Where ports are published on a network that name no address; empty: everywhere. */
  hostBinding(id: string): string {
    if (id === "") return this.options.defaultNetwork.hostBinding ?? "";
    return this.find(id)?.options["com.docker.network.bridge.host_binding_ipv4"] ?? "";
  }

  /** What containers are connected to, by the network's whole id; "" is the default one's. */
  segment(id: string): Segment | undefined {
    return id === "" ? this.defaultBridge : this.segments.get(id);
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.turn.then(work, work);
    this.turn = next.catch(() => {});
    return next;
  }

  /** Makes a network. Throws Faults in Docker's words; nothing is left then. */
  create(input: NetworkInput): Promise<NetworkRecord> {
    return this.inTurn(() => this.createNow(input));
  }

  private async createNow(asked: NetworkInput): Promise<NetworkRecord> {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
    const input = this.configured(asked);
    const name = input.Name ?? "";
    if (this.all().some((one) => one.name === name))
      throw fault("conflict", "network-exists", `network with name ${name} already exists`);
    if (asked.ConfigOnly) return this.keep(configOnly(id, asked));
    const record = networkRecord(id, input, await this.hostFor(id, input));
    const segment = segmentOf(this.channel, record, this.options);
    this.store.begin(record);
    try {
      await segment.up([]);
      this.segments.set(id, segment);
      if (segment.rules !== undefined) await this.firewall.add(segment.rules);
    } catch (error) {
      this.segments.delete(id);
      await this.finishRemoval(record);
      throw error;
    }
    return this.keep(record, true);
  }

  private keep(record: NetworkRecord, begun = false): NetworkRecord {
    if (!begun) this.store.begin(record);
    this.store.setReady(record.id, true);
    this.records.set(record.id, record);
    this.fill("connectable");
    return record;
  }

  /** What a network is asked to be, by itself or by the configuration that it names. */
  private configured(input: NetworkInput): NetworkInput {
    const from = input.ConfigFrom?.Network ?? "";
    if (from === "") return input;
    const { template } = this.all().find(({ name, id }) => name === from || id === from) ?? {};
    if (template === undefined)
      throw fault("not-found", "no-such-network", `configuration network "${from}" does not exist`);
    if (
      input.ConfigOnly ||
      input.IPAM?.Config?.length ||
      Object.keys(input.Options ?? {}).length > 0
    )
      throw fault(
        "forbidden",
        "network-config-from",
        "user specified configurations are not supported if the network depends on a configuration network",
      );
    const { IPAM, Options, EnableIPv4, EnableIPv6, Labels } = template;
    return {
      ...input,
      IPAM,
      Options,
      EnableIPv4,
      EnableIPv6,
      Labels: { ...Labels, ...input.Labels },
    };
  }

  private async hostFor(id: string, input: NetworkInput): Promise<CreationHost> {
    const parented = isParentDriver(driverOf(input));
    const name = interfaceFor(id, input);
    const link = await findLink(this.channel, name);
    if (!parented) this.checkBridge(id, name, link);
    const addresses =
      link === undefined || parented
        ? []
        : addressesOf(await this.channel.send(0, [dumpAddresses(4)]), link.index);
    const first = addresses[0];
    const address = first === undefined ? "" : `${first.address}/${first.prefix}`;
    const own = parented && link?.alias.startsWith(`berth ${this.options.bridge} `) === true;
    return {
      pools: this.options.pools,
      pools6: [localPool(this.options.seed)],
      taken: await this.taken(),
      existing: link && { address, own },
      parents: usesOfParents(this.all()),
    };
  }

  /** Throws Faults in Docker's words for a bridge that is another network's, or somebody else's and none. */
  private checkBridge(id: string, bridge: string, link: Link | undefined): void {
    const other = this.all().find((one) => one.driver === "bridge" && one.bridge === bridge);
    if (other !== undefined || bridge === this.options.bridge)
      throw fault(
        "forbidden",
        "bridge-name",
        `cannot create network ${id} (${bridge}): conflicts with network ${other?.id ?? "bridge"} (${bridge}): networks have same bridge name`,
      );
    if (link !== undefined && link.kind !== "bridge")
      throw fault("forbidden", "bridge-name", `existing interface ${bridge} is not a bridge`);
  }

  /** Subnets that no new network may touch: those of networks, and where the host has a way to. */
  private async taken(): Promise<TakenSubnet[]> {
    const own = new Set(
      this.everySegment().flatMap((one) => (one instanceof Bridge ? [one.interfaceIndex] : [])),
    );
    const routes = await routesTo(this.channel, own);
    const links = await this.linksAt(routes.map(({ index }) => index));
    const nameOf = (index: number) => links.find((link) => link.index === index)?.name ?? "";
    return [
      ...(this.defaultBridge?.plan.subnets ?? []).map(({ subnet }) => {
        return { subnet, by: "network bridge", network: true };
      }),
      ...this.all().flatMap(({ id, name }) =>
        (this.segments.get(id)?.plan.subnets ?? []).map(({ subnet }) => {
          return { subnet, by: `network ${name}`, network: true };
        }),
      ),
      ...[
        ...routes.map(({ subnet, index }) => ({ subnet, by: nameOf(index) })),
        ...(this.options.outerRoutes?.() ?? []),
      ].map(({ subnet, by }) => ({
        subnet,
        by: `the host's route to ${formatSubnet(subnet)} by ${by}`,
        network: false,
      })),
    ];
  }

  /** Links by their numbers, of which some may have gone. The host may have a thousand others: not all of them are listed. */
  private async linksAt(indexes: readonly number[]): Promise<Link[]> {
    const asked = [...new Set(indexes)].map((index) =>
      this.channel.send(0, [getLinkAt(index)]).then(linksOf, () => []),
    );
    return (await Promise.all(asked)).flat();
  }

  /** Removes a network that nobody is on. Throws a Fault "not-found" when it has gone. */
  remove(id: string, check: () => void): Promise<void> {
    return this.inTurn(async () => {
      const record = this.records.get(id);
      if (record === undefined)
        throw fault("not-found", "no-such-network", `network ${id} not found`);
      check();
      const segment = this.segments.get(id);
      if (segment?.inUse)
        throw fault(
          "forbidden",
          "network-in-use",
          `error while removing network: network ${record.name} id ${id} has active endpoints`,
        );
      this.store.setReady(id, false);
      this.records.delete(id);
      this.segments.delete(id);
      if (segment?.rules !== undefined)
        await this.firewall
          .remove(segment.rules)
          .catch((error) =>
            log.warn("take a network out of the firewall", { error: messageOf(error) }),
          );
      await this.finishRemoval(record);
    });
  }

  private openedOf(endpoint: EndpointRecord): OpenedPort[] {
    return this.segment(endpoint.network ?? "")?.opened(endpoint) ?? [];
  }

  /** Lets an endpoint's ports be reached at its own addresses, where its network is routed, or no longer. */
  async openPorts(endpoint: EndpointRecord, open: boolean): Promise<void> {
    await this.publisher.open(this.openedOf(endpoint), open);
  }

  /** Lets those ports be reached at an endpoint's own addresses that it opens now, in place of those that it did before. */
  async reopenPorts(before: EndpointRecord, now: EndpointRecord): Promise<void> {
    const open = this.openedOf(now);
    const isOpen = ({ address, protocol, port }: OpenedPort) =>
      open.some((one) => one.address === address && one.protocol === protocol && one.port === port);
    await this.publisher.open(open, true);
    await this.publisher.open(
      this.openedOf(before).filter((port) => !isOpen(port)),
      false,
    );
  }

  /** Gives back what an endpoint has: its ports and addresses. The dying namespace takes the interfaces along. */
  async release(endpoint: EndpointRecord): Promise<void> {
    await this.publisher
      .republish(endpoint, endpoint.ports, [])
      .catch((error) => log.debug("withdraw ports", { error: messageOf(error) }));
    await this.openPorts(endpoint, false).catch((error) =>
      log.debug("close ports", { error: messageOf(error) }),
    );
    this.segment(endpoint.network ?? "")?.release(endpoint);
  }

  /** Lets go of prepared namespaces; with `remove`, takes bridges and firewall table away. */
  async close(remove: boolean): Promise<void> {
    this.firewall.end();
    await this.turn;
    await this.namespaces.close();
    if (!remove) return;
    for (const segment of this.everySegment())
      await segment
        .down()
        .catch((error) => log.warn("remove a network's interface", { error: messageOf(error) }));
    await this.firewall.drop().catch(() => {});
  }
}

/** A configuration for others. Its subnets are checked when a network is made from it. */
function configOnly(id: string, template: NetworkInput): NetworkRecord {
  const { Name = "", Options = {}, Labels = {}, IPAM } = template;
  return {
    ...{ id, name: Name, created: new Date().toISOString(), driver: "null" },
    ...{ ipv6: template.EnableIPv6 === true, internal: template.Internal === true },
    ...{ attachable: false, options: Options, labels: Labels, bridge: "", foreign: false },
    ipam: { driver: "default", options: IPAM?.Options ?? {}, config: [], chosen: false },
    configFrom: "",
    template,
  };
}

/** The default network's bridge, as the daemon's flags have it. */
async function defaultBridgeOf(
  channel: NetlinkChannel,
  options: NetworksOptions,
  store: NetworkStore,
  first: EndpointRecord | undefined,
): Promise<Bridge | undefined> {
  if (options.defaultNetwork.none) return undefined;
  const users = store
    .all()
    .flatMap(({ record }) => record.ipam.config)
    .flatMap(({ subnet }) => parsePrefixed(subnet)?.subnet ?? []);
  return new Bridge(channel, await defaultPlan(channel, { ...options, users, first }));
}
