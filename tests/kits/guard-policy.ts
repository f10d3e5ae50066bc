/**
 * BERTH_TEST_GUARDED=1 runs a file's tests on daemons that root starts and that run as an ordinary user (`berth daemon --user`),
 * under a policy that allows what the tests ask for.
 */
import { chmodSync, copyFileSync, existsSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Nobody on any host. */
export const USER = 61234;
/** Likewise. */
export const GROUP = 61235;

/** Whether every daemon of a test's is to be such a one. */
export const everyoneGuarded = process.env.BERTH_TEST_GUARDED === "1";

/** What a daemon's directory begins with. What tests bind is in /tmp, and a policy's binds may not hold a daemon's roots. */
export function roomFor(prefix: string): string {
  return `${everyoneGuarded ? "/var/tmp" : "/tmp"}/${prefix}`;
}

/** Whether everybody comes along the way to a file. */
function isReachable(path: string): boolean {
  for (let at = dirname(path); at !== "/"; at = dirname(at))
    if ((statSync(at).mode & 1) === 0) return false;
  return true;
}

/** An executable where everybody reaches it: itself, or a copy in a directory. */
export function reachable(executable: string, directory: string): string {
  if (isReachable(executable)) return executable;
  const copy = `${directory}/berth`;
  if (!existsSync(copy)) copyFileSync(executable, copy);
  chmodSync(copy, 0o755);
  return copy;
}

/** Writes the policy into the daemon's directory; gives the flags to come before the test's own. */
export function guardedFlags(directory: string, flags: readonly string[]): readonly string[] {
  const policy = `${directory}/policy.json`;
  chmodSync(directory, 0o755);
  // Where a test has the daemon's roots in /tmp nothing else there can be bound.
  const free = flags.some((flag) => /^--(data|exec)-root/.test(flag)) ? [] : ["/tmp"];
  const devices = ["/dev/fuse", "/dev/null", "/dev/kmsg"];
  const binds = [...free, join(import.meta.dir, "../..")];
  writeFileSync(policy, JSON.stringify({ binds, privileged: true, devices }));
  chmodSync(policy, 0o600);
  return ["--user", `${USER}:${GROUP}`, "--guard-policy", policy];
}
