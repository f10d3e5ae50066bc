/**
 * Network namespaces as containers need them at their start, of the host's user namespace or of another, and a stock of the
 * host's.
 */
import { fault } from "../base/errors.ts";
import { Stock } from "../base/stock.ts";
import type { Handle } from "../kernel/index.ts";
import type { Bridge } from "./bridge.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import { resolverRedirect } from "./resolver-redirect.ts";
import { setUp } from "./rtnetlink.ts";
import type { EndpointRecord } from "./segment.ts";

/**
 * isolated: on no network. connectable: for whoever is to be on networks; the resolver is found there. default: that, and on
 * the default bridge at whatever address.
 */
export type NamespaceKind = "isolated" | "connectable" | "default";

/** A namespace, of which nothing but a descriptor of the helper's is left to close. */
export interface PreparedNamespace {
  readonly kind: NamespaceKind;
  readonly netns: Handle;
  /** Its end on the default bridge. */
  readonly endpoint?: EndpointRecord;
}

/** The user namespace that a network namespace is to belong to. */
export interface NamespaceOwner {
  readonly handle: Handle;
  /** One of its own that is ready; whoever takes it takes it out. */
  ready?: PreparedNamespace | undefined;
}

/** How many namespaces without an interface are held ready at most, of each kind. */
const MAX_EMPTY = 4;
const LOOPBACK = 1;

/** How many namespaces of a kind are held ready. */
export function readyCount(kind: NamespaceKind, warm: number): number {
  return kind === "default" ? warm : Math.min(warm, MAX_EMPTY);
}

/** Makes namespaces, and holds some of the host's ready. */
export class Namespaces {
  private readonly stocks: ReadonlyMap<NamespaceKind, Stock<PreparedNamespace>>;

  constructor(
    private readonly channel: NetlinkChannel,
    private readonly defaultBridge: Bridge | undefined,
    warm: number,
  ) {
    const kinds: readonly NamespaceKind[] = ["isolated", "connectable", "default"];
    const stockOf = (kind: NamespaceKind) =>
      new Stock(
        "a network namespace",
        kind === "default" && defaultBridge === undefined ? 0 : readyCount(kind, warm),
        () => this.make(kind),
        (one) => this.discard(one),
      );
    this.stocks = new Map(kinds.map((kind) => [kind, stockOf(kind)]));
  }

  /** Begins to make the host's of a kind that are missing in the stock. */
  fill(kind: NamespaceKind): void {
    this.stocks.get(kind)?.fill();
  }

  /** One of the owner's, or else of the host's; the caller closes it. */
  async take(kind: NamespaceKind, owner: NamespaceOwner | undefined): Promise<PreparedNamespace> {
    if (owner === undefined) return this.stocks.get(kind)?.take() ?? (await this.make(kind));
    const { ready, handle } = owner;
    owner.ready = undefined;
    if (ready?.kind === kind) return ready;
    if (ready !== undefined) await this.discard(ready);
    return this.make(kind, handle);
  }

  /** Makes one that belongs to a user namespace or to the host; nothing is left when this rejects. */
  async make(kind: NamespaceKind, owner?: Handle): Promise<PreparedNamespace> {
    const netns = await this.channel.kernel.newNetns(owner);
    try {
      return { kind, netns, ...(await this.furnish(kind, netns)) };
    } catch (error) {
      await this.channel.kernel.close(netns).catch(() => {});
      throw error;
    }
  }

  private async furnish(
    kind: NamespaceKind,
    netns: Handle,
  ): Promise<Pick<PreparedNamespace, "endpoint">> {
    if (kind === "default") return { endpoint: await this.onDefault(netns) };
    await this.channel.send(netns, [setUp(LOOPBACK)]);
    // The kernel takes longer over that one rule than over the ends.
    if (kind === "connectable") await this.redirectResolver(netns);
    return {};
  }

  private async onDefault(netns: Handle): Promise<EndpointRecord> {
    if (this.defaultBridge === undefined)
      throw fault("not-found", "no-such-network", "network bridge not found");
    const wish = { interface: "eth0", leads: true };
    const more = { fresh: true, netfilter: resolverRedirect() };
    return this.defaultBridge.connect(netns, wish, LOOPBACK + 1, more);
  }

  /** Lets containers of a namespace find the resolver. */
  async redirectResolver(netns: Handle): Promise<void> {
    await this.channel.send(netns, resolverRedirect(), NETLINK_NETFILTER);
  }

  /** Lets go of one that nobody has been given. */
  async discard({ netns, endpoint }: PreparedNamespace): Promise<void> {
    await this.channel.kernel.close(netns).catch(() => {});
    if (endpoint !== undefined) this.defaultBridge?.release(endpoint);
  }

  /** Lets go of all that are ready. */
  async close(): Promise<void> {
    await Promise.all([...this.stocks.values()].map((stock) => stock.close()));
  }
}
