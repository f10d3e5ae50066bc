/**
 * volumes: named directories that outlive containers, and file systems and plugins' volumes that are mounted while somebody uses
 * them. Knows neither images nor containers beyond an id.
 */
export { isOwnDirectory, type VolumeDetails, VolumeDrivers } from "./drivers.ts";
export { type NewVolume, type VolumeRecord, VolumeStore } from "./local.ts";
export { mountPoints } from "./mount-points.ts";
export { VolumePlugins } from "./plugins.ts";
