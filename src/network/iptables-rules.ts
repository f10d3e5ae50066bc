/**
 * What the firewall is to be as iptables' rules, in the chains that Docker 28 has: DOCKER-USER, DOCKER-FORWARD, DOCKER-CT,
 * DOCKER-ISOLATION-STAGE-1 and -2, DOCKER-BRIDGE and DOCKER. Each rule is written as `iptables-save` writes it, so that what is there
 * is known again. A comment tells a daemon's own rules from those of others in the same chains. Pure.
 */
import { contains, type Family, parseAddress, parsePrefixed } from "./addresses.ts";
import { isRelayed, type LedPort, ledTo, type NetworkRules } from "./firewall.ts";
import type { FirewallContents } from "./firewall-backend.ts";

/** The tables, in the order in which they are changed: what keeps out comes first. */
export const tableNames = ["raw", "filter", "nat"] as const;
/** One of them. */
export type Table = (typeof tableNames)[number];

/** Rules by their chain, each without `-A CHAIN`. */
export type Chains = ReadonlyMap<string, readonly string[]>;

/** Chains that are made, by table; all others are the kernel's. */
export const madeChains: Readonly<Record<Table, readonly string[]>> = {
  raw: [],
  filter: [
    ...["DOCKER-USER", "DOCKER-FORWARD", "DOCKER-CT", "DOCKER-ISOLATION-STAGE-1"],
    ...["DOCKER-ISOLATION-STAGE-2", "DOCKER-BRIDGE", "DOCKER"],
  ],
  nat: ["DOCKER"],
};

/** What leads from chain to chain, whoever's rules are in them: without a comment, since daemons share it. */
export function frame(table: Table, family: Family): Chains {
  if (table === "raw") return new Map();
  if (table === "filter")
    return new Map([
      ["FORWARD", ["-j DOCKER-USER", "-j DOCKER-FORWARD"]],
      ["DOCKER-FORWARD", ["-j DOCKER-CT", "-j DOCKER-ISOLATION-STAGE-1", "-j DOCKER-BRIDGE"]],
    ]);
  const local = "-m addrtype --dst-type LOCAL -j DOCKER";
  const notLoopback = family === 4 ? "! -d 127.0.0.0/8" : "! -d ::1/128";
  return new Map([
    ["PREROUTING", [`${notLoopback} ${local}`]],
    ["OUTPUT", [family === 4 ? local : `${notLoopback} ${local}`]],
  ]);
}

/** A rule in parts, as `iptables-save` orders them. */
interface Parts {
  /** Addresses and interfaces. */
  readonly where?: string;
  readonly protocol?: string | undefined;
  readonly state?: string;
  readonly more?: string;
  readonly port?: number;
  readonly to: string;
}

/** A daemon's rules of one family, while they are put together. */
class Book {
  /** Sets: two published ports of one container's port need one rule behind the host. */
  private readonly tables = new Map<Table, Map<string, Set<string>>>(
    tableNames.map((table) => [table, new Map()]),
  );

  constructor(
    private readonly mark: string,
    family: Family,
  ) {
    for (const table of tableNames)
      for (const [chain, rules] of frame(table, family))
        for (const rule of rules) this.chain(table, chain).add(rule);
  }

  private chain(table: Table, chain: string): Set<string> {
    const chains = this.tables.get(table) ?? new Map<string, Set<string>>();
    const rules = chains.get(chain) ?? new Set();
    chains.set(chain, rules);
    return rules;
  }

  add(table: Table, chain: string, { where, protocol, state, more, port, to }: Parts): void {
    const words = [
      ...(where === undefined ? [] : [where]),
      ...(protocol === undefined ? [] : [`-p ${protocol}`]),
      `-m comment --comment ${this.mark}`,
      ...(state === undefined ? [] : [`-m conntrack ${state}`]),
      ...(more === undefined ? [] : [more]),
      ...(port === undefined ? [] : [`-m ${protocol} --dport ${port}`]),
      `-j ${to}`,
    ];
    this.chain(table, chain).add(words.join(" "));
  }

