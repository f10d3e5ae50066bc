/**
 * What a running container's first process really has, as the kernel says it in /proc: not what was asked for.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { deviceNumbers } from "../base/device-number.ts";
import { fault } from "../base/errors.ts";
import { inUserNamespace } from "../base/user-namespace.ts";
import { capabilityList } from "../runtime/index.ts";
import type { IdRange, SecurityReport } from "../spec/extensions.ts";
import type { EngineDeps } from "./deps.ts";

/** The texts of /proc/PID that a report is made of; empty where the kernel has no such file. */
export interface ProcTexts {
  readonly status: string;
  readonly uidMap: string;
  readonly gidMap: string;
  readonly mountinfo: string;
  readonly limits: string;
  readonly cgroup: string;
  readonly label: string;
  readonly oomScoreAdj: string;
}

const namespaceKinds = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] as const;
const seccompModes: Readonly<Record<string, SecurityReport["Seccomp"]["Mode"]>> = {
  "1": "strict",
  "2": "filter",
};

function rangesOf(text: string): IdRange[] {
  return text
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((row) => row.length === 3)
    .map(([ContainerId = 0, HostId = 0, Size = 0]) => ({ ContainerId, HostId, Size }));
}

interface MountRow {
  readonly root: string;
  readonly path: string;
  readonly options: string;
  readonly type: string;
}

/** What is mounted on the kernel's own files: at each path what was mounted last, which is all that a process meets there. */
function kernelMounts(mountinfo: string): MountRow[] {
  const last = new Map<string, MountRow>();
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "", path = "", options = ""] = before.split(" ");
    // The hierarchies below are as their top is.
    if (!/^\/(proc|sys)(\/|$)/.test(path) || path.startsWith("/sys/fs/cgroup/")) continue;
    last.delete(path);
    last.set(path, { root, path, options, type: after.split(" ")[0] ?? "" });
  }
  return [...last.values()];
}

/** Where something stands over a path of the kernel's, or where it may only be read: as it is mounted, not as it was meant. */
function coveredPaths(mountinfo: string): Pick<SecurityReport, "MaskedPaths" | "ReadonlyPaths"> {
  const rows = kernelMounts(mountinfo);
  // Control groups are where they belong, whatever version they have.
  const isOwn = ({ path, type }: MountRow) =>
    path === "/sys/fs/cgroup" || type === (/^\/proc\b/.test(path) ? "proc" : "sysfs");
  const isReadonly = ({ options }: MountRow) => /^ro\b/.test(options);
  const isMask = (row: MountRow) =>
    !isOwn(row) && (row.root.endsWith("/null") || (row.type === "tmpfs" && isReadonly(row)));
  const paths = (chosen: MountRow[]) => chosen.map(({ path }) => path);
  return {
    MaskedPaths: paths(rows.filter(isMask)),
    ReadonlyPaths: paths(rows.filter((row) => isOwn(row) && isReadonly(row))),
  };
}

/** "Max open files  1024  4096  files" and its like. */
function limitsOf(text: string): SecurityReport["Rlimits"] {
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, Name, Soft, Hard] = /^Max (.+?)\s{2,}(\S+)\s+(\S+)/.exec(line) ?? [];
      return Name && Soft && Hard ? [{ Name, Soft, Hard }] : [];
    });
}

