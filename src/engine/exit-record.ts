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
}

/** Reads the shim's record from a time without a daemon; undefined when there is none. */
export function readExitRecord(directory: string): ExitRecord | undefined {
  try {
    const [status = "", , oomKills = "", finished = ""] = readFileSync(`${directory}/exit`, "utf8")
      .trim()
      .split(" ");
    if (!/^\d+$/.test(status) || !/^\d+$/.test(finished)) return undefined;
    return {
      status: Number(status),
      oomKills: Number(oomKills),
      finished: Number(BigInt(finished) / 1_000_000n),
    };
  } catch {
    return undefined;
  }
}
