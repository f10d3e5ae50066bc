/**
 * Which of the firewall's backends a daemon has. What an earlier daemon has left in the other one is taken away, so that nobody
 * has both.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import type { Firewall, FirewallContents } from "./firewall-backend.ts";
import { Iptables } from "./iptables.ts";
import { getChain } from "./nftables.ts";
import { FirewallTable } from "./table.ts";

/** The backends by name. */
export const firewallBackends = ["nftables", "iptables"] as const;
/** One of them. */
export type FirewallBackend = (typeof firewallBackends)[number];

/** A daemon's firewall. */
export interface FirewallKind {
  readonly backend: FirewallBackend;
  /** By this name a daemon's own rules are known. */
  readonly name: string;
  /** Others are to be kept from changing them, where the backend can do that. */
  readonly lock: boolean;
}

/** The firewall of a kind; nothing is made yet. */
export function firewallOf(
  channel: NetlinkChannel,
  { backend, name, lock }: FirewallKind,
  contents: () => FirewallContents,
): Firewall {
  return backend === "nftables"
    ? new FirewallTable(channel, name, lock, contents)
    : new Iptables(channel.kernel, name, contents);
}

/** Takes away what an earlier daemon of the same name has left in the backend that is not this one's. */
export async function removeOther(channel: NetlinkChannel, kind: FirewallKind): Promise<void> {
  const nothing = () => ({ networks: [], ports: [], opened: [] });
  const backend = kind.backend === "nftables" ? "iptables" : "nftables";
  // To look for chains costs less than to run iptables.
  if (backend === "iptables" && !(await hasChains(channel))) return;
  await firewallOf(channel, { ...kind, backend }, nothing)
    .drop()
    .catch((error) =>
      log.warn("remove an earlier daemon's firewall", { backend, error: messageOf(error) }),
    );
}

async function hasChains(channel: NetlinkChannel): Promise<boolean> {
  const chain = getChain({ family: "ip", name: "filter" }, "DOCKER-FORWARD");
  return channel.send(0, [chain], NETLINK_NETFILTER).then(
    () => true,
    () => false,
  );
}
