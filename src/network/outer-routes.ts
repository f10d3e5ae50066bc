/**
 * Routes of a network that netlink does not lead to: the host's, for a rootless daemon, whose own network another one is. A
 * container's network over one of them would hide from containers what the host reaches by it.
 */
import { existsSync, readFileSync } from "node:fs";
import { type Subnet, subnetAt } from "./addresses.ts";

/** Where a route leads. */
export interface OuterRoute {
  readonly subnet: Subnet;
  /** The interface's name. */
  readonly by: string;
}

const RTF_UP = 0x1;
/** Of IPv6: an address of the host's own. */
const RTF_LOCAL = 0x8000_0000;

/** The routes but the default ones that a process's net/route lists. Addresses are there as this machine has numbers. */
export function outerRoutes4(text: string): OuterRoute[] {
  return text.split("\n").flatMap((line) => {
    const [by = "", destination = "", , flags = "", , , , mask = ""] = line.trim().split(/\s+/);
    if (!/^[0-9A-F]{8}$/.test(destination) || (Number.parseInt(flags, 16) & RTF_UP) === 0)
      return [];
    const [value, bits] = [destination, mask].map((hex) => Buffer.from(hex, "hex").readUInt32LE());
    const prefix = [...(bits ?? 0).toString(2)].filter((bit) => bit === "1").length;
    return prefix === 0 ? [] : [{ subnet: subnetAt(4, BigInt(value ?? 0), prefix), by }];
  });
}

/** As net/ipv6_route lists them; what each link has by itself is none of these. */
export function outerRoutes6(text: string): OuterRoute[] {
  return text.split("\n").flatMap((line) => {
    const cells = line.trim().split(/\s+/);
    const [destination = "", length = ""] = cells;
    const [flags = "", by = ""] = cells.slice(8);
    const prefix = Number.parseInt(length, 16);
    if (!/^[0-9a-f]{32}$/.test(destination) || !(prefix > 0) || by === "lo") return [];
    if ((Number.parseInt(flags, 16) & RTF_LOCAL) !== 0 || /^f(e[89ab]|f)/.test(destination))
      return [];
    return [{ subnet: subnetAt(6, BigInt(`0x${destination}`), prefix), by }];
  });
}

/** The routes of the network that this process is in. */
export function outerRoutes(): OuterRoute[] {
  const text = (name: string) => {
    const path = `/proc/self/net/${name}`;
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  };
  return [...outerRoutes4(text("route")), ...outerRoutes6(text("ipv6_route"))];
}
