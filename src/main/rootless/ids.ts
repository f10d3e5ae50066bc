/**
 * Which ids a rootless daemon's user namespace has: its user is root there, and the ids that /etc/subuid and /etc/subgid
 * give to the user are 1, 2, … Pure.
 */
import { fault } from "../../base/errors.ts";
import { rangesOfUser, type SubordinateIds } from "../../spec/subordinate-ids.ts";

/** newuidmap takes no more lines. */
const MAX_RANGES = 300;

/** What newuidmap and newgidmap are told: triples of a number inside, one outside, and how many. */
export interface OwnMaps {
  readonly uids: readonly string[];
  readonly gids: readonly string[];
  /** As many ids as there are besides root's. */
  readonly count: number;
}

/** Whoever starts the daemon. */
export interface OwnUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

function rangesOf(all: readonly SubordinateIds[], user: OwnUser): readonly SubordinateIds[] {
  return rangesOfUser(all, user).slice(0, MAX_RANGES);
}

function triples(
  own: number,
  ranges: readonly SubordinateIds[],
): { words: string[]; count: number } {
  const words = ["0", String(own), "1"];
  let next = 1;
  for (const { start, count } of ranges) {
    words.push(String(next), String(start), String(count));
    next += count;
  }
  return { words, count: next - 1 };
}

/** The maps of a user. Throws a Fault "unsupported" that says what to do when the user has no ranges. */
export function ownMaps(
  user: OwnUser,
  files: { readonly uids: readonly SubordinateIds[]; readonly gids: readonly SubordinateIds[] },
): OwnMaps {
  const [uidRanges, gidRanges] = [rangesOf(files.uids, user), rangesOf(files.gids, user)];
  const missing = [
    ...(uidRanges.length === 0 ? ["/etc/subuid"] : []),
    ...(gidRanges.length === 0 ? ["/etc/subgid"] : []),
  ];
  if (missing.length > 0)
    throw fault(
      "unsupported",
      "rootless-ids",
      `${missing.join(" and ")} give${missing.length === 1 ? "s" : ""} the user ${user.name} no ids for containers: as root, run "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${user.name}" (with ids that nobody else has there)`,
    );
  const uids = triples(user.uid, uidRanges);
  const gids = triples(user.gid, gidRanges);
  return { uids: uids.words, gids: gids.words, count: Math.min(uids.count, gids.count) };
}
