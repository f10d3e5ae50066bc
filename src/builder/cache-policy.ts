/**
 * Which entries of the cache go: when somebody asks for it, and by themselves. Pure.
 */
import type { CacheEntry } from "./cache.ts";

/** What is to go. */
export interface CacheWish {
  /** Entries that an image uses, too. */
  readonly all: boolean;
  /** Only those that were not used since; milliseconds since 1970. */
  readonly unusedSince?: number | undefined;
  /** Bytes that may stay: what was used last stays. */
  readonly keep?: number | undefined;
  /** Their ids or beginnings of these; undefined: any. */
  readonly ids?: readonly string[] | undefined;
}

/** Bytes of the cache that stay without anybody's asking, and how long what is not used stays; milliseconds. */
export const usualPolicy = { keep: 20 * 2 ** 30, age: 30 * 24 * 3600_000 } as const;

/** Whether an entry's own layer belongs to an image, too: it then takes no room of its own. */
export function isShared(entry: CacheEntry, imageLayers: ReadonlySet<string>): boolean {
  return imageLayers.has(entry.snapshot.chain.at(-1) ?? "");
}

/** The entries that go; `entries`: those that were used last at the end. */
export function entriesToPrune(
  entries: readonly CacheEntry[],
  wish: CacheWish,
  imageLayers: ReadonlySet<string>,
): CacheEntry[] {
  const { all, unusedSince = Number.POSITIVE_INFINITY, keep = 0, ids } = wish;
  let total = entries.reduce((sum, { size }) => sum + size, 0);
  const chosen: CacheEntry[] = [];
  for (const entry of entries) {
    if (total <= keep && keep > 0) break;
    if (!all && isShared(entry, imageLayers)) continue;
    if (entry.usedAt >= unusedSince) continue;
    if (ids !== undefined && !ids.some((id) => entry.key.startsWith(id))) continue;
    chosen.push(entry);
    total -= entry.size;
  }
  return chosen;
}

/** The entries that go by themselves: those that nobody has used for long, and the oldest of more than there may be. */
export function entriesToForget(entries: readonly CacheEntry[], now: number): CacheEntry[] {
  const none: ReadonlySet<string> = new Set();
  const old = entriesToPrune(entries, { all: true, unusedSince: now - usualPolicy.age }, none);
  const rest = entries.filter((entry) => !old.includes(entry));
  return [...old, ...entriesToPrune(rest, { all: true, keep: usualPolicy.keep }, none)].filter(
    (entry, index, all) => all.indexOf(entry) === index,
  );
}
