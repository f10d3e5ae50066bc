/**
 * The cache of builds: what it takes, and taking it back. Its layers may be those of images and containers, too.
 */
import { statfsSync } from "node:fs";
import {
  type BuildCache,
  type CacheEntry,
  type CacheMounts,
  type CacheRecord,
  type CacheWish,
  type KeptContexts,
  recordsToForget,
  recordsToPrune,
} from "../builder/index.ts";
import type { ImageStore } from "../images/index.ts";
import { diskBytes } from "../tree/index.ts";
import { type DiskParts, layerPath } from "./parts.ts";

/** What builds keep. */
export interface BuildCacheParts {
  readonly images: ImageStore;
  readonly cache: BuildCache;
  readonly mounts: CacheMounts;
  readonly contexts: KeptContexts;
  /** Resolves when the files of what was taken away have gone. */
  settled(): Promise<void>;
}

/** What to prune, and how much room is wanted. */
export interface CacheChoice extends CacheWish {
  /** Bytes that are to be free on the disk at the end; what `keep` says stays. */
  readonly minFree: number;
  readonly dryRun: boolean;
}

/** A record with what it stands for: a step's result, or else a directory. */
interface Kept extends CacheRecord {
  readonly entry?: CacheEntry;
}

/** Which of several records of one layer stands for it: the one that has made it. */
function owners(entries: readonly CacheEntry[]): ReadonlySet<string> {
  const found = new Map<string, CacheEntry>();
  for (const entry of entries) {
    const layer = entry.snapshot.chain.at(-1) ?? "";
    const known = found.get(layer);
    if (entry.size > 0 && (known === undefined || known.size < entry.size)) found.set(layer, entry);
  }
  return new Set([...found.values()].map(({ key }) => key));
}

function stepRecords({ images, cache }: BuildCacheParts): Kept[] {
  const entries = cache.all();
  const own = owners(entries);
  const ofImages = new Set(images.list().flatMap(({ chain }) => chain));
  const makers = new Map(entries.map(({ key, snapshot }) => [snapshot.chain.at(-1), key]));
  return entries.map((entry) => {
    const { key, snapshot, description, size, created, usedAt, uses } = entry;
    const layer = snapshot.chain.at(-1) ?? "";
    const parent = makers.get(snapshot.chain.at(-2));
    return {
      ...{ id: key, type: "regular" as const, description, size, usedAt, uses, entry },
      parents: parent === undefined || parent === key ? [] : [parent],
      inUse: images.upkeep.isHeld(layer),
      shared: ofImages.has(layer) || !own.has(key),
      createdAt: Date.parse(created),
    };
  });
}

async function mountRecords({ mounts }: BuildCacheParts): Promise<Kept[]> {
  const found: Kept[] = [];
  for (const { id, path, name, createdAt, usedAt, inUse } of mounts.all())
    found.push({
      ...{ id, parents: [], type: "exec.cachemount", createdAt, usedAt, inUse, shared: false },
      ...{ description: `cached mount ${name}`, size: await diskBytes([path]), uses: 1 },
    });
  return found;
}

function contextRecords({ contexts }: BuildCacheParts): Kept[] {
  return contexts.all().map(({ id, size, createdAt, usedAt, uses, inUse }) => ({
    ...{ id, size, createdAt, usedAt, uses, inUse, parents: [], shared: false },
    ...{ type: "source.local" as const, description: "local source for context" },
  }));
}

/** Everything that builds keep. */
export async function buildCacheRecords(parts: BuildCacheParts): Promise<Kept[]> {
  return [...stepRecords(parts), ...(await mountRecords(parts)), ...contextRecords(parts)];
}

/** Takes records away, and the layers that then nothing needs; gives the ids of those that went. */
async function remove(parts: BuildCacheParts, records: readonly Kept[]): Promise<string[]> {
  const { images, cache, mounts, contexts } = parts;
  const gone: string[] = [];
  for (const { id, entry } of records) {
    if (entry === undefined) {
      if (mounts.remove(id) || contexts.remove(id)) gone.push(id);
      continue;
    }
    cache.remove(id);
    gone.push(id);
  }
  // Only now: what the last of them needed, the others did, too.
  for (const { entry } of records)
    if (entry !== undefined) await images.composer.during(entry.snapshot, async () => {});
  return gone;
}

/** The files that nothing needs any more once records are gone. */
function filesOf(disk: DiskParts, parts: BuildCacheParts, records: readonly Kept[]): string[] {
  const { images, cache, mounts, contexts } = parts;
  const going = new Set(records.map(({ id }) => id));
  const snapshots = records.flatMap(({ entry }) => entry?.snapshot ?? []);
  const needed = cache.without(
    going,
    () =>
      new Set([
        ...images.upkeep.neededBlobs(),
        ...disk.imageUsers().chains,
        ...images.list().flatMap(({ chain }) => chain),
      ]),
  );
  const isGoing = (key: string) => !needed.has(key) && !images.upkeep.isHeld(key);
  const layers = new Set(snapshots.flatMap(({ chain }) => chain).filter(isGoing));
  const blobs = new Set(snapshots.flatMap((one) => one.blobs).filter(isGoing));
  return [
    ...[...layers].map((chainId) => layerPath(disk, chainId)),
    ...[...blobs].flatMap((digest) => images.upkeep.filesOf(digest)),
    ...[...mounts.all(), ...contexts.all()].flatMap(({ id, path }) =>
      going.has(id) ? [path] : [],
    ),
  ];
}

/** So much may stay, that so much is free. */
function keepFor(
  records: readonly Kept[],
  { keep = 0, minFree }: CacheChoice,
  root: string,
): number {
  if (minFree === 0) return keep;
  const { bavail, bsize } = statfsSync(root);
  const total = records.reduce((sum, { size, shared }) => sum + (shared ? 0 : size), 0);
  const missing = Math.max(0, minFree - bavail * bsize);
  // With room enough nothing goes; 0 would say that no room is to be kept.
  return missing === 0 ? Math.max(keep, total, 1) : Math.max(keep, total - missing);
}

/** Removes what is chosen; the bytes are those of the disk. */
export async function pruneBuildCache(
  disk: DiskParts,
  parts: BuildCacheParts,
  choice: CacheChoice,
): Promise<{ CachesDeleted: readonly string[]; SpaceReclaimed: number }> {
  const records = await buildCacheRecords(parts);
  const keep = keepFor(records, choice, disk.dataRoot);
  const chosen = recordsToPrune(records, { ...choice, keep });
  const SpaceReclaimed = await diskBytes(filesOf(disk, parts, chosen));
  if (choice.dryRun) return { CachesDeleted: chosen.map(({ id }) => id), SpaceReclaimed };
  const CachesDeleted = await remove(parts, chosen);
  await parts.settled();
  disk.events.emit("builder", "prune", "", { reclaimed: String(SpaceReclaimed) });
  return { CachesDeleted, SpaceReclaimed };
}

/** Takes away what is too old, and the oldest of too much. */
export async function forgetBuildCache(parts: BuildCacheParts): Promise<void> {
  await remove(parts, recordsToForget(await buildCacheRecords(parts), Date.now()));
}
