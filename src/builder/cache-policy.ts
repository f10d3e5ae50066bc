/**
 * What of the cache goes: when somebody asks for it, and by itself. Pure.
 */

/** Something that the cache keeps: a step's layer, a directory of RUN --mount=type=cache, or a context's files. */
export interface CacheRecord {
  readonly id: string;
  readonly parents: readonly string[];
  readonly type: "regular" | "exec.cachemount" | "source.local";
  readonly description: string;
  /** A build works with it just now. */
  readonly inUse: boolean;
  /** An image has it, too, or another record: it takes no room of its own. */
  readonly shared: boolean;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly usedAt: number;
  readonly uses: number;
}

/** What is to go. */
export interface CacheWish {
  /** What images have, too. */
  readonly all: boolean;
  /** Only what was not used since; milliseconds since 1970. */
  readonly unusedSince?: number | undefined;
  /** Bytes that may stay: what was used last stays. */
  readonly keep?: number | undefined;
  /** Ids, or beginnings of them; undefined: any. This and the following must all hold. */
  readonly ids?: readonly string[] | undefined;
  readonly parents?: readonly string[] | undefined;
  readonly types?: readonly string[] | undefined;
  readonly descriptions?: readonly string[] | undefined;
  /** True: what is shared alone; false: what is not. */
  readonly shared?: boolean | undefined;
  /** What is in use never goes: true means nothing. */
  readonly inUse?: boolean | undefined;
}

/** Bytes of the cache that stay without anybody's asking, and how long what is not used stays; milliseconds. */
export const usualPolicy = { keep: 20 * 2 ** 30, age: 30 * 24 * 3600_000 } as const;

function isWished(record: CacheRecord, wish: CacheWish): boolean {
  const { all, unusedSince = Number.POSITIVE_INFINITY, ids, parents, types, descriptions } = wish;
  if (record.inUse || wish.inUse === true || (record.shared && !all)) return false;
  if (record.usedAt >= unusedSince) return false;
  if (wish.shared !== undefined && record.shared !== wish.shared) return false;
  if (ids !== undefined && !ids.some((id) => record.id.startsWith(id))) return false;
  if (parents !== undefined && !parents.some((id) => record.parents.includes(id))) return false;
  if (types !== undefined && !types.includes(record.type)) return false;
  return descriptions === undefined || descriptions.includes(record.description);
}

/** The records that go; what was not used for longest first, until no more is left than may stay. */
export function recordsToPrune<R extends CacheRecord>(records: readonly R[], wish: CacheWish): R[] {
  const { keep = 0 } = wish;
  const taking = (record: R) => (record.shared ? 0 : record.size);
  let total = records.reduce((sum, record) => sum + taking(record), 0);
  const chosen: R[] = [];
  for (const record of [...records].sort((a, b) => a.usedAt - b.usedAt)) {
    if (keep > 0 && total <= keep) break;
    if (!isWished(record, wish)) continue;
    chosen.push(record);
    total -= taking(record);
  }
  return chosen;
}

/** What goes by itself: what nobody has used for long, and the oldest of more than there may be. */
export function recordsToForget<R extends CacheRecord>(records: readonly R[], now: number): R[] {
  const old = recordsToPrune(records, { all: true, unusedSince: now - usualPolicy.age });
  const rest = records.filter((record) => !old.includes(record));
  return [...old, ...recordsToPrune(rest, { all: true, keep: usualPolicy.keep })];
}
