/**
 * Namespaces that a process of the helper's keeps, for a daemon that is rootless or has a guard.
 */
import { existsSync } from "node:fs";

/** Whether somebody keeps them at that socket. */
export async function isKept(helper: string, socket: string): Promise<boolean> {
  if (!existsSync(socket)) return false;
  const asked = Bun.spawn([helper, "join", socket], { stdio: ["ignore", "ignore", "ignore"] });
  return (await asked.exited) === 0;
}
