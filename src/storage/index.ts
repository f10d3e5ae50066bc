/**
 * storage: layers and containers' writable directories on disk. Gives mounts as data, and knows neither images nor
 * containers beyond an id.
 */
export { createDriver } from "./create.ts";
export type {
  ContainerLayer,
  LayerInput,
  RootMount,
  SnapshotDriver,
  Usage,
} from "./driver.ts";
export { resolveMerged } from "./merged.ts";
export { usageOf } from "./usage.ts";
export type { ContainerView, Found, ViewMount } from "./view.ts";
