/**
 * Whether this process is in the host's own user namespace, where its rights count for everything.
 */
import { readFileSync } from "node:fs";

/** Whether a uid_map (user_namespaces(7)) is the one of the host's own. */
export function ownsEveryId(map: string): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(map);
}

let known: boolean | undefined;

/** True in a user namespace below the host's: rights count there, and not for what is the host's. */
export function inUserNamespace(): boolean {
  known ??= !ownsEveryId(readFileSync("/proc/self/uid_map", "utf8"));
  return known;
}

function ranges(map: string): { first: number; count: number }[] {
  return map
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([first = 0, , count = 0]) => ({ first, count }));
}

interface IdRanges {
  readonly uids: ReturnType<typeof ranges>;
  readonly gids: ReturnType<typeof ranges>;
}

let read: IdRanges | undefined;

function maps(): IdRanges {
  read ??= {
    uids: ranges(readFileSync("/proc/self/uid_map", "utf8")),
    gids: ranges(readFileSync("/proc/self/gid_map", "utf8")),
  };
  return read;
}

/** Whether an owner has a number outside: a file can be given to no other. */
export function hasOwner(uid: number, gid: number): boolean {
  if (!inUserNamespace()) return true;
  const has = (id: number, of: IdRanges["uids"]) =>
    of.some(({ first, count }) => id >= first && id < first + count);
  return has(uid, maps().uids) && has(gid, maps().gids);
}

/** How many groups there are, from 0 on; undefined: all. */
export function groupCount(): number | undefined {
  if (!inUserNamespace()) return undefined;
  return Math.max(...maps().gids.map(({ first, count }) => first + count));
}