  all(): ReadonlyMap<Table, Chains> {
    return new Map(
      [...this.tables].map(([table, chains]) => [
        table,
        new Map([...chains].map(([chain, rules]) => [chain, [...rules]])),
      ]),
    );
  }
}

const goesOn = "--ctstate RELATED,ESTABLISHED";
/** It has come by a published port. */
const published = "--ctstate DNAT";
const host = (family: Family, address: string) => `${address}/${family === 4 ? 32 : 128}`;
const familyOf = (address: string): Family => (address.includes(":") ? 6 : 4);

/** The bridge that an address is behind, as part of a rule. */
function behind(networks: readonly NetworkRules[], address: string): string {
  const parsed = parseAddress(address);
  const network = networks.find(({ subnet, subnet6 }) => {
    const own = parsePrefixed((familyOf(address) === 4 ? subnet : subnet6) ?? "")?.subnet;
    return own !== undefined && parsed && contains(own, parsed.family, parsed.value);
  });
  return network === undefined ? "" : ` -o ${network.bridge}`;
}

/** What goes through the host. */
function filter(book: Book, network: NetworkRules, family: Family): void {
  const { bridge, internal, icc, trusted } = network;
  const add = (chain: string, parts: Parts) => book.add("filter", chain, parts);
  const [into, from, within] = [`-o ${bridge}`, `-i ${bridge}`, `-i ${bridge} -o ${bridge}`];
  if (internal) {
    add("DOCKER-ISOLATION-STAGE-1", { where: `! -i ${bridge} -o ${bridge}`, to: "DROP" });
    add("DOCKER-ISOLATION-STAGE-1", { where: `-i ${bridge} ! -o ${bridge}`, to: "DROP" });
    add("DOCKER-FORWARD", { where: within, to: icc ? "ACCEPT" : "DROP" });
    return;
  }
  const mode = family === 4 ? network.mode4 : network.mode6;
  const isClosed = mode === "nat" && trusted.length === 0;
  add("DOCKER-CT", { where: into, state: goesOn, to: "ACCEPT" });
  const toOthers = `-i ${bridge} ! -o ${bridge}`;
  add("DOCKER-ISOLATION-STAGE-1", { where: toOthers, to: "DOCKER-ISOLATION-STAGE-2" });
  if (isClosed)
    add("DOCKER-ISOLATION-STAGE-2", { where: into, state: `! ${published}`, to: "DROP" });
  add("DOCKER-BRIDGE", { where: into, to: "DOCKER" });
  for (const name of trusted) add("DOCKER", { where: `-i ${name} ${into}`, to: "ACCEPT" });
  if (mode === "nat-unprotected") add("DOCKER", { where: into, to: "ACCEPT" });
  const icmp = family === 4 ? "icmp" : "ipv6-icmp";
  if (mode === "routed") add("DOCKER", { where: into, protocol: icmp, to: "ACCEPT" });
  add("DOCKER", { where: `! -i ${bridge} ${into}`, to: "DROP" });
  if (!icc) add("DOCKER-FORWARD", { where: within, to: "DROP" });
  add("DOCKER-FORWARD", { where: from, to: "ACCEPT" });
}

/** What becomes of the addresses of what leaves. */
function leaving(book: Book, network: NetworkRules, family: Family): void {
  const { bridge, internal, masquerade } = network;
  const [subnet, mode, source] =
    family === 4
      ? [network.subnet, network.mode4, network.sourceAddress]
      : [network.subnet6, network.mode6, network.sourceAddress6];
  const add = (parts: Parts) => book.add("nat", "POSTROUTING", parts);
  if (family === 4) add({ where: `-s 127.0.0.0/8 -o ${bridge}`, to: "MASQUERADE" });
  if (subnet === undefined || internal) return;
  if (masquerade && mode !== "routed")
    add({
      where: `-s ${subnet} ! -o ${bridge}`,
      to: source === undefined ? "MASQUERADE" : `SNAT --to-source ${source}`,
    });
  // A container that calls a published port of its own network is to hear from whom it has called.
  add({ where: `-s ${subnet} -o ${bridge}`, state: published, to: "MASQUERADE" });
}

