/**
 * What is stored of a network: plain data.
 */
import type { NetworkInput } from "./creation.ts";

/** One subnet of a network, as its maker gave it or as it was chosen. */
export interface SubnetRecord {
  readonly subnet: string;
  /** Addresses that nobody asks for by name come from here alone. */
  readonly range?: string | undefined;
  /** Empty: none. */
  readonly gateway: string;
  readonly auxiliary?: Readonly<Record<string, string>> | undefined;
}

/** How addresses are managed. */
export interface IpamRecord {
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  readonly config: readonly SubnetRecord[];
  /** The maker chose the subnet: only then may containers choose their addresses. */
  readonly chosen: boolean;
}

/** A network. */
export interface NetworkRecord {
  /** 64 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  /** ISO 8601. */
  readonly created: string;
  readonly driver: string;
  /** Absent: it has. */
  readonly ipv4?: boolean;
  readonly ipv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly ipam: IpamRecord;
  /** The interface of the host: its bridge, or of macvlan and ipvlan the parent. */
  readonly bridge: string;
  /** The interface was there before, and is left where it is. */
  readonly foreign: boolean;
  /** The name of the configuration that it was made from; empty: none. */
  readonly configFrom: string;
  /** No network, but what others are made from (--config-only). */
  readonly template?: NetworkInput | undefined;
}