/** What the texts say: pure. */
export function reportOf(
  texts: ProcTexts,
): Omit<SecurityReport, "Id" | "Name" | "Pid" | "Namespaces" | "OpenDevices" | "DeviceRules"> {
  const field = (name: string) =>
    new RegExp(`^${name}:\\s*(.*)$`, "m").exec(texts.status)?.[1] ?? "";
  const numbers = (name: string) => field(name).split(/\s+/).filter(Boolean).map(Number);
  const set = (name: string) => capabilityList(BigInt(`0x${field(name) || "0"}`));
  // Behind the real ones: what a setuid program may do is by these.
  const [, Uid = 0] = numbers("Uid");
  const [, Gid = 0] = numbers("Gid");
  return {
    User: { Uid, Gid, Groups: numbers("Groups") },
    UidMap: rangesOf(texts.uidMap),
    GidMap: rangesOf(texts.gidMap),
    Capabilities: {
      Effective: set("CapEff"),
      Permitted: set("CapPrm"),
      Inheritable: set("CapInh"),
      Bounding: set("CapBnd"),
      Ambient: set("CapAmb"),
    },
    NoNewPrivileges: field("NoNewPrivs") === "1",
    Seccomp: {
      Mode: seccompModes[field("Seccomp")] ?? "disabled",
      Filters: Number(field("Seccomp_filters") || 0),
    },
    Label: texts.label.replace(/[\0\n]+$/, ""),
    Cgroups: texts.cgroup.split("\n").filter(Boolean),
    ...coveredPaths(texts.mountinfo),
    Rlimits: limitsOf(texts.limits),
    OomScoreAdj: Number(texts.oomScoreAdj),
  };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Namespaces, and whether the host is in the same ones: the engine is, but for a user namespace of its own. */
function namespacesOf(pid: number): SecurityReport["Namespaces"] {
  const link = (of: number | "self", kind: string) => {
    try {
      return readlinkSync(`/proc/${of}/ns/${kind}`);
    } catch {
      return "";
    }
  };
  return namespaceKinds.flatMap((Type) => {
    const Id = link(pid, Type);
    const isOwn = Type === "user" && inUserNamespace();
    return Id === "" ? [] : [{ Type, Id, SharedWithHost: !isOwn && Id === link("self", Type) }];
  });
}

/** The devices that the process has open, each once. */
function openDevices(pid: number): string[] {
  const found = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const info = statSync(`/proc/${pid}/fd/${fd}`);
      if (!info.isCharacterDevice() && !info.isBlockDevice()) continue;
      const { major, minor } = deviceNumbers(info.rdev);
      const name = readlinkSync(`/proc/${pid}/fd/${fd}`);
      found.add(`${info.isBlockDevice() ? "b" : "c"} ${major}:${minor} ${name}`);
    } catch {
      // Closed meanwhile.
    }
  }
  return [...found].sort();
}

/** The rules of version 1's devices controller; a program's (version 2) cannot be read back. */
function deviceRules(cgroup: string): SecurityReport["DeviceRules"] {
  const path = /^\d+:devices:(.*)$/m.exec(cgroup)?.[1];
  if (path === undefined) return null;
  const text = textOf(`/sys/fs/cgroup/devices${path}/devices.list`);
  return text === "" ? null : text.trim().split("\n");
}

/** The report of a container that runs. Throws Faults "not-found" and "conflict". */
export function securityReport(
  { registry }: Pick<EngineDeps, "registry">,
  reference: string,
): SecurityReport {
  const container = registry.get(reference);
  const { pid } = container.record.state;
  const notRunning = () =>
    fault("conflict", "not-running", `container ${container.id} is not running`);
  if (!container.running || pid <= 0) throw notRunning();
  const proc = `/proc/${pid}`;
  const texts: ProcTexts = {
    status: textOf(`${proc}/status`),
    uidMap: textOf(`${proc}/uid_map`),
    gidMap: textOf(`${proc}/gid_map`),
    mountinfo: textOf(`${proc}/mountinfo`),
    limits: textOf(`${proc}/limits`),
    cgroup: textOf(`${proc}/cgroup`),
    label: textOf(`${proc}/attr/current`),
    oomScoreAdj: textOf(`${proc}/oom_score_adj`),
  };
  if (texts.status === "") throw notRunning();
  return {
    Id: container.id,
    Name: container.record.name,
    Pid: pid,
    ...reportOf(texts),
    Namespaces: namespacesOf(pid),
    DeviceRules: deviceRules(texts.cgroup),
    OpenDevices: openDevices(pid),
  };
}
