/**
 * The firewall backend "auto": berth's own nftables table, and a way through the FORWARD chain of iptables where that drops what it
 * does not know (ufw, dockerd beside, a last rule that rejects), since a packet must be let through by every table. What is let
 * through there is what berth's table lets through, which alone keeps networks apart: when others take the way away, containers are
 * reached by nobody until it is back, a moment later. A FORWARD that becomes closed or open while the daemon runs is noticed.
 */
import { readFile } from "node:fs/promises";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Family } from "./addresses.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import type { LedPort, NetworkRules, OpenedPort } from "./firewall.ts";
import type { Firewall, FirewallContents } from "./firewall-backend.ts";
import { runIptables } from "./iptables.ts";
import { parseSaved } from "./iptables-changes.ts";
import { type BaseChain, baseChain, listChains, noticesIn } from "./nftables.ts";
import { forwardState, isClosed, passage } from "./passage-rules.ts";
import type { RulesWatch } from "./rules-watch.ts";

/** One of iptables' FORWARD chains; the kernel may have an old one and a new one for a family. */
interface Site {
  readonly family: Family;
  /** "iptables", "ip6tables-legacy": what `-save` and `-restore` are appended to. */
  readonly program: string;
}

/** Others may change the same chains between reading and writing. */
const ATTEMPTS = 3;
/** NFT_MSG_DELTABLE; NEWCHAIN and DELCHAIN; NEWRULE and DELRULE (linux/netfilter/nf_tables.h). */
const DELETE_TABLE = 2;
const CHAINS: ReadonlySet<number> = new Set([3, 5]);
const RULES: ReadonlySet<number> = new Set([6, 8]);

/** Whether messages tell of what may have closed or opened the host's forwarding. */
export function tellsOfForwarding(messages: Uint8Array): boolean {
  return noticesIn(messages).some(
    ({ kind, table, body }) =>
      kind === DELETE_TABLE ||
      (CHAINS.has(kind) && (table === "filter" || baseChain(body)?.at === "forward")) ||
      (RULES.has(kind) && table === "filter"),
  );
}

/** The backend, on that of nftables. */
export class Passage implements Firewall {
  readonly driver;
  /** Where berth's bridges are let through. */
  private through: readonly string[] = [];
  /** Chains that drop and that berth has no part in. */
  private closed: readonly string[] = [];
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly channel: NetlinkChannel,
    private readonly name: string,
    private readonly table: Firewall,
    private readonly contents: () => FirewallContents,
    private readonly watch: RulesWatch,
  ) {
    this.driver = table.driver;
  }

  get about(): [string, string][] {
    const told = [
      ...this.through.map((where) => `let through in ${where}`),
      ...this.closed.map((where) => `dropped by ${where}`),
    ];
    return [...this.table.about, ["Forwarding", told.join("; ") || "open"]];
  }

  async open(): Promise<void> {
    await this.table.open();
    await this.bring();
    this.watch.beginWith(tellsOfForwarding, () => this.bring().then(() => false));
  }

  async restore(): Promise<void> {
    await this.table.restore();
    await this.bring();
  }

  async add(network: NetworkRules): Promise<void> {
    await this.table.add(network);
    await this.follow();
  }

  async remove(network: NetworkRules): Promise<void> {
    await this.table.remove(network);
    await this.follow();
  }

  lead(withdrawn: readonly LedPort[], led: readonly LedPort[]): Promise<void> {
    return this.table.lead(withdrawn, led);
  }

  expose(ports: readonly OpenedPort[], open: boolean): Promise<void> {
    return this.table.expose(ports, open);
  }

  end(): void {
    this.table.end();
  }

  async drop(): Promise<void> {
    await this.turn;
    await this.table.drop();
    await removePassage(this.channel, this.name);
  }

  /** Networks have changed. Where FORWARD was open it is so still, or the kernel's notice of that is on its way. */
  private async follow(): Promise<void> {
    if (this.through.length > 0 || (await legacySites()).length > 0) await this.bring();
  }

  /** Brings about what is wanted; changes come one after the other. What cannot be done is told of in the log and in `about`. */
  private bring(): Promise<void> {
    const next = this.turn.then(() => this.bringNow());
    this.turn = next;
    return next;
  }

  private async bringNow(): Promise<void> {
    const open: string[] = [];
    let closed: string[] = [];
    try {
      const { sites, chains } = await look(this.channel);
      closed = chains.filter(({ table }) => !isIptables(table)).map(dropping);
      for (const { family, program } of sites) {
        const where = `${program} FORWARD`;
        const isLet = await changeSite(program, this.name, this.bridges(family)).catch((error) => {
          log.warn("let containers through the host's firewall", {
            where,
            error: messageOf(error),
          });
          closed.push(where);
          return false;
        });
        if (isLet) open.push(where);
      }
    } catch (error) {
      log.warn("look at what the host forwards", { error: messageOf(error) });
    }
    this.tell(open, closed);
  }

  private bridges(family: Family): string[] {
    return this.contents()
      .networks.filter(({ subnet6 }) => family === 4 || subnet6 !== undefined)
      .map(({ bridge }) => bridge);
  }

  private tell(open: readonly string[], closed: readonly string[]): void {
    for (const where of open.filter((one) => !this.through.includes(one)))
      log.info("the host's firewall drops what it does not know; containers are let through", {
        where,
      });
    for (const where of closed.filter((one) => !this.closed.includes(one)))
      log.warn(
        "the host's firewall drops containers' traffic unless its own rules let it through",
        {
          where,
        },
      );
    this.through = open;
    this.closed = closed;
  }
}

