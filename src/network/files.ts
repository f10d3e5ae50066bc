/**
 * The contents of a container's /etc/hosts and /etc/resolv.conf: pure.
 */
import { RESOLVER_ADDRESS } from "./resolver-redirect.ts";

/** What a resolv.conf says. */
export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** Reads a resolv.conf (resolv.conf(5)); the last search line wins. */
export function parseResolvConf(text: string): ResolvConf {
  const lines = text.split("\n").map((line) =>
    line
      .replace(/[#;].*/, "")
      .trim()
      .split(/\s+/),
  );
  const of = (key: string) => lines.filter(([word]) => word === key).map((line) => line.slice(1));
  return {
    nameservers: of("nameserver").flatMap(([address]) => (address === undefined ? [] : [address])),
    search: [...of("search"), ...of("domain")].at(0) ?? [],
    options: of("options").flat(),
  };
}

function formatResolvConf(conf: ResolvConf): string {
  const lines = conf.nameservers.map((address) => `nameserver ${address}`);
  if (conf.search.length > 0) lines.push(`search ${conf.search.join(" ")}`);
  if (conf.options.length > 0) lines.push(`options ${conf.options.join(" ")}`);
  return `${lines.join("\n")}\n`;
}

/** What a user asked for with --dns, --dns-search and --dns-option. */
export interface DnsWishes {
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/**
 * A container's resolv.conf: berth's own resolver unless servers were named; where it knows names (on users' networks) it asks
 * those servers itself. "--dns-search ." means none.
 */
export function resolvConfFor(
  host: ResolvConf,
  wishes: DnsWishes,
  embedded: boolean,
  names: boolean,
): string {
  const search = wishes.search.includes(".")
    ? []
    : wishes.search.length > 0
      ? wishes.search
      : host.search;
  const given = wishes.options.length > 0 ? wishes.options : host.options;
  // A name of one word is a container's first of all, and is not to be asked of others with a domain behind it.
  const ndots = names && !given.some((option) => option.startsWith("ndots:")) ? ["ndots:0"] : [];
  const own = embedded ? [RESOLVER_ADDRESS] : host.nameservers;
  const nameservers = wishes.servers.length > 0 && !(names && embedded) ? wishes.servers : own;
  return formatResolvConf({ nameservers, search, options: [...given, ...ndots] });
}

/** A container's /etc/hosts. `extra` are "name:address" or "name=address", with "host-gateway" for the host. */
export function hostsFor(input: {
  /** Its own. */
  readonly addresses: readonly string[];
  readonly hostname: string;
  readonly domainname: string;
  readonly extra: readonly string[];
  /** Other containers, each by all its names. */
  readonly links: readonly { readonly address: string; readonly names: ReadonlySet<string> }[];
  readonly gateway: string | undefined;
}): string {
  const lines = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
  ];
  for (const item of input.extra) {
    const match = /^([^:=]+)[:=](.*)$/.exec(item);
    if (match === null) continue;
    const address = match[2] === "host-gateway" ? (input.gateway ?? "127.0.0.1") : (match[2] ?? "");
    lines.push(`${address.replace(/^\[(.*)\]$/, "$1")}\t${match[1]}`);
  }
  for (const { address, names } of input.links)
    lines.push(`${address}\t${[...names].filter(Boolean).join(" ")}`);
  const full = input.domainname === "" ? "" : `${input.hostname}.${input.domainname} `;
  for (const address of input.addresses) lines.push(`${address}\t${full}${input.hostname}`);
  return `${lines.join("\n")}\n`;
}
