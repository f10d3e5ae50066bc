/**
 * What networks' records say that their segments are to be. Pure.
 */
import { parsePrefixed } from "./addresses.ts";
import { Bridge, type BridgePlan } from "./bridge.ts";
import type { NetlinkChannel } from "./channel.ts";
import { bridgeName } from "./creation.ts";
import { bridgeOptions } from "./options.ts";
import { isParentDriver, ownParent, type ParentUse, parentOptions } from "./parent-options.ts";
import { Parented, type ParentedPlan } from "./parented.ts";
import type { NetworkRecord } from "./record.ts";
import type { Addressing, Segment, SegmentPlan } from "./segment.ts";

/** What holds for all networks of a daemon. */
interface Defaults {
  /** The default bridge's name, which marks what this daemon has made. */
  readonly bridge: string;
  readonly mtu: number;
}

function addressings({ ipam }: NetworkRecord): Addressing[] {
  return ipam.config.map((one) => {
    const subnet = parsePrefixed(one.subnet)?.subnet;
    if (subnet === undefined) throw new Error(`not a subnet: ${one.subnet}`);
    return {
      subnet,
      gateway: one.gateway,
      range: parsePrefixed(one.range ?? "")?.subnet,
      reserved: Object.values(one.auxiliary ?? {}),
      leads: one.auxiliary?.[`DefaultGatewayIPv${subnet.family}`],
    };
  });
}

function commonPlan(record: NetworkRecord, { bridge }: Defaults): Omit<SegmentPlan, "mtu"> {
  return {
    id: record.id,
    network: record.name,
    alias: `berth ${bridge} ${record.id}`,
    subnets: addressings(record),
    internal: record.internal,
  };
}

function bridgePlan(record: NetworkRecord, defaults: Defaults): BridgePlan {
  const options = bridgeOptions(record.options, record.internal);
  return {
    ...commonPlan(record, defaults),
    bridge: record.bridge,
    mtu: options.mtu || defaults.mtu,
    icc: options.icc,
    masquerade: options.masquerade,
    sourceAddress: options.sourceAddress,
    sourceAddress6: options.sourceAddress6,
    ...{ mode4: options.mode4, mode6: options.mode6 },
    ...{ inhibit4: options.inhibit4, trusted: options.trusted },
    foreign: record.foreign,
    ownName: record.bridge === bridgeName(record.id, ""),
  };
}

function parentedPlan(record: NetworkRecord, defaults: Defaults): ParentedPlan | undefined {
  const { driver, id, bridge: parent, foreign } = record;
  if (!isParentDriver(driver)) return undefined;
  const options = parentOptions(driver, record.options);
  return {
    ...options,
    ...commonPlan(record, defaults),
    ...{ parent, foreign, ownName: ownParent(driver, id), mark: `berth ${defaults.bridge} ` },
    // What leads nowhere is internal, whatever was asked for.
    internal: record.internal || options.parent === "",
  };
}

/** A network as its record says. */
export function segmentOf(
  channel: NetlinkChannel,
  record: NetworkRecord,
  defaults: Defaults,
): Segment {
  const plan = parentedPlan(record, defaults);
  if (plan !== undefined) return new Parented(channel, plan);
  return new Bridge(channel, bridgePlan(record, defaults));
}

/** The networks on parents. */
export function usesOfParents(records: readonly NetworkRecord[]): ParentUse[] {
  return records.flatMap(({ id, driver, bridge: parent, options }) =>
    isParentDriver(driver)
      ? [{ id, driver, parent, mode: parentOptions(driver, options).mode }]
      : [],
  );
}
