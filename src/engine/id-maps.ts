/**
 * Owners of a bind mount as an intent: the files of one user appear as another's, and back. Pure.
 */
import { fault } from "../base/errors.ts";
import type { OciIdMapping } from "../spec/oci-runtime.ts";

/** How many ids there are: the last one stands for none. */
const IDS = 2 ** 32 - 1;

/** What a container is to see of a host's user and group. */
export interface MatchedUser {
  /** undefined: whoever owns the source when the container starts. */
  readonly host?: { readonly uid: number; readonly gid: number } | undefined;
}

/** "UID:GID", as the invoking user says who that is. */
export function parseHostUser(text: string): { uid: number; gid: number } {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (uid === undefined || gid === undefined || Number(uid) >= IDS || Number(gid) >= IDS)
    throw fault("invalid", "mount", `idmap: ${JSON.stringify(text)} is no UID:GID`);
  return { uid: Number(uid), gid: Number(gid) };
}

/** Two ids in each other's place, and every other as it is; nothing where that is the same. */
export function swapped(one: number, other: number): OciIdMapping[] {
  if (one === other) return [];
  const [low, high] = [Math.min(one, other), Math.max(one, other)];
  const same = (from: number, to: number): OciIdMapping[] =>
    to > from ? [{ containerID: from, hostID: from, size: to - from }] : [];
  return [
    ...same(0, low),
    { containerID: low, hostID: high, size: 1 },
    ...same(low + 1, high),
    { containerID: high, hostID: low, size: 1 },
    ...same(high + 1, IDS),
  ];
}

/** The maps of a mount; nothing when the two users are one. */
export function ownerMaps(
  host: { readonly uid: number; readonly gid: number },
  container: { readonly uid: number; readonly gid: number },
): { uidMappings?: OciIdMapping[]; gidMappings?: OciIdMapping[] } {
  const [uids, gids] = [swapped(host.uid, container.uid), swapped(host.gid, container.gid)];
  if (uids.length + gids.length === 0) return {};
  const all = [{ containerID: 0, hostID: 0, size: IDS }];
  return {
    uidMappings: uids.length === 0 ? all : uids,
    gidMappings: gids.length === 0 ? all : gids,
  };
}
