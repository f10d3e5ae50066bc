/**
 * Results of builds that hosts share: what is read of others' caches, and what is written for them.
 */
export {
  BrokenCache,
  type CacheSource,
  type LoadedCache,
  SharedCaches,
  type SharedHit,
} from "./caches.ts";
export { CACHE_CONFIG, INLINE_FIELD, parseRecords, writeInline, writeRecords } from "./format.ts";
export type { SharedExport } from "./trail.ts";