const chainOf = (name: string) => `BERTH-${name}`;
const isIptables = (table: string) => table === "ip filter" || table === "ip6 filter";
const dropping = ({ table, name }: BaseChain) => `table ${table}, chain ${name}`;

/** The FORWARD chains of iptables that there are, and all chains of nftables that drop what is forwarded by their policy. */
async function look(
  channel: NetlinkChannel,
): Promise<{ readonly sites: readonly Site[]; readonly chains: readonly BaseChain[] }> {
  const answers = await channel.send(0, [listChains()], NETLINK_NETFILTER);
  const chains = answers.flatMap(({ body }) => baseChain(body) ?? []);
  const has = (table: string) =>
    chains.some((one) => one.table === table && one.name === "FORWARD");
  const current = ([4, 6] as const)
    .filter((family) => has(family === 4 ? "ip filter" : "ip6 filter"))
    .map((family): Site => ({ family, program: programFor(family, "nft") }));
  return {
    sites: [...current, ...(await legacySites())],
    chains: chains.filter(({ at, drops }) => at === "forward" && drops),
  };
}

function programFor(family: Family, kind: "nft" | "legacy"): string {
  const plain = family === 4 ? "iptables" : "ip6tables";
  return Bun.which(`${plain}-${kind}-save`) === null ? plain : `${plain}-${kind}`;
}

/** Tables of iptables' old kind, which are there once somebody has used them. */
async function legacySites(): Promise<Site[]> {
  const sites: Site[] = [];
  for (const [family, path] of [
    [4, "/proc/net/ip_tables_names"],
    [6, "/proc/net/ip6_tables_names"],
  ] as const) {
    const names = await readFile(path, "utf8").catch(() => "");
    if (names.split("\n").includes("filter"))
      sites.push({ family, program: programFor(family, "legacy") });
  }
  return sites;
}

/** Makes the way through one FORWARD chain what it is to be. Whether it drops what nobody knows. Throws with iptables' words. */
async function changeSite(
  program: string,
  name: string,
  bridges: readonly string[],
): Promise<boolean> {
  for (let attempt = 1; ; attempt++)
    try {
      const text = await runIptables([`${program}-save`, "-t", "filter"]);
      const state = forwardState(text, parseSaved(text));
      const script = passage(state, chainOf(name), bridges);
      if (script !== "") await runIptables([`${program}-restore`, "--noflush"], script);
      return isClosed(state, chainOf(name)) && bridges.length > 0;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
    }
}

/** Takes away what lets a daemon's bridges through; fine if there is nothing. */
export async function removePassage(channel: NetlinkChannel, name: string): Promise<void> {
  try {
    const { sites } = await look(channel);
    for (const { program } of sites) await changeSite(program, name, []);
  } catch (error) {
    log.warn("remove the way through the host's firewall", { error: messageOf(error) });
  }
}
