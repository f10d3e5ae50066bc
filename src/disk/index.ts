/**
 * disk: what takes room under the data root, whether it is whole, and taking it back. Knows neither HTTP nor argv.
 */
export {
  type BuildCacheParts,
  buildCacheRecords,
  type CacheChoice,
  forgetBuildCache,
  pruneBuildCache,
} from "./build-cache.ts";
export { type CheckLine, type CheckWish, checkDataRoot } from "./check.ts";
export { type DuplicateReport, findDuplicates } from "./duplicates.ts";
export type { DiskParts } from "./parts.ts";
export { type PruneChoice, pruneImages, pruneVolumes } from "./prune.ts";
export { type DataRootUsage, dataRootUsage } from "./usage.ts";
