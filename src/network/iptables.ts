/**
 * The firewall as iptables' chains, as Docker has them: what is there is read, and what is missing or too much is changed by
 * `iptables-restore --noflush`, a table in one transaction. Rules of others stay as they are.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Family } from "./addresses.ts";
import type { Firewall, FirewallContents } from "./firewall-backend.ts";
import { changes, parseSaved, removal, type Saved } from "./iptables-changes.ts";
import { rulesFor, tableNames } from "./iptables-rules.ts";
import type { RulesWatch } from "./rules-watch.ts";

/** Others may change the same tables between reading and writing. */
const ATTEMPTS = 5;
const PAUSE_MS = 20;
/** How long iptables of the old kind waits for others of its kind; seconds. */
const LOCK_S = "10";

const programs = { 4: "iptables", 6: "ip6tables" } as const;

/**
 * Runs one of iptables' programs, `-save` or `-restore`, which waits for others of its kind; gives what it says. Throws an Error with
 * its complaint.
 */
export async function runIptables(argv: readonly string[], stdin = ""): Promise<string> {
  const waits = argv[0]?.endsWith("-restore") ? ["--wait", LOCK_S] : [];
  const child = Bun.spawn([...argv, ...waits], {
    stdin: new TextEncoder().encode(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, complaint] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) === 0) return out;
  throw new Error(`${argv[0]}: ${complaint.trim()}`);
}

async function saved(family: Family): Promise<Saved> {
  return parseSaved(await runIptables([`${programs[family]}-save`]));
}

/** A daemon's rules in iptables' tables. */
export class Iptables implements Firewall {
  readonly driver = "iptables";
  readonly about = [];
  private turn: Promise<unknown> = Promise.resolve();
  private waiting: Promise<boolean> | undefined;
  /** The daemon itself has changed what is wanted. */
  private asked = false;
  /** Rules of IPv6 are there, or may be. */
  private sixth = true;

  constructor(
    /** By this comment a daemon's rules are known. */
    private readonly mark: string,
    /** What is to be there at this moment. */
    private readonly contents: () => FirewallContents,
    private readonly watch: RulesWatch,
  ) {}

  async open(): Promise<void> {
    await this.restore();
    this.watch.begin(new Set(tableNames), () => this.bring());
  }

  async restore(): Promise<void> {
    this.asked = true;
    await this.bring();
  }

  add(): Promise<void> {
    return this.restore();
  }

  remove(): Promise<void> {
    return this.restore();
  }

  lead(): Promise<void> {
    return this.restore();
  }

  expose(): Promise<void> {
    return this.restore();
  }

  end(): void {
    this.watch.end();
  }

  async drop(): Promise<void> {
    await this.turn;
    for (const family of [4, 6] as const)
      await this.change(family, (present) => removal(present, family, this.mark)).catch((error) => {
        if (family === 4 || this.sixth) throw error;
      });
  }

  /** Brings about what is wanted; whoever comes while another change waits has it done by that. Whether others have changed anything. */
  private bring(): Promise<boolean> {
    if (this.waiting !== undefined) return this.waiting;
    const next = this.turn.then(() => {
      this.waiting = undefined;
      const asked = this.asked;
      this.asked = false;
      return this.bringNow().then((changed) => changed && !asked);
    });
    this.waiting = next;
    this.turn = next.catch(() => {});
    return next;
  }

  private async bringNow(): Promise<boolean> {
    const four = await this.bringFamily(4);
    const wantsSix = this.contents().networks.some(({ subnet6 }) => subnet6 !== undefined);
    if (wantsSix) {
      this.sixth = true;
      return (await this.bringFamily(6)) || four;
    }
    if (!this.sixth) return four;
    // No network has IPv6: what there may be of an earlier one goes, and a host without IPv6 is as good.
    await this.change(6, (present) => removal(present, 6, this.mark)).catch((error) =>
      log.debug("look for old rules of IPv6", { error: messageOf(error) }),
    );
    this.sixth = false;
    return four;
  }

  private bringFamily(family: Family): Promise<boolean> {
    return this.change(family, (present) =>
      changes(present, rulesFor(this.contents(), family, this.mark), family, this.mark),
    );
  }

  /** Reads, and changes what is to be changed. Throws a Fault "failed" with what iptables says. */
  private async change(family: Family, scriptFor: (present: Saved) => string): Promise<boolean> {
    for (let attempt = 1; ; attempt++)
      try {
        const script = scriptFor(await saved(family));
        if (script === "") return false;
        await runIptables([`${programs[family]}-restore`, "--noflush"], script);
        return true;
      } catch (error) {
        if (attempt === ATTEMPTS) throw refusal(error);
        await Bun.sleep(PAUSE_MS);
      }
  }
}

function refusal(error: unknown): unknown {
  const words = `berth's rules cannot be put into iptables' tables: ${messageOf(error)}`;
  return fault("failed", "firewall", words, error);
}
