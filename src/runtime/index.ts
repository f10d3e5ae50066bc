/**
 * runtime: OCI configuration → launch plan → a running process, and its control group. Knows neither images nor HTTP.
 */

export { AppArmor, DEFAULT_PROFILE, UNCONFINED } from "./apparmor.ts";
export { capabilityList, capabilityMask, capabilityNames } from "./capabilities.ts";
export { type CgroupLimit, v1Writes } from "./cgroup-resources.ts";
export type { CgroupUsage, IoRow } from "./cgroup-stats.ts";
export { type CgroupJoin, Cgroups } from "./cgroups.ts";
export { compactFilter } from "./compact-filter.ts";
export { deviceFilter } from "./device-filter.ts";
export { type HostFeatures, probeFeatures } from "./features.ts";
export { MadeCgroups } from "./made-cgroups.ts";
export { delegatedCgroups } from "./own-cgroups.ts";
export {
  type ExecExtras,
  idMapText,
  overlayParams,
  ownersKey,
  type PlanExtras,
  type PlanLog,
  type PlanRoot,
  toExecPlan,
  toLaunchPlan,
} from "./plan.ts";
export { rlimitNumber } from "./rlimits.ts";
export {
  defaultSeccompProfile,
  parseSeccompProfile,
  resolveSeccomp,
  type SeccompHost,
  type SeccompProfile,
  seccompFlags,
  seccompRules,
} from "./seccomp.ts";
export { Selinux } from "./selinux.ts";
export {
  type AttachedStream,
  attachShim,
  connectShim,
  execInShim,
  LaunchFailure,
  type RelayedPort,
  type ShimConnection,
  type ShimEvent,
  type ShimHandlers,
  type StreamHandlers,
} from "./shim-client.ts";
