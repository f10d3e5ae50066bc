/**
 * images: the content store, names, loading, importing and removing. Knows nothing of containers beyond who uses what.
 */
export type { CheckOptions, CheckStep, Problem } from "./check.ts";
export type { Composed } from "./composer.ts";
export { ContentStore } from "./content.ts";
export { Downloads } from "./downloads.ts";
export type { KeepBlobs } from "./dropped.ts";
export type { Parcel } from "./exporter.ts";
export { Holds } from "./holds.ts";
export type { LayerSet, SetLayer } from "./layer-set.ts";
export { chainIds, type HistoryEntry, type ImageDocument, type ImageRecord } from "./model.ts";
export type {
  Admission,
  CommitOptions,
  ImageStoreOptions,
  LayerOrigin,
  LoadedImage,
  LoadOptions,
  OpenRepository,
  SharedBlobs,
  TransferOptions,
} from "./options.ts";
export type { Progress, Report } from "./progress.ts";
export type { ImageUsers, RemovalPlan, RemovalStep, RemovalWish } from "./removal.ts";
export { ImageStore } from "./store.ts";
export type { ImageUpkeep } from "./upkeep.ts";
export {
  checkPlatform,
  checkRunnable,
  type Filters,
  filterImages,
  historyOf,
  hostPlatform,
  inspectOf,
  sharedSizes,
  summaryOf,
} from "./views.ts";
