/**
 * A network on an interface of the host's (macvlan, ipvlan): containers are neighbours of whatever the interface leads to, with
 * no bridge, no firewall and no published ports between. A parent that is not there is made, if its name says how ("eth0.10"),
 * or if none was asked for; what berth has made goes with the last network that is on it.
 */

import { errnoText } from "../base/errno-text.ts";
import { fault } from "../base/errors.ts";
import { own } from "../base/own.ts";
import { type Handle, KernelError } from "../kernel/index.ts";
import { macOf } from "./addresses.ts";
import type { NetlinkRequest } from "./netlink.ts";
import { type ParentOptions, vlanOf } from "./parent-options.ts";
import {
  deleteLink,
  deleteLinkNamed,
  newDummy,
  newUpper,
  newVeth,
  renameLink,
  setAlias,
  setUp,
  type UpperKind,
} from "./rtnetlink.ts";
import {
  type EndLink,
  type EndpointRecord,
  type EndWish,
  findLink,
  hex,
  Segment,
  type SegmentPlan,
} from "./segment.ts";

/** As the kernel has it for interfaces of that kind. */
const DUMMY_MTU = 1500;
const EBUSY = 16;
const EINVAL = 22;
const EOPNOTSUPP = 95;
const EADDRINUSE = 98;

/** What a network on a parent is to be. */
export interface ParentedPlan extends SegmentPlan, Omit<ParentOptions, "parent" | "mtu"> {
  /** The interface of the host. */
  readonly parent: string;
  /** What nobody else calls an interface. */
  readonly ownName: string;
  /** What the aliases of all interfaces begin with that this daemon has made. */
  readonly mark: string;
  /** The parent was there before, and is left as it is. */
  readonly foreign: boolean;
}

/** The numbers of linux/if_link.h. */
const macvlanModes: Readonly<Record<string, number>> = {
  ...{ private: 1, vepa: 2, bridge: 4, passthru: 8 },
};
const ipvlanModes: Readonly<Record<string, number>> = { l2: 0, l3: 1, l3s: 2 };
const ipvlanFlags: Readonly<Record<string, number>> = { bridge: 0, private: 1, vepa: 2 };

function kindOf({ driver, mode, flag }: ParentedPlan): UpperKind {
  if (driver === "macvlan") return { kind: "macvlan", mode: own(macvlanModes, mode) ?? 4 };
  return { kind: "ipvlan", mode: own(ipvlanModes, mode) ?? 0, flags: own(ipvlanFlags, flag) ?? 0 };
}

/** A macvlan or ipvlan network. */
export class Parented extends Segment<ParentedPlan> {
  readonly publishes = [];
  readonly rules = undefined;

  async up(running: readonly EndpointRecord[]): Promise<void> {
    this.claimFor(running);
    if (this.plan.foreign) return;
    const existing = await findLink(this.channel, this.plan.parent);
    if (existing === undefined) await this.make();
    else await this.channel.send(0, [setUp(existing.index)]);
  }

  private async make(): Promise<void> {
    const { parent, ownName, driver } = this.plan;
    if (parent === ownName) {
      await this.makeDummy(parent);
      return this.finish(parent, []);
    }
    const vlan = vlanOf(driver, parent);
    const below = await findLink(this.channel, vlan.parent);
    if (below === undefined)
      throw parentMissing(`-o parent interface was not found on the host: ${vlan.parent}`);
    // Its own name comes last: whatever has it bears the mark already.
    await this.channel.send(0, [deleteLinkNamed(ownName)]).catch(() => {});
    const kind = { kind: "vlan", id: vlan.id } as const;
    try {
      await this.channel.send(0, [newUpper({ name: ownName, parent: below.index, mtu: 0, kind })]);
    } catch (error) {
      throw refused(`failed to create ${parent} vlan link`, error);
    }
    await this.finish(ownName, [parent]);
  }

  /** An interface that leads nowhere: where the kernel has no such kind, one whose other end nobody uses. */
  private async makeDummy(name: string): Promise<void> {
    try {
      await this.channel.send(0, [newDummy(name)]);
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== EOPNOTSUPP) throw error;
      const peer = { name: name.replace(/^../, "dx"), index: 0, mac: macOf(name) };
      await this.channel.send(0, [newVeth({ name, bridgeIndex: 0, mtu: DUMMY_MTU, peer })]);
      await this.channel.send(0, [setUp(await this.found(peer.name))]);
    }
  }

  /** Marks what has been made, renames it if it is to have another name, and sets it up. */
  private async finish(made: string, names: readonly string[]): Promise<void> {
    const index = await this.found(made);
    const renaming = names.map((name): NetlinkRequest => renameLink(index, name));
    await this.channel.send(0, [setAlias(index, this.plan.alias), ...renaming, setUp(index)]);
  }

  /** The index of an interface of the host. */
  private async found(name: string): Promise<number> {
    const link = await findLink(this.channel, name);
    if (link !== undefined) return link.index;
    throw parentMissing(`the requested parent interface ${name} was not found on the Docker host`);
  }

  async down(): Promise<void> {
    const { parent, ownName, mark } = this.plan;
    for (const name of new Set([ownName, parent])) {
      const link = await findLink(this.channel, name);
      if (link !== undefined && (name === ownName || link.alias.startsWith(mark)))
        await this.channel.send(0, [deleteLink(link.index)]);
    }
  }

  protected override macFor(wanted: string | undefined, address: string): string {
    if (this.plan.driver === "macvlan") return super.macFor(wanted, address);
    return "";
  }

  override reserve(wish: EndWish): EndpointRecord {
    const { driver, mode, internal } = this.plan;
    if (driver === "ipvlan" && wish.mac !== undefined)
      throw fault(
        "failed",
        "endpoint-mac",
        "ipvlan interfaces do not support custom mac address assignment",
      );
    const record: EndpointRecord = { ...super.reserve(wish), portless: true };
    // Of layer 3 everything is at the interface: the host's routes say where it goes on.
    if (driver !== "ipvlan" || mode === "l2") return record;
    const { gateway6, ...rest } = record;
    return { ...rest, gateway: "", ...(internal ? {} : { direct: true }) };
  }

  protected async linkFor(
    netns: Handle,
    { interface: name = "eth0", mac }: EndpointRecord,
  ): Promise<EndLink> {
    const { parent, mtu } = this.plan;
    const below = await this.found(parent);
    // Before Linux 6.13 neither its name nor its index may be one of the host's.
    const born = `veth${hex(4).slice(0, 7)}`;
    const kind = kindOf(this.plan);
    return {
      born,
      make: [newUpper({ name: born, parent: below, mtu, kind }, { mac, netns })],
      unmake: [netns, [deleteLinkNamed(born), deleteLinkNamed(name)]],
    };
  }

  /** An interface of a container that has ended goes with its namespace, and that not at once. */
  protected override mayRetry(error: unknown): boolean {
    if (!(error instanceof KernelError)) return false;
    const { errno } = error;
    const alone = this.plan.mode === "passthru";
    return errno === EBUSY || errno === EADDRINUSE || (alone && errno === EINVAL);
  }

  protected override refusal(error: unknown): unknown {
    if (!(error instanceof KernelError)) return error;
    return refused(`failed to create the ${this.plan.driver} port`, error);
  }
}

function parentMissing(message: string): Error {
  return fault("failed", "network-parent", message);
}

function refused(what: string, error: unknown): unknown {
  if (!(error instanceof KernelError)) return error;
  return fault("failed", "network-parent", `${what}: ${errnoText(error.errno)}`, error);
}
