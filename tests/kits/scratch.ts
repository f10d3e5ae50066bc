/**
 * Directories of a test's own outside of its daemon's: the daemon reads and writes there as it would in any directory of its
 * user's, also where that user is not root (BERTH_TEST_ROOTLESS=1, BERTH_TEST_GUARDED=1) although the test is.
 */
import { chmodSync, chownSync, mkdtempSync, statSync } from "node:fs";
import { everyoneGuarded, GROUP } from "./guard-policy.ts";
import { USER } from "./rootless.ts";

/** To whom such directories are given; undefined: they stay root's. Containers of a daemon with a guard see root as the owner. */
const owner =
  process.env.BERTH_TEST_ROOTLESS === "1"
    ? { uid: USER.id, gid: USER.id }
    : everyoneGuarded
      ? { uid: 0, gid: GROUP }
      : undefined;
// What the test makes is of the directory's group, the user's: so it may be written by that.
if (owner !== undefined) process.umask(0o002);

/** Makes such a directory in /tmp, whose name begins so; whoever calls removes it. */
export function scratchDirectory(prefix: string): string {
  const path = mkdtempSync(`/tmp/${prefix}`);
  giveToDaemon(path);
  return path;
}

/** Gives a file or a directory to the daemon's user, who may be root. */
export function giveToDaemon(...paths: readonly string[]): void {
  if (owner === undefined) return;
  for (const path of paths) {
    chownSync(path, owner.uid, owner.gid);
    const info = statSync(path);
    // What its owner may do the user may, who has it by its group alone.
    chmodSync(path, info.isDirectory() ? 0o2775 : (info.mode & 0o777) | ((info.mode & 0o700) >> 3));
  }
}
