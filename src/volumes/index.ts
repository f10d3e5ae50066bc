/**
 * volumes: named directories that outlive containers. Knows neither images nor containers beyond an id.
 */
export { type VolumeRecord, VolumeStore } from "./local.ts";
