/**
 * engine: containers and execs, from creation to removal, across the daemon's own restarts. Knows neither HTTP nor argv.
 */

export type { LogEntry, LogQuery } from "../logging/index.ts";
export { assembleEngine, type EngineParts } from "./assembly.ts";
export { type BuildStep, BuildSteps } from "./build-steps.ts";
export type { ExitStatus, WaitCondition } from "./container.ts";
export type { ContainerRecord, MountRecord } from "./container-record.ts";
export type { Created, CreateInput } from "./create.ts";
export { ContainerDatabase } from "./database.ts";
export type { EngineDeps, EngineSettings } from "./deps.ts";
export type { Engine, ListQuery, OpenLog } from "./engine.ts";
export { type EngineEvent, Events } from "./events.ts";
export type { ExecConfig, ExecState } from "./exec.ts";
export { choosablePorts } from "./guard-limits.ts";
export { compiledFilter } from "./launch.ts";
export { subordinateFiles } from "./listed-ids.ts";
export { engineMetrics } from "./metrics.ts";
export { chainsOf, imagesOf, wholeChainsOf } from "./mounts.ts";
export { NameLookup } from "./name-lookup.ts";
export { NetworkList } from "./network-list.ts";
export { usualDeviceRules } from "./oci-security.ts";
export { prunable } from "./prune.ts";
export { liveEndpoints, recover } from "./recovery.ts";
export { ContainerRegistry } from "./registry.ts";
export { securityReport } from "./security-report.ts";
export type { StreamChoice } from "./streams.ts";
export { poolOf, RANGE, type SubordinateFiles } from "./user-ids.ts";
export { checkRemap, userNamespacesMissing } from "./user-namespaces.ts";
export { UserNamespaceStock } from "./user-stock.ts";
export { copyVolume, exportVolume, importVolume } from "./volume-copies.ts";
export { copyIntoVolume, copyOutOfVolume, statInVolume } from "./volume-files.ts";
