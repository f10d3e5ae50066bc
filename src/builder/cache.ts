/**
 * Which layers came of which steps: the cache of builds, over the lives of daemons. A key says everything that a step's
 * result depends on, its parent's chain id first, so that an entry is never stale; it may only be gone.
 */
import type { Database } from "bun:sqlite";
import type { Snapshot } from "./ports.ts";

/** What is known of a step's result. */
export interface CacheEntry {
  readonly key: string;
  readonly snapshot: Snapshot;
  /** When the step was done; ISO 8601. */
  readonly created: string;
  /** Milliseconds since 1970. */
  readonly usedAt: number;
  readonly uses: number;
  /** The instruction. */
  readonly description: string;
  /** Bytes of content of its own layer. */
  readonly size: number;
}

interface Row {
  readonly key: string;
  readonly snapshot: string;
  readonly created: string;
  readonly used_at: number;
  readonly uses: number;
  readonly description: string;
  readonly size: number;
}

function entryOf(row: Row): CacheEntry {
  return {
    key: row.key,
    snapshot: JSON.parse(row.snapshot) as Snapshot,
    created: row.created,
    usedAt: row.used_at,
    uses: row.uses,
    description: row.description,
    size: row.size,
  };
}

/** A key of everything that a step depends on. */
export function cacheKey(parts: readonly unknown[]): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** Blobs and layers with how many entries need each. */
class Needs {
  readonly blobs = new Map<string, number>();
  readonly chains = new Map<string, number>();

  count({ blobs, chain }: Snapshot, by: 1 | -1): void {
    for (const [counts, keys] of [
      [this.blobs, blobs],
      [this.chains, chain],
    ] as const)
      for (const key of keys) {
        const left = (counts.get(key) ?? 0) + by;
        if (left > 0) counts.set(key, left);
        else counts.delete(key);
      }
  }
}

/** The entries of one data root. */
export class BuildCache {
  private leftOut: ReadonlySet<string> = new Set();
  /** Of all entries; asked for at the end of every step, so that it is not read from the disk each time. */
  private needs: Needs | undefined;

  constructor(private readonly db: Database) {
    db.run(
      "CREATE TABLE IF NOT EXISTS build_cache (key TEXT PRIMARY KEY, snapshot TEXT, created TEXT, used_at INTEGER, uses INTEGER, description TEXT, size INTEGER)",
    );
  }

  /** What a key led to; counts as a use. */
  find(key: string): CacheEntry | undefined {
    const row = this.db.query<Row, [string]>("SELECT * FROM build_cache WHERE key = ?").get(key);
    if (row === null) return undefined;
    this.db.run("UPDATE build_cache SET used_at = ?, uses = uses + 1 WHERE key = ?", [
      Date.now(),
      key,
    ]);
    return entryOf(row);
  }

  /** The layers that a key leads to; no use of them. */
  layersOf(key: string): Snapshot | undefined {
    const row = this.db
      .query<Pick<Row, "snapshot">, [string]>("SELECT snapshot FROM build_cache WHERE key = ?")
      .get(key);
    return row === null ? undefined : (JSON.parse(row.snapshot) as Snapshot);
  }

  /** Notes a result; the last one counts. */
  put(entry: Pick<CacheEntry, "key" | "snapshot" | "created" | "description" | "size">): void {
    this.forgetNeeds(entry.key);
    this.db.run("INSERT OR REPLACE INTO build_cache VALUES (?, ?, ?, ?, 0, ?, ?)", [
      entry.key,
      JSON.stringify(entry.snapshot),
      entry.created,
      Date.now(),
      entry.description,
      entry.size,
    ]);
    this.needs?.count(entry.snapshot, 1);
  }

  private forgetNeeds(key: string): void {
    const snapshot = this.needs && this.layersOf(key);
    if (snapshot !== undefined) this.needs?.count(snapshot, -1);
  }

  /** All entries, those that were used last at the end. */
  all(): CacheEntry[] {
    return this.db.query<Row, []>("SELECT * FROM build_cache ORDER BY used_at").all().map(entryOf);
  }

  /** Forgets an entry. Its layers go when nothing else needs them. */
  remove(key: string): void {
    this.forgetNeeds(key);
    this.db.run("DELETE FROM build_cache WHERE key = ?", [key]);
  }

  /** What work finds out as though some entries were gone. */
  without<T>(keys: ReadonlySet<string>, work: () => T): T {
    this.leftOut = keys;
    try {
      return work();
    } finally {
      this.leftOut = new Set();
    }
  }

  /** Whether an entry needs a blob or a layer (by its chain id). */
  needsKey(key: string): boolean {
    const { blobs, chains } = this.counted();
    return blobs.has(key) || chains.has(key);
  }

  /** Blobs and layers that entries need, each once, so that nobody else deletes them. */
  needed(): { readonly blobs: readonly string[]; readonly chains: readonly string[] } {
    const { blobs, chains } = this.leftOut.size === 0 ? this.counted() : this.countAll();
    return { blobs: [...blobs.keys()], chains: [...chains.keys()] };
  }

  private counted(): Needs {
    this.needs ??= this.countAll();
    return this.needs;
  }

  private countAll(): Needs {
    const needs = new Needs();
    const rows = this.db.query<Pick<Row, "key" | "snapshot">, []>(
      "SELECT key, snapshot FROM build_cache",
    );
    for (const { key, snapshot } of rows.iterate())
      if (!this.leftOut.has(key)) needs.count(JSON.parse(snapshot) as Snapshot, 1);
    return needs;
  }
}
