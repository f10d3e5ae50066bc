/**
 * Which of the firewall's backends a daemon has. What an earlier daemon has left in the other one is taken away, so that nobody
 * has both.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import type { Firewall, FirewallContents } from "./firewall-backend.ts";
import { HostPolicy, loopNames, removeHostPolicy } from "./host-policy.ts";
import { Iptables } from "./iptables.ts";
import { getChain } from "./nftables.ts";
import { Passage, removePassage } from "./passage.ts";
import { RulesWatch } from "./rules-watch.ts";
import { FirewallTable } from "./table.ts";

/** The backends by name; "auto" is that of nftables with a way through the host's FORWARD chain where that is closed. */
export const firewallBackends = ["auto", "nftables", "iptables"] as const;
/** One of them. */
export type FirewallBackend = (typeof firewallBackends)[number];

/** Whose rules say who reaches published ports: berth's alone, as Docker has it, or the host's own as well. */
export const firewallPolicies = ["docker", "host"] as const;
/** One of them. */
export type FirewallPolicy = (typeof firewallPolicies)[number];

/** A daemon's firewall. */
export interface FirewallKind {
  readonly backend: FirewallBackend;
  readonly policy: FirewallPolicy;
  /** By this name a daemon's own rules are known. */
  readonly name: string;
  /** Others are to be kept from changing them, where the backend can do that. */
  readonly lock: boolean;
}

/** The firewall of a kind; nothing is made yet. */
export function firewallOf(
  channel: NetlinkChannel,
  { backend, policy, name, lock }: FirewallKind,
  asked: () => FirewallContents,
): Firewall {
  const via = policy === "host" ? loopNames(name).out : undefined;
  const contents = () => ({ ...asked(), via });
  const watch = new RulesWatch(channel.kernel);
  const firewall = backendOf(channel, { backend, name, lock }, contents, watch);
  return policy === "host" ? new HostPolicy(channel, name, firewall, contents, watch) : firewall;
}

function backendOf(
  channel: NetlinkChannel,
  { backend, name, lock }: Omit<FirewallKind, "policy">,
  contents: () => FirewallContents,
  watch = new RulesWatch(channel.kernel),
): Firewall {
  if (backend === "iptables") return new Iptables(name, contents, watch);
  const table = new FirewallTable(channel, name, lock, contents, watch);
  return backend === "auto" ? new Passage(channel, name, table, contents, watch) : table;
}

/** Takes away what an earlier daemon of the same name has left in the backend that is not this one's, or by another policy. */
export async function removeOther(channel: NetlinkChannel, kind: FirewallKind): Promise<void> {
  if (kind.policy !== "host") await removeHostPolicy(channel, kind.name);
  const nothing = () => ({ networks: [], ports: [], opened: [] });
  if (kind.backend !== "auto") await removePassage(channel, kind.name);
  const backend = kind.backend === "iptables" ? "nftables" : "iptables";
  // To look for chains costs less than to run iptables.
  if (backend === "iptables" && !(await hasChains(channel))) return;
  await backendOf(channel, { ...kind, backend }, nothing)
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
