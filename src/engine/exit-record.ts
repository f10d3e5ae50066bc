/**
 * The exit record that a shim leaves in its run directory.
 */
import { readFileSync } from "node:fs";

/** How a container's process ended, as its shim recorded it. */
export interface ExitRecord {
  readonly status: number;
  readonly oomKills: number;
  /** Milliseconds since 1970. */
  readonly finished: number;
  /** Log records that were lost while nobody listened. */
  readonly lost?: { readonly dropped: number; readonly failed: number };
}

/** Reads the shim's record from a time without a daemon; undefined when there is none. */
export function readExitRecord(directory: string): ExitRecord | undefined {
  try {
    const fields = readFileSync(`${directory}/exit`, "utf8").trim().split(" ");
    const [status = "", , oomKills = "", finished = "", dropped = "0", failed = "0"] = fields;
    if (!/^\d+$/.test(status) || !/^\d+$/.test(finished)) return undefined;
    return {
      status: Number(status),
      oomKills: Number(oomKills),
      finished: Number(BigInt(finished) / 1_000_000n),
      lost: { dropped: Number(dropped), failed: Number(failed) },
    };
  } catch {
    return undefined;
  }
}
