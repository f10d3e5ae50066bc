/**
 * builder: Dockerfiles to images. Knows neither the engine nor HTTP.
 */
export { Agents } from "./agents.ts";
export { BuildCache, type CacheEntry } from "./cache.ts";
export { CacheMounts, type KeptMount } from "./cache-mounts.ts";
export {
  type CacheRecord,
  type CacheWish,
  recordsToForget,
  recordsToPrune,
} from "./cache-policy.ts";
export { type BuildContext, type ContextDeps, type ContextSource, openContext } from "./context.ts";
export { changeConfig } from "./dockerfile/changes.ts";
export { StepRecords } from "./explain.ts";
export { type KeptContextInfo, KeptContexts } from "./kept-contexts.ts";
export { NamedContexts } from "./named-contexts.ts";
export type { Done, PerformerDeps } from "./perform.ts";
export type {
  BaseImage,
  BuildImages,
  BuildRunner,
  BuiltBase,
  BuiltImage,
  Snapshot,
  StepLimits,
  StepMount,
  StepRun,
} from "./ports.ts";
export type { GitAccess } from "./repositories.ts";
export { type BuildRequest, type Entitlement, epochOf } from "./request.ts";
export {
  CACHE_CONFIG,
  type CacheSource,
  INLINE_FIELD,
  type LoadedCache,
  parseRecords,
  SharedCaches,
  type SharedExport,
  writeRecords,
} from "./shared/index.ts";
export { build, check } from "./solve.ts";
export { squashHistory } from "./squash.ts";
export { BuildThreads } from "./threads/pool.ts";
