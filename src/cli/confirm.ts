/**
 * Asking before something is lost.
 */
import { readSync } from "node:fs";
import { out } from "./output.ts";

/** Shows the warning and asks; true for y or yes. */
export async function confirm(warning: string, gap = "\n"): Promise<boolean> {
  out(`${warning}${gap}Are you sure you want to continue? [y/N] `);
  const buffer = new Uint8Array(256);
  const length = readSync(0, buffer);
  const answer = new TextDecoder().decode(buffer.subarray(0, length)).trim().toLowerCase();
  return answer === "y" || answer === "yes";
}
