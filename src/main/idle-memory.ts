/**
 * What an idle daemon can do without: garbage, and its own program's pages, which the kernel keeps in the page cache anyway
 * and gives back at the next use.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { log } from "../base/log.ts";

const MADV_DONTNEED = 4;

/** A mapping's first byte and length. */
export interface Range {
  readonly start: bigint;
  readonly length: bigint;
}

/** The executable, read-only mappings of a file in /proc/PID/maps: those that can hold nothing but the file's content. */
export function programRanges(maps: string, path: string): Range[] {
  return maps.split("\n").flatMap((line) => {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \d+ +(.*)$/.exec(line);
    if (match === null || match[3] !== path) return [];
    const start = BigInt(`0x${match[1]}`);
    return [{ start, length: BigInt(`0x${match[2]}`) - start }];
  });
}

/** Gives memory back to the host. Costs the next request about a millisecond. */
export function releaseMemory(): void {
  Bun.gc(true);
  const ranges = programRanges(
    readFileSync("/proc/self/maps", "utf8"),
    readlinkSync("/proc/self/exe"),
  );
  try {
    const { dlopen } = require("bun:ffi") as typeof import("bun:ffi");
    const libc = dlopen("libc.so.6", {
      madvise: { args: ["u64", "u64", "int"], returns: "int" },
    });
    for (const { start, length } of ranges) libc.symbols.madvise(start, length, MADV_DONTNEED);
    libc.close();
  } catch (error) {
    log.debug("release the program's pages", { error });
  }
}
