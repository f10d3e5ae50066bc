/**
 * storage: layers and containers' writable directories on disk. Gives mounts as data, and knows neither images nor
 * containers beyond an id.
 */
export { type Change, type Comparison, changesIn } from "./changes.ts";
export {
  checkSupported,
  chooseDriver,
  driverNamed,
  hasData,
  readNote,
  type StorageNote,
  writeNote,
} from "./choice.ts";
export { type DriverSupport, fileSystemOf, openDriver, probeDrivers } from "./create.ts";
export type {
  ContainerLayer,
  DriverName,
  LayerInput,
  RootMount,
  SnapshotDriver,
  StagedLayer,
  StorageKernel,
  Usage,
} from "./driver.ts";
export { driverNames } from "./driver.ts";
export { type Cargo, moveAll } from "./move.ts";
export { packChanges, packPlaces } from "./pack.ts";
export { damagedLayer } from "./store.ts";
export { usageOf } from "./usage.ts";
export { copyTree } from "./vfs.ts";
export { ContainerView, type Found, type ViewMount } from "./view.ts";
