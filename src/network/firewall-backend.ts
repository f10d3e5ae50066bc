/**
 * The door to the host's firewall. What is to be there is said by the other side, whole, whenever it is asked for; a backend
 * brings it about, each change in one transaction, and never touches what others have made.
 */
import type { LedPort, NetworkRules, OpenedPort } from "./firewall.ts";

/** Everything that is to be in the firewall. */
export interface FirewallContents {
  readonly networks: readonly NetworkRules[];
  /** Published ports. */
  readonly ports: readonly LedPort[];
  /** Ports that are reached at containers' own addresses. */
  readonly opened: readonly OpenedPort[];
  /** What comes from outside to a published port is led only when it comes by this interface; absent: by any. */
  readonly via?: string | undefined;
}

/** One kind of firewall. The contents have a change already when it is asked for. */
export interface Firewall {
  readonly driver: "nftables" | "iptables";
  /** More about it for `info`, in pairs. */
  readonly about: [name: string, value: string][];
  /** Puts everything in place for the first time, and begins to look after it. Throws a Fault "failed" that says what is refused. */
  open(): Promise<void>;
  /** Puts everything in place as it is to be, whatever there is. */
  restore(): Promise<void>;
  /** Makes a network part of it. */
  add(network: NetworkRules): Promise<void>;
  /** Takes a network out of it. */
  remove(network: NetworkRules): Promise<void>;
  /** Withdraws published ports and leads others. */
  lead(withdrawn: readonly LedPort[], led: readonly LedPort[]): Promise<void>;
  /** Lets ports be reached at containers' own addresses, or no longer. */
  expose(ports: readonly OpenedPort[], open: boolean): Promise<void>;
  /** What others do from now on is not looked at. */
  end(): void;
  /** Takes everything away; fine if it is not there. */
  drop(): Promise<void>;
}
