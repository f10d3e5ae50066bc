/**
 * Which ids of the host a container's users have: ranges of a pool, ranges of a user, and what both make of an owner. Pure.
 */
import { fault } from "../base/errors.ts";
import type { OciIdMapping } from "../spec/oci-runtime.ts";
import { type IdRange, rangesOverlap, type SubordinateIds } from "../spec/subordinate-ids.ts";

/** As many ids as a container has. */
export const RANGE = 65536;
/**
 * Where the ranges of --userns=auto come from unless /etc/subuid has some for the user "berth": systemd's list of ids has
 * these as unused (above its own containers', below 2^31, beyond which some programs take ids for negative).
 */
export const defaultPool: IdRange = { start: 0x70000000, count: 0x0fff0000 };
/** The user whose ranges the pool is. */
export const POOL_OWNER = "berth";
/** More ranges than these nobody needs. */
const MAX_SLOTS = 65536;
/** An id that no file has: what the engine itself makes in a container's tree appears to come from it, until it has its owner. */
const NOBODYS = 4294967294;

/** A container's ids 0 to RANGE as the host has them. */
export interface UserIds {
  readonly uidMap: readonly OciIdMapping[];
  readonly gidMap: readonly OciIdMapping[];
}

/** The lists of a host. */
export interface SubordinateFiles {
  readonly uids: readonly SubordinateIds[];
  readonly gids: readonly SubordinateIds[];
}

function slotsOf(ranges: readonly IdRange[]): number[] {
  const slots: number[] = [];
  for (const { start, count } of ranges)
    for (let at = start; at + RANGE <= start + count && slots.length < MAX_SLOTS; at += RANGE)
      slots.push(at);
  return slots;
}

/** A pool of ranges: pairs of a first user id and a first group id. */
export function poolOf({ uids, gids }: SubordinateFiles): readonly (readonly [number, number])[] {
  const own = (all: readonly SubordinateIds[]) => all.filter(({ owner }) => owner === POOL_OWNER);
  const [ownUids, ownGids] = [slotsOf(own(uids)), slotsOf(own(gids))];
  if (ownUids.length > 0 && ownGids.length > 0)
    return ownUids.slice(0, ownGids.length).map((uid, at) => [uid, ownGids[at] ?? 0]);
  const others = [...uids, ...gids];
  return slotsOf([defaultPool])
    .filter((start) => !others.some((range) => rangesOverlap(range, { start, count: RANGE })))
    .map((start) => [start, start]);
}

/** The maps of a range. */
export function rangeIds([uid, gid]: readonly [number, number]): UserIds {
  const map = (hostID: number) => [{ containerID: 0, hostID, size: RANGE }];
  return { uidMap: map(uid), gidMap: map(gid) };
}

/** Whether one of the maps has an id of a range. */
function reaches(map: readonly OciIdMapping[], range: IdRange): boolean {
  return map.some(({ hostID, size }) => rangesOverlap({ start: hostID, count: size }, range));
}

/** A range of the pool that nobody has. Which one is left to chance, so that daemons that do not know of each other hardly meet. */
export function freeIds(
  pool: readonly (readonly [number, number])[],
  taken: readonly UserIds[],
  random = Math.random,
): UserIds {
  const first = Math.floor(random() * pool.length);
  for (let at = 0; at < pool.length; at++) {
    const slot = pool[(first + at) % pool.length];
    if (slot === undefined) continue;
    const [users, groups] = slot.map((start) => ({ start, count: RANGE }));
    // Those that have been given out before the pool was another lie across its ranges.
    const isTaken = ({ uidMap, gidMap }: UserIds) =>
      (users !== undefined && reaches(uidMap, users)) ||
      (groups !== undefined && reaches(gidMap, groups));
    if (!taken.some(isTaken)) return rangeIds(slot);
  }
  throw fault(
    "failed",
    "no-user-ids",
    `all ${pool.length} ranges of ids for --userns=auto are taken: remove containers, or give the user ${POOL_OWNER} more in /etc/subuid and /etc/subgid`,
  );
}

function concatenated(ranges: readonly IdRange[]): OciIdMapping[] {
  let containerID = 0;
  return ranges.map(({ start, count }) => {
    const mapping = { containerID, hostID: start, size: count };
    containerID += count;
    return mapping;
  });
}

/** The ids of a user and a group of /etc/subuid and /etc/subgid, one range after the other, as Docker's userns-remap has them. */
export function remapIds(
  { uids, gids }: SubordinateFiles,
  user: readonly string[],
  group: readonly string[],
): UserIds {
  const of = (all: readonly SubordinateIds[], names: readonly string[], what: string) => {
    const found = all.filter(({ owner }) => names.includes(owner));
    if (found.length > 0) return concatenated(found);
    throw fault(
      "invalid",
      "no-subordinate-ids",
      `no ${what} ranges found for ${what === "subuid" ? "user" : "group"} ${JSON.stringify(names[0])}`,
    );
  };
  return { uidMap: of(uids, user, "subuid"), gidMap: of(gids, group, "subgid") };
}

/** What the host has for an id of the container's; undefined: nothing. */
export function hostIdOf(map: readonly OciIdMapping[], id: number): number | undefined {
  const found = map.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return found && found.hostID + id - found.containerID;
}

/**
 * The maps of mounts: what the disk has as 0 appears as the container's root. The host's own root, who is nobody there, may
 * make files, too; its maps therefore have one id more.
 */
export function ownersThrough({ uidMap, gidMap }: UserIds): UserIds {
  const ofEngine = { containerID: NOBODYS, hostID: 0, size: 1 };
  return { uidMap: [...uidMap, ofEngine], gidMap: [...gidMap, ofEngine] };
}

/** A map of owners to the container's ids, and on to the host's. */
export function composed(
  first: readonly OciIdMapping[],
  second: readonly OciIdMapping[],
): OciIdMapping[] {
  return first.flatMap((one) =>
    second.flatMap((two) => {
      const from = Math.max(one.hostID, two.containerID);
      const to = Math.min(one.hostID + one.size, two.containerID + two.size);
      if (to <= from) return [];
      return [
        {
          containerID: one.containerID + from - one.hostID,
          hostID: two.hostID + from - two.containerID,
          size: to - from,
        },
      ];
    }),
  );
}
