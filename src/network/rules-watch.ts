/**
 * Notices that somebody has taken something out of berth's part of the firewall (`nft flush ruleset`, a firewall's reload), by the
 * kernel's own notices, and has it put back. The helper tells of nothing that berth itself has done there.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Kernel } from "../kernel/index.ts";
import { NETLINK_NETFILTER } from "./channel.ts";
import { noticesIn } from "./nftables.ts";

/** NFNLGRP_NFTABLES, as a bit. */
const GROUP = 1 << 6;
/** NFT_MSG_DELTABLE, DELCHAIN, DELRULE, DELSET and DELSETELEM (linux/netfilter/nf_tables.h). */
const DELETIONS: ReadonlySet<number> = new Set([2, 5, 8, 11, 14]);
/** Who takes a table away often goes on for a moment; milliseconds. */
const SETTLE_MS = 20;
/** What others do over and over again must not keep the daemon from its work; milliseconds between two repairs. */
const PAUSE_MS = 200;

/** Whether messages tell of something that has been taken out of one of some tables. */
export function tellsOfLoss(messages: Uint8Array, tables: ReadonlySet<string>): boolean {
  return noticesIn(messages).some(({ kind, table }) => DELETIONS.has(kind) && tables.has(table));
}

/** Watches tables until the helper ends, whose notices go to one that asks for them. */
export class RulesWatch {
  private readonly watched: {
    readonly isMeant: (messages: Uint8Array) => boolean;
    readonly repair: () => Promise<boolean>;
  }[] = [];
  private ended = false;

  constructor(private readonly kernel: Kernel) {}

  /**
   * Looks after more tables. Where the kernel gives no notices, nothing is noticed. `repair` makes everything whole and says whether
   * anything was not.
   */
  begin(tables: ReadonlySet<string>, repair: () => Promise<boolean>): void {
    this.beginWith((messages) => tellsOfLoss(messages, tables), repair);
  }

  /** Looks for other notices, too; as `begin`. */
  beginWith(isMeant: (messages: Uint8Array) => boolean, repair: () => Promise<boolean>): void {
    this.watched.push({ isMeant, repair });
    if (this.watched.length > 1) return;
    this.watch().catch((error) =>
      log.debug("the firewall is not watched any more", { error: messageOf(error) }),
    );
  }

  /** What others do from now on is not looked at. */
  end(): void {
    this.ended = true;
  }

  private async watch(): Promise<void> {
    for (;;) {
      const { messages, lost } = await this.kernel.watchNetlink(NETLINK_NETFILTER, GROUP);
      if (this.ended) return;
      const hit = this.watched.filter(({ isMeant }) => lost || isMeant(messages));
      if (hit.length === 0) continue;
      await Bun.sleep(SETTLE_MS);
      for (const { repair } of hit)
        await repair().then(
          (changed) => {
            if (changed)
              log.warn("others have changed berth's part of the firewall; it is whole again");
          },
          (error) => log.error("put the firewall's rules back", { error: messageOf(error) }),
        );
      await Bun.sleep(PAUSE_MS);
    }
  }
}
