/**
 * Directories of a test's own outside of its daemon's: the daemon reads and writes there as it would in any directory of its
 * user's, also where that user is not root (BERTH_TEST_ROOTLESS=1) although the test is.
 */
import { chmodSync, chownSync, mkdtempSync, statSync } from "node:fs";
import { USER } from "./rootless.ts";

const isUsers = process.env.BERTH_TEST_ROOTLESS === "1";
// What the test makes is of the directory's group, the user's: so it may be written by that.
if (isUsers) process.umask(0o002);

/** Makes such a directory in /tmp, whose name begins so; whoever calls removes it. */
export function scratchDirectory(prefix: string): string {
  const path = mkdtempSync(`/tmp/${prefix}`);
  if (isUsers) giveToDaemon(path);
  return path;
}

/** Gives a file or a directory to the daemon's user, who may be root. */
export function giveToDaemon(...paths: readonly string[]): void {
  if (!isUsers) return;
  for (const path of paths) {
    chownSync(path, USER.id, USER.id);
    if (statSync(path).isDirectory()) chmodSync(path, 0o2775);
  }
}
