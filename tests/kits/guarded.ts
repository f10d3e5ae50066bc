/**
 * A daemon that root starts and that runs as an ordinary user, with a policy of the test's own.
 */
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "./daemon.ts";
import { GROUP, reachable, USER } from "./guard-policy.ts";

const executable = join(import.meta.dir, "../../dist/berth");

export { GROUP, USER };

/** One daemon of that kind, with its guard. */
export class GuardedDaemon extends TestDaemon {
  /** The policy's file. */
  readonly policy = `${this.directory}/policy.json`;

  constructor(policy: unknown, ...flags: string[]) {
    super(["--user", `${USER}:${GROUP}`, ...flags]);
    chmodSync(this.directory, 0o755);
    writeFileSync(this.policy, JSON.stringify(policy));
    chmodSync(this.policy, 0o600);
  }

  override start(...more: string[]): Promise<this> {
    return super.start("--guard-policy", this.policy, ...more);
  }

  /** The executable may be where only root comes: a copy of it is not. */
  protected override get program(): string {
    return reachable(executable, this.directory);
  }

  /** The guard's program. */
  get helper(): string {
    const directory = `${this.directory}/data-guard/bin`;
    return `${directory}/${readdirSync(directory).find((name) => name.startsWith("berth-helper"))}`;
  }

  /** By which the guard is asked. */
  get guardSocket(): string {
    return `${this.directory}/data-guard/socket`;
  }

  /** What the guard has refused. */
  get refusals(): string {
    return readFileSync(`${this.directory}/data-guard/refusals.log`, "utf8");
  }
}
