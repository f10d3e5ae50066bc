/**
 * berth's firewall table as the kernel has it. The kernel knows it as the helper's: nobody else's `nft flush ruleset` or reload of
 * a firewall touches it. Where the kernel cannot do that, or is not to, what others take out of it is noticed and put back.
 */
import { fault } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { KernelError } from "../kernel/index.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import {
  additions,
  isRelayed,
  type LedPort,
  type NetworkRules,
  type OpenedPort,
  openRequests,
  publishRequests,
  relayKey,
  removals,
  ruleset,
  tableRemoval,
} from "./firewall.ts";
import type { Firewall, FirewallContents } from "./firewall-backend.ts";
import type { NetlinkRequest } from "./netlink.ts";
import { RulesWatch } from "./rules-watch.ts";

const EPERM = 1;
const ENOENT = 2;
const EOPNOTSUPP = 95;
/** How long the helper of a daemon that has just been killed may still hold the table; milliseconds. */
const PATIENCE_MS = 5000;

/** The table of one daemon. */
export class FirewallTable implements Firewall {
  readonly driver = "nftables";
  private held: boolean;
  /** How many relayed ports have the same number. */
  private readonly relayed = new Map<string, number>();

  constructor(
    private readonly channel: NetlinkChannel,
    private readonly name: string,
    /** Others are to be kept from changing it. */
    private readonly lock: boolean,
    /** What it is to have at this moment. */
    private readonly contents: () => FirewallContents,
    private readonly watch = new RulesWatch(channel.kernel),
  ) {
    this.held = lock;
  }

  get about(): [string, string][] {
    return [
      ["Table", this.name],
      ["Locked", String(this.held)],
    ];
  }

  /** Puts it in place for the first time. Throws a Fault "failed" that says what the kernel refuses. */
  async open(): Promise<void> {
    await this.patiently(() => this.restore());
    if (this.lock && !this.held)
      log.info("the kernel lets others flush berth's firewall table; it is put back then", {
        table: this.name,
      });
    if (!this.held) this.watch.begin(new Set([this.name]), () => this.restore().then(() => true));
  }

  private async patiently(work: () => Promise<void>): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    for (;;)
      try {
        return await work();
      } catch (error) {
        const errno = error instanceof KernelError ? error.errno : 0;
        if (errno === EOPNOTSUPP && this.held) this.held = false;
        else if (errno !== EPERM || Date.now() > end) throw refusal(error);
        else await Bun.sleep(20);
      }
  }

  /** Puts it in place as it is to be, in one transaction, whatever there is of it. Later changes come behind that. */
  async restore(): Promise<void> {
    const contents = this.contents();
    this.relayed.clear();
    for (const port of contents.ports) this.count(port, 1);
    await this.send(ruleset(this.name, { ...contents, held: this.held }));
  }

  /**
   * Makes a network part of it. Where others have taken the table away, the whole of it is put back. Throws a Fault "failed" that says
   * what the kernel refuses.
   */
  async add(network: NetworkRules): Promise<void> {
    try {
      await this.send(additions(this.name, network)).catch(() => this.restore());
    } catch (error) {
      throw refusal(error);
    }
  }

  /** Takes a network out of it. */
  async remove(network: NetworkRules): Promise<void> {
    await this.send(removals(this.name, network)).catch(() => this.restore());
  }

  async lead(withdrawn: readonly LedPort[], led: readonly LedPort[]): Promise<void> {
    const touched = new Map([...withdrawn, ...led].map((port) => [relayKey(port), port]));
    const had = new Set([...touched.keys()].filter((key) => this.relayed.has(key)));
    for (const port of withdrawn) this.count(port, -1);
    for (const port of led) this.count(port, 1);
    const changed = (has: boolean) =>
      [...touched]
        .filter(([key]) => this.relayed.has(key) === has && had.has(key) !== has)
        .map(([, port]) => port);
    const goes = { ports: withdrawn, relayed: changed(false) };
    await this.change(publishRequests(this.name, goes, { ports: led, relayed: changed(true) }));
  }

  private count(port: LedPort, change: number): void {
    if (!isRelayed(port)) return;
    const key = relayKey(port);
    const count = (this.relayed.get(key) ?? 0) + change;
    if (count > 0) this.relayed.set(key, count);
    else this.relayed.delete(key);
  }

  async expose(ports: readonly OpenedPort[], open: boolean): Promise<void> {
    await this.change(openRequests(this.name, ports, open));
  }

  /** Where others have taken the table away, the whole of it is put back. */
  private async change(requests: readonly NetlinkRequest[]): Promise<void> {
    try {
      await this.send(requests);
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== ENOENT) throw error;
      await this.restore();
    }
  }

  /** What others do from now on is not looked at. */
  end(): void {
    this.watch.end();
  }

  /** Takes it away; fine if it is not there. */
  async drop(): Promise<void> {
    await this.patiently(() => this.send(tableRemoval(this.name)));
  }

  private async send(requests: readonly NetlinkRequest[]): Promise<void> {
    await this.channel.send(0, requests, NETLINK_NETFILTER);
  }
}

function refusal(error: unknown): unknown {
  if (!(error instanceof KernelError)) return error;
  const words = `the kernel refuses berth's firewall table: ${error.message}`;
  return fault("failed", "firewall", words, error);
}
