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
  type LedPort,
  type NetworkRules,
  type OpenedPort,
  openRequests,
  publishRequests,
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
  private readonly watch: RulesWatch;
  private held: boolean;

  constructor(
    private readonly channel: NetlinkChannel,
    private readonly name: string,
    /** Others are to be kept from changing it. */
    private readonly lock: boolean,
    /** What it is to have at this moment. */
    private readonly contents: () => FirewallContents,
  ) {
    this.held = lock;
    this.watch = new RulesWatch(channel.kernel, name, () => this.restore());
  }

  get about(): [string, string][] {
    return [
      ["Table", this.name],
      ["Locked", String(this.held)],
    ];
  }

  /** Puts it in place for the first time. Throws a Fault "failed" that says what the kernel refuses. */
  async open(): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    for (;;)
      try {
        await this.restore();
        break;
      } catch (error) {
        const errno = error instanceof KernelError ? error.errno : 0;
        if (errno === EOPNOTSUPP && this.held) this.held = false;
        else if (errno !== EPERM || Date.now() > end) throw refusal(error);
        else await Bun.sleep(20);
      }
    if (this.lock && !this.held)
      log.info("the kernel lets others flush berth's firewall table; it is put back then", {
        table: this.name,
      });
    if (!this.held) this.watch.begin();
  }

  /** Puts it in place as it is to be, in one transaction, whatever there is of it. Later changes come behind that. */
  async restore(): Promise<void> {
    await this.send(ruleset(this.name, { ...this.contents(), held: this.held }));
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
    await this.change(publishRequests(this.name, withdrawn, led));
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
    await this.send(tableRemoval(this.name));
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