function isAny({ hostAddress }: LedPort): boolean {
  return hostAddress === "0.0.0.0" || hostAddress === "::";
}

/** Leads the clients of published ports; what names an address comes before what names none. */
function lead(
  book: Book,
  ports: readonly LedPort[],
  family: Family,
  via: string | undefined,
): void {
  for (const port of [...ports.filter((one) => !isAny(one)), ...ports.filter(isAny)]) {
    const { protocol, hostAddress, hostPort, containerPort } = port;
    const address = ledTo(port);
    const target = family === 4 ? address : `[${address}]`;
    const at = isAny(port) ? [] : [`-d ${host(family, hostAddress)}`];
    const to = `DNAT --to-destination ${target}:${containerPort}`;
    const add = (where: readonly string[], more?: string) =>
      book.add("nat", "DOCKER", {
        ...(where.length === 0 ? {} : { where: where.join(" ") }),
        ...(more === undefined ? {} : { more }),
        ...{ protocol, port: hostPort, to },
      });
    if (via === undefined) add(at);
    else {
      // Others may lead to the same chain what has come by another way; and what the host itself sends has come by none.
      add([...at, `-i ${via}`]);
      add(at, "-m addrtype --src-type LOCAL");
    }
    // Others' rules may lead what comes from outside to a loopback address to these chains, too.
    if (hostAddress.startsWith("127.")) {
      const outside = `-d ${host(family, hostAddress)} ! -i lo`;
      book.add("raw", "PREROUTING", { where: outside, protocol, port: hostPort, to: "DROP" });
    }
  }
}

/** An internal network's containers reach no published port, nor one whose clients are handed on by a process of the host. */
function closeInternal(book: Book, bridge: string, ports: readonly LedPort[]): void {
  book.add("nat", "DOCKER", { where: `-i ${bridge}`, to: "RETURN" });
  const relayed = ports
    .filter(isRelayed)
    .map(({ protocol, hostPort }) => `${protocol} ${hostPort}`);
  for (const one of new Set(relayed)) {
    const [protocol, port] = one.split(" ");
    book.add("filter", "INPUT", {
      where: `-i ${bridge}`,
      protocol,
      port: Number(port),
      to: "DROP",
    });
  }
}

/** All rules of one family, with what leads to their chains. `mark`: a daemon's own, letters, digits, dots and dashes. */
export function rulesFor(
  { networks: all, ports: every, opened, via }: FirewallContents,
  family: Family,
  mark: string,
): ReadonlyMap<Table, Chains> {
  const networks = family === 4 ? all : all.filter(({ subnet6 }) => subnet6 !== undefined);
  const ports = every.filter((port) => familyOf(port.hostAddress) === family && ledTo(port) !== "");
  const book = new Book(mark, family);
  for (const one of ports) {
    const { protocol, containerPort: port } = one;
    const address = ledTo(one);
    book.add("filter", "DOCKER", {
      where: `-d ${host(family, address)}${behind(networks, address)}`,
      ...{ protocol, port, state: published, to: "ACCEPT" },
    });
  }
  for (const { protocol, address, port } of opened)
    if (familyOf(address) === family)
      book.add("filter", "DOCKER", {
        where: `-d ${host(family, address)}${behind(networks, address)}`,
        ...{ protocol, port, to: "ACCEPT" },
      });
  for (const network of networks) {
    const { bridge, internal } = network;
    if (family === 4)
      for (const end of ["-s", "-d"])
        book.add("raw", "PREROUTING", { where: `${end} 127.0.0.0/8 -i ${bridge}`, to: "DROP" });
    if (internal) closeInternal(book, bridge, every);
    filter(book, network, family);
    leaving(book, network, family);
  }
  // A neighbour's link-local address has no meaning behind the host.
  if (family === 6)
    for (const end of ["-s", "-d"])
      book.add("nat", "DOCKER", { where: `${end} fe80::/10`, to: "RETURN" });
  lead(book, ports, family, via);
  return book.all();
}
