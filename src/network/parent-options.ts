/**
 * The options of networks on an interface of the host's (`--driver macvlan` and `ipvlan`), checked in Docker's words. Pure.
 */
import { fault } from "../base/errors.ts";
import { isInterfaceName, mtuOption } from "./options.ts";

/** The drivers of such networks. */
export type ParentDriver = "macvlan" | "ipvlan";

/** What options say of such a network. */
export interface ParentOptions {
  readonly driver: ParentDriver;
  /** Empty: one that leads nowhere. */
  readonly parent: string;
  /** bridge, private, vepa, passthru; l2, l3, l3s. */
  readonly mode: string;
  /** ipvlan's: bridge, private, vepa. */
  readonly flag: string;
  /** 0: the parent's. */
  readonly mtu: number;
}

/** True for a driver whose networks are on an interface of the host's. */
export function isParentDriver(driver: string): driver is ParentDriver {
  return driver === "macvlan" || driver === "ipvlan";
}

const modes: Readonly<Record<ParentDriver, readonly [string, ...string[]]>> = {
  macvlan: ["bridge", "private", "passthru", "vepa"],
  ipvlan: ["l2", "l3", "l3s"],
};
const flags = ["bridge", "private", "vepa"] as const;

function refuse(message: string): Error {
  return fault("failed", "network-parent", message);
}

/** Reads options. Throws Faults in Docker's words. */
export function parentOptions(
  driver: ParentDriver,
  options: Readonly<Record<string, string>>,
): ParentOptions {
  const [usual] = modes[driver];
  const mode = options[`${driver}_mode`] || usual;
  if (!modes[driver].includes(mode))
    throw refuse(
      `requested ${driver} mode '${mode}' is not valid, '${usual}' mode is the ${driver} driver default`,
    );
  const flag = (driver === "ipvlan" && options.ipvlan_flag) || "bridge";
  if (!flags.some((one) => one === flag))
    throw refuse(
      `requested ipvlan flag '${flag}' is not valid, 'bridge' is the ipvlan driver default`,
    );
  const parent = options.parent ?? "";
  if (parent === "lo") throw refuse(`loopback interface is not a valid ${driver} parent link`);
  if (parent !== "" && !isInterfaceName(parent))
    throw refuse(`invalid subinterface vlan name ${parent}, example formatting is eth0.10`);
  return { driver, parent, mode, flag, mtu: mtuOption(options) };
}

/** What the parent is called that a network has of its own. */
export function ownParent(driver: ParentDriver, id: string): string {
  return `${driver === "macvlan" ? "dm" : "di"}-${id.slice(0, 12)}`;
}

/** "eth0.10": a virtual LAN of an interface. Throws Faults in Docker's words for a name that does not say so. */
export function vlanOf(driver: ParentDriver, name: string): { parent: string; id: number } {
  if (!name.includes("."))
    throw refuse(`invalid subinterface vlan name ${name}, example formatting is eth0.10`);
  const [parent = "", text = "", ...more] = name.split(".");
  if (more.length > 0)
    throw refuse(
      `required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received ${name}`,
    );
  if (!/^[+-]?\d{1,9}$/.test(text))
    throw refuse(`unable to parse a valid vlan id from: ${name} (ex. eth0.10 for vlan 10)`);
  const id = Number(text);
  if (id < 1 || id > 4094) throw refuse(`vlan id must be between 1-4094, received: ${id}`);
  if (parent === "lo") throw refuse(`loopback interface is not a valid ${driver} parent link`);
  return { parent, id };
}

/** A network on a parent, as others see it. */
export interface ParentUse {
  readonly id: string;
  readonly driver: string;
  readonly parent: string;
  readonly mode: string;
}

/** Throws Faults in Docker's words for a parent that another network has to itself. */
export function checkShared(wanted: Omit<ParentUse, "id">, others: readonly ParentUse[]): void {
  const { driver, parent, mode } = wanted;
  const other = others.find((one) => one.driver === driver && one.parent === parent);
  if (other === undefined) return;
  if (driver === "ipvlan")
    throw refuse(
      `network ${ownParent(driver, other.id)} is already using parent interface ${parent}`,
    );
  if (mode === "passthru")
    throw refuse(
      `cannot use mode passthru, macvlan network ${other.id} is already using parent interface ${parent}`,
    );
  if (
    others.some((one) => one.parent === parent && one.driver === driver && one.mode === "passthru")
  )
    throw refuse(
      `macvlan network ${other.id} is already using parent interface ${parent} in mode passthru`,
    );
}
