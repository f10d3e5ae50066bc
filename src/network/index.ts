/**
 * network: the default bridge, published ports, name resolution. Takes plain values and gives endpoints; knows neither
 * images nor containers.
 */
export { isMac, parseIpv4 } from "./addresses.ts";
export {
  Bridge,
  type BridgeOptions,
  type Endpoint,
  type EndpointRecord,
  type PortClaimer,
  type PortWish,
} from "./bridge.ts";
export { type DnsWishes, hostsFor, parseResolvConf, resolvConfFor } from "./files.ts";
export type { PublishedPort } from "./firewall.ts";
export { hostResolvers, Resolver } from "./resolver.ts";
export { RESOLVER_ADDRESS, RESOLVER_PORT } from "./resolver-redirect.ts";
