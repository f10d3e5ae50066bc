/**
 * Ranges of ids that belong to a user, as /etc/subuid and /etc/subgid (subuid(5)) list them. Pure.
 */

/** Ids from `start` on. */
export interface IdRange {
  readonly start: number;
  readonly count: number;
}

/** A line of the file. */
export interface SubordinateIds extends IdRange {
  /** A name, or a number. */
  readonly owner: string;
}

const LINE = /^([^:#\s][^:]*):(\d{1,10}):(\d{1,10})\s*$/;
/** How many ids there are: the last one stands for none. */
const IDS = 2 ** 32 - 1;

/** The lines that make sense; what does not is nobody's. */
export function parseSubordinateIds(text: string): SubordinateIds[] {
  return text.split("\n").flatMap((line) => {
    const [, owner = "", start, count] = LINE.exec(line.trim()) ?? [];
    const range = { owner, start: Number(start), count: Number(count) };
    return owner !== "" && range.count > 0 && range.start + range.count <= IDS ? [range] : [];
  });
}

/** Images have owners up to here; with fewer ids some of them cannot be unpacked. */
export const USUAL_IDS = 65_536;

/** The ranges of a user, whom a line may name or number. */
export function rangesOfUser(
  all: readonly SubordinateIds[],
  { name, uid }: { readonly name: string; readonly uid: number },
): SubordinateIds[] {
  return all.filter(({ owner }) => owner === name || owner === String(uid));
}

/** Whether two ranges have an id in common. */
export function rangesOverlap(one: IdRange, other: IdRange): boolean {
  return one.start < other.start + other.count && other.start < one.start + one.count;
}
