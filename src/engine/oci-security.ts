/**
 * Capabilities, devices and paths as Docker's defaults and options have them: pure.
 */
import { fault } from "../base/errors.ts";
import { capabilityList, capabilityMask, capabilityNames } from "../runtime/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { OciDevice, OciDeviceRule } from "../spec/oci-runtime.ts";
import { securityOption } from "./security-options.ts";

const defaultCapabilities = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** The names of what a field lists, "ALL" left out. Throws a Fault "invalid" that names the field. */
function namesIn(field: "CapAdd" | "CapDrop", words: readonly string[]): string[] {
  return words
    .map((word) => word.toUpperCase())
    .filter((word) => word !== "ALL")
    .map((word) => {
      const name = word.startsWith("CAP_") ? word : `CAP_${word}`;
      if (!capabilityNames.includes(name))
        throw fault("invalid", "capability", `invalid ${field}: unknown capability: "${name}"`);
      return name;
    });
}

/** What a container is given besides the usual: names, or "CAP_ALL". */
export function addedCapabilities({ CapAdd }: HostConfig): readonly string[] {
  const words = CapAdd ?? [];
  return words.some((word) => word.toUpperCase() === "ALL")
    ? ["CAP_ALL"]
    : namesIn("CapAdd", words);
}

/** The capabilities of a container, never more than `host`, the engine's own bounding set. */
export function capabilitiesOf(config: HostConfig, host: bigint): string[] {
  if (config.Privileged) return capabilityList(host);
  const isAll = (word: string) => word.toUpperCase() === "ALL";
  const add = config.CapAdd ?? [];
  const drop = config.CapDrop ?? [];
  const added = capabilityMask(namesIn("CapAdd", add));
  const dropped = capabilityMask(namesIn("CapDrop", drop));
  let mask = capabilityMask(defaultCapabilities);
  if (add.some(isAll)) mask = host;
  else if (drop.some(isAll)) mask = 0n;
  return capabilityList(
    (drop.some(isAll) && !add.some(isAll) ? added : (mask | added) & ~dropped) & host,
  );
}

/** Paths of /proc and /sys that tell or change too much. */
export const maskedPaths: readonly string[] = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];

/** Paths of /proc that may be read only. */
export const readonlyPaths: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** True when nothing is masked or read-only unless the user names it. */
export function pathsUnconfined(config: HostConfig): boolean {
  return config.Privileged === true || securityOption(config, "systempaths") === "unconfined";
}

function node(path: string, major: number, minor: number): OciDevice {
  return { type: "c", path, major, minor, fileMode: 0o666, uid: 0, gid: 0 };
}

/** The nodes that every container has. */
export const defaultDevices: readonly OciDevice[] = [
  node("/dev/null", 1, 3),
  node("/dev/zero", 1, 5),
  node("/dev/full", 1, 7),
  node("/dev/random", 1, 8),
  node("/dev/urandom", 1, 9),
  node("/dev/tty", 5, 0),
];

function allow(
  type: "b" | "c",
  major: number | undefined,
  minor: number | undefined,
  access: string,
): OciDeviceRule {
  return {
    allow: true,
    type,
    access,
    ...(major === undefined ? {} : { major }),
    ...(minor === undefined ? {} : { minor }),
  };
}

/** All nodes may be made, only these may be opened. */
export const usualDeviceRules: readonly OciDeviceRule[] = [
  { allow: false, type: "a", access: "rwm" },
  allow("c", undefined, undefined, "m"),
  allow("b", undefined, undefined, "m"),
  allow("c", 1, 3, "rwm"),
  allow("c", 1, 5, "rwm"),
  allow("c", 1, 7, "rwm"),
  allow("c", 1, 8, "rwm"),
  allow("c", 1, 9, "rwm"),
  allow("c", 5, 0, "rwm"),
  allow("c", 5, 1, "rwm"),
  allow("c", 5, 2, "rwm"),
  allow("c", 136, undefined, "rwm"),
];

function parseRule(text: string): OciDeviceRule {
  const match = /^([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text);
  if (match === null)
    throw fault("invalid", "device-rule", `invalid device cgroup rule format: '${text}'`);
  const [, type = "a", major = "*", minor = "*", access = "rwm"] = match;
  if (type === "a") return { allow: true, type: "a", access: "rwm" };
  const numeric = (word: string) => (word === "*" ? undefined : Number(word));
  return allow(type as "b" | "c", numeric(major), numeric(minor), access);
}

/** A device of the host that is to be inside, with the access that is granted. */
export interface GrantedDevice {
  /** Where the host has it. */
  readonly host: string;
  readonly node: OciDevice;
  readonly access: string;
}

/** The rules of the device cgroup. */
export function deviceRules(
  config: HostConfig,
  devices: readonly GrantedDevice[],
): OciDeviceRule[] {
  if (config.Privileged) return [{ allow: true, type: "a", access: "rwm" }];
  return [
    ...usualDeviceRules,
    ...devices.map(({ node: { type, major, minor }, access }) =>
      allow(type === "b" ? "b" : "c", major, minor, access),
    ),
    ...(config.DeviceCgroupRules ?? []).map(parseRule),
  ];
}
