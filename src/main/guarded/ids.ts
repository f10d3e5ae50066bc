/**
 * The ids of a daemon that runs as an ordinary user: in its user namespace it is root, what images give to others belongs to
 * a range of the host's ids that nobody else has, and containers' ranges are as they are. Pure.
 */
import { fault } from "../../base/errors.ts";
import { poolOf, RANGE, type SubordinateFiles } from "../../engine/index.ts";
import { rangesOverlap } from "../../spec/subordinate-ids.ts";

/** Right below the pool of containers' ranges. */
export const USUAL_OWNERS = 0x6fff0000;

/** Who the daemon is on the host. */
export interface DaemonUser {
  readonly uid: number;
  readonly gid: number;
}

/** The maps of the daemon's namespace, and what they are made of. */
export interface DaemonIds {
  readonly uidMap: string;
  readonly gidMap: string;
  /** The host's id of what is 1 inside. */
  readonly owners: number;
  /** Pairs of a first id and a number of ids. */
  readonly poolUids: readonly number[];
  readonly poolGids: readonly number[];
}

/** Slots one behind the other become one range. */
function joined(slots: readonly number[]): number[] {
  const ranges: number[] = [];
  for (const start of [...slots].sort((a, b) => a - b)) {
    const [first, count] = ranges.slice(-2);
    if (first !== undefined && count !== undefined && first + count === start)
      ranges[ranges.length - 1] = count + RANGE;
    else ranges.push(start, RANGE);
  }
  // The kernel takes 340 lines.
  return ranges.slice(0, 600);
}

function mapOf(own: number, owners: number, pool: readonly number[]): string {
  const lines = [`0 ${own} 1`, `1 ${owners} ${RANGE - 1}`];
  for (let at = 0; at + 1 < pool.length; at += 2)
    lines.push(`${pool[at]} ${pool[at]} ${pool[at + 1]}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** Throws a Fault "invalid" when the ids are somebody else's. */
export function daemonIds(
  { uid, gid }: DaemonUser,
  owners: number,
  files: SubordinateFiles,
): DaemonIds {
  const pool = poolOf(files);
  const [poolUids, poolGids] = [joined(pool.map(([id]) => id)), joined(pool.map(([, id]) => id))];
  const own = { start: owners, count: RANGE };
  const others = [...files.uids, ...files.gids].filter((range) => rangesOverlap(range, own));
  const pools = pool.flat().filter((start) => rangesOverlap({ start, count: RANGE }, own));
  if (others.length + pools.length > 0)
    throw fault(
      "invalid",
      "guard-policy",
      `the ids from ${owners} on are somebody else's in /etc/subuid or /etc/subgid: give others as "owners" in the guard's policy`,
    );
  return {
    uidMap: mapOf(uid, owners, poolUids),
    gidMap: mapOf(gid, owners, poolGids),
    owners,
    poolUids,
    poolGids,
  };
}
