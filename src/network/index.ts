/**
 * network: bridges, addresses, published ports, name resolution. Takes plain values and gives endpoints; knows neither
 * images nor containers.
 */
export {
  formatAddress,
  formatSubnet,
  isMac,
  isWithinSubnet,
  parseAddress,
  parseIpv4,
} from "./addresses.ts";
export { type Attached, attach, namespaceKind, segmentFor } from "./attach.ts";
export type { NetworkInput } from "./creation.ts";
export type { DefaultNetworkOptions } from "./default-bridge.ts";
export {
  answerTo,
  type NameQuestion,
  questionIn,
  RecordType,
  recordData,
  reverseAddress,
} from "./dns.ts";
export { type DnsWishes, hostsFor, parseResolvConf, resolvConfFor } from "./files.ts";
export type { PublishedPort } from "./firewall.ts";
export {
  type FirewallBackend,
  type FirewallPolicy,
  firewallBackends,
  firewallPolicies,
} from "./firewall-choice.ts";
export { setLeading, takeInterface } from "./live.ts";
export {
  type NamespaceKind,
  type NamespaceOwner,
  type PreparedNamespace,
  readyCount,
} from "./namespaces.ts";
export { Networks, type NetworksOptions } from "./networks.ts";
export { type OuterRoute, outerRoutes } from "./outer-routes.ts";
export { type PortClaimer, type PortWish, relaysOf } from "./publish.ts";
export type { NetworkRecord } from "./record.ts";
export { hostResolvers, Resolver, reachableResolvers, serverFailure } from "./resolver.ts";
export { RESOLVER_ADDRESS, RESOLVER_PORT } from "./resolver-redirect.ts";
export type { EndpointRecord, EndWish } from "./segment.ts";
export { NetworkStore } from "./store.ts";
export { defaultPools, parsePool, type SubnetPool } from "./subnets.ts";
export { type Uplink, uplinkMessages } from "./uplink.ts";
