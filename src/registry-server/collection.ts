/**
 * Garbage collection, while the registry serves: blobs that no manifest of their repository names, and, when asked for,
 * manifests that no tag leads to. What somebody has sent or asked about lately stays, since a push may be about to name it.
 */
import { log } from "../base/log.ts";
import type { RegistryStore } from "./store.ts";

/** A push has this long between its first blob and its manifest. */
export const GRACE_MS = 3600_000;

/** What is to be collected. */
export interface CollectionOptions {
  readonly dryRun: boolean;
  readonly deleteUntagged: boolean;
  /** What has been touched within so many milliseconds stays. */
  readonly graceMs: number;
}

/** What was collected, or would be. */
export interface Collected {
  readonly manifests: readonly string[];
  readonly blobs: readonly string[];
  /** Blobs that no manifest names, and that are too young to go. */
  readonly young: number;
}

/** Collects repository by repository, and lets others be served in between. Names are "repository@digest". */
export async function collectGarbage(
  store: RegistryStore,
  { dryRun, deleteUntagged, graceMs }: CollectionOptions,
): Promise<Collected> {
  const { data } = store;
  const manifests: string[] = [];
  const blobs: string[] = [];
  let young = 0;
  for (const repository of data.everyRepository()) {
    await Bun.sleep(0);
    // From here to the end of the round nobody else has a turn: what is found is still so when it is deleted.
    const before = Date.now() - graceMs;
    const untagged = deleteUntagged ? data.unreachableManifests(repository, before) : [];
    const doomed = new Set(untagged);
    const unnamed = data.unnamedBlobs(repository, before, doomed);
    young += data.unnamedBlobs(repository, Date.now(), doomed).length - unnamed.length;
    manifests.push(...untagged.map((digest) => `${repository}@${digest}`));
    blobs.push(...unnamed.map((digest) => `${repository}@${digest}`));
    if (dryRun) continue;
    for (const digest of untagged) store.removeManifest(repository, digest);
    for (const digest of unnamed) store.removeBlob(repository, digest);
  }
  if (!dryRun)
    log.info("registry: collected", { manifests: manifests.length, blobs: blobs.length, young });
  return { manifests, blobs, young };
}
