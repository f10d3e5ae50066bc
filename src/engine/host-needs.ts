/**
 * What of a container only works in the host's user namespace: by what it was asked for, and by what a start finds. Where
 * nobody has asked for a user namespace, such a container has the host's, and inspect says why.
 */
import { statSync } from "node:fs";
import type { HostConfig } from "../spec/engine-api.ts";
import type { ResolvedUser } from "../spec/users.ts";
import type { ContainerRecord } from "./container-record.ts";
import { devicesOf } from "./host.ts";
import { addedCapabilities } from "./oci-security.ts";

/** Capabilities that the kernel asks for in the host's user namespace alone; all others count in a container's own, too. */
const hostCapabilities: ReadonlySet<string> = new Set([
  "CAP_ALL",
  "CAP_AUDIT_CONTROL",
  "CAP_AUDIT_READ",
  "CAP_BLOCK_SUSPEND",
  "CAP_BPF",
  "CAP_IPC_LOCK",
  "CAP_LINUX_IMMUTABLE",
  "CAP_MAC_ADMIN",
  "CAP_MAC_OVERRIDE",
  "CAP_MKNOD",
  "CAP_PERFMON",
  "CAP_SYSLOG",
  "CAP_SYS_BOOT",
  "CAP_SYS_MODULE",
  "CAP_SYS_NICE",
  "CAP_SYS_PACCT",
  "CAP_SYS_RAWIO",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_WAKE_ALARM",
]);

/** By what was asked for; undefined: nothing. */
export function needOfWishes(hostConfig: HostConfig): string | undefined {
  const capability = addedCapabilities(hostConfig).find((name) => hostCapabilities.has(name));
  if (capability !== undefined) return `--cap-add=${capability.slice(4)}`;
  const [rule] = hostConfig.DeviceCgroupRules ?? [];
  return rule === undefined ? undefined : `--device-cgroup-rule="${rule}"`;
}

/** Whether a node's permissions let everybody do what is granted; only its owner is somebody in a container. */
function isForAll(path: string, access: string): boolean {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
  return (!access.includes("r") || (mode & 4) !== 0) && (!access.includes("w") || (mode & 2) !== 0);
}

/** By what a start finds; `ids`: how many a container has; undefined: nothing. Throws Faults for devices that there are not. */
export function needAtStart(
  { hostConfig }: ContainerRecord,
  { uid, gid, groups }: ResolvedUser,
  ids: number,
): string | undefined {
  const closed = devicesOf(hostConfig).find(({ host, access }) => !isForAll(host, access));
  if (closed !== undefined) return `--device=${closed.host} (not everybody may open it)`;
  if (uid >= ids) return `--user=${uid} (beyond a container's ids)`;
  const group = [gid, ...groups].find((id) => id >= ids);
  return group === undefined ? undefined : `the group ${group} (beyond a container's ids)`;
}
