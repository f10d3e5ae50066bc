/**
 * A container's mounts as the OCI configuration lists them, in the order in which they must be made. Pure.
 */
import type { OciIdMapping, OciMount } from "../spec/oci-runtime.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import { ownerMaps } from "./id-maps.ts";
import type { SpecInput } from "./oci.ts";
import { securitySwitch } from "./security-options.ts";
import { seesSelinux } from "./selinux-labels.ts";
import { composed, ownersThrough } from "./user-ids.ts";

const guarded = ["nosuid", "noexec", "nodev"];

function systemMounts({ record, namespaces, features }: SpecInput): OciMount[] {
  const { hostConfig } = record;
  const privileged = hostConfig.Privileged === true;
  const writableCgroups = securitySwitch(hostConfig, "writable-cgroups") ?? privileged;
  const dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
  const pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
  const mount = (destination: string, type: string, options: readonly string[]): OciMount => ({
    destination,
    type,
    source: type,
    options,
  });
  // Of a namespace that belongs to the host's user namespace nobody else mounts such a file system.
  const hostsPids = features.inUserNamespace && namespaces.pid === "host";
  const hostsIpc = features.inUserNamespace && namespaces.ipc === "host";
  return [
    hostsPids
      ? { ...mount("/proc", "bind", ["rbind", "rprivate"]), source: "/proc" }
      : mount("/proc", "proc", guarded),
    mount("/dev", "tmpfs", dev),
    mount("/dev/pts", "devpts", pts),
    // sysfs shows the network namespace of who mounts it; the host's cannot be mounted anew.
    mount("/sys", "sysfs", [...guarded, ...(privileged ? [] : ["ro"])]),
    mount("/sys/fs/cgroup", "cgroup", [...(writableCgroups ? [] : ["ro"]), ...guarded]),
    ...(hostsIpc ? [] : [mount("/dev/mqueue", "mqueue", guarded)]),
  ];
}

/** SELinux' own files, for a container that may change labels. */
function selinuxMounts({ hostConfig, mountLabel }: ContainerRecord): OciMount[] {
  if (!mountLabel || !seesSelinux(hostConfig)) return [];
  const options = ["nosuid", "noexec"];
  return [{ destination: "/sys/fs/selinux", type: "selinuxfs", source: "selinuxfs", options }];
}

/** Shared memory: the container's own, that of whose IPC namespace it is in, or none. */
function sharedMemory({ record, namespaces }: SpecInput): OciMount[] {
  const { hostConfig } = record;
  if (hostConfig.IpcMode === "none") return [];
  const destination = "/dev/shm";
  if (namespaces.ipc === "own") {
    const options = [...guarded, "mode=1777", `size=${hostConfig.ShmSize || 64 << 20}`];
    return [{ destination, type: "tmpfs", source: "shm", options }];
  }
  const source =
    namespaces.ipc === "host" ? "/dev/shm" : `/proc/${namespaces.ipc.pid}/root/dev/shm`;
  return [{ destination, type: "bind", source, options: ["rbind", "rprivate"] }];
}

const escaped = (path: string): string => path.replace(/[\\:,]/g, "\\$&");

/** An image's file system that can be written to: into a directory beside it. */
function writableMount(destination: string, layers: readonly string[], writes: string): OciMount {
  const upper = `${writes}/upper`;
  if (layers.length === 0)
    return { destination, type: "bind", source: upper, options: ["bind", "rprivate", "rw"] };
  const places = [`upperdir=${escaped(upper)}`, `workdir=${escaped(`${writes}/work`)}`];
  const options = [`lowerdir=${layers.map(escaped).join(":")}`, ...places, "index=off"];
  return { destination, type: "overlay", source: "overlay", options };
}

/** An image's file system. */
function imageMount(mount: MountRecord, layers: readonly string[], input: SpecInput): OciMount {
  const { target: destination, writes } = mount;
  if (writes !== undefined) return writableMount(destination, layers, writes);
  const [only] = layers;
  if (only === undefined)
    return { destination, type: "tmpfs", source: "tmpfs", options: ["ro", "mode=755"] };
  // Without a writable directory the overlay wants two layers at least; but only a mount of its own has a label of its own.
  const labelled = Boolean(input.record.mountLabel);
  if (layers.length === 1 && !labelled)
    return { destination, type: "bind", source: only, options: ["bind", "rprivate", "ro"] };
  const all = layers.length === 1 ? [...layers, input.emptyDirectory()] : layers;
  const options = ["ro", `lowerdir=${all.map(escaped).join(":")}`];
  return { destination, type: "overlay", source: "overlay", options };
}

const everybody: OciIdMapping[] = [{ containerID: 0, hostID: 0, size: 2 ** 32 - 1 }];

/** What a container's user namespace makes of owners that are seen through `maps`, or as they are. */
function mappedOwners(
  { userNamespace }: SpecInput,
  maps: { uidMappings?: OciIdMapping[]; gidMappings?: OciIdMapping[] } = {},
): { uidMappings?: OciIdMapping[]; gidMappings?: OciIdMapping[] } {
  if (userNamespace === undefined) return maps;
  const { uidMap, gidMap } = ownersThrough(userNamespace);
  if (maps.uidMappings === undefined) return { uidMappings: [...uidMap], gidMappings: [...gidMap] };
  return {
    uidMappings: composed(maps.uidMappings, userNamespace.uidMap),
    gidMappings: composed(maps.gidMappings ?? everybody, userNamespace.gidMap),
  };
}

function userMount(mount: MountRecord, input: SpecInput): OciMount {
  const { imageLayers, user, ownerOf, tmpfsModes, userNamespace } = input;
  const { target: destination, readOnly } = mount;
  if (mount.type === "image")
    return {
      ...imageMount(mount, mount.directories ?? imageLayers(mount.chain ?? []), input),
      ...mappedOwners(input),
    };
  if (mount.type === "tmpfs") {
    const mode = tmpfsModes?.get(destination);
    const taken = mode === undefined ? [] : [`mode=${mode.toString(8)}`];
    const own = [...(mount.options ?? []), ...taken];
    const options = ["nosuid", "nodev", "noexec", ...own, ...(readOnly ? ["ro"] : [])];
    return { destination, type: "tmpfs", source: "tmpfs", options };
  }
  const options = [
    mount.recursive ? "rbind" : "bind",
    mount.propagation || "rprivate",
    readOnly ? (mount.readOnlyOnTop ? "ro" : "rro") : "rw",
  ];
  const maps =
    mount.matchUser === undefined
      ? {}
      : ownerMaps(mount.matchUser.host ?? ownerOf(mount.source), user);
  const unmapped = userNamespace?.unmapped.includes(destination) === true;
  const owners = unmapped ? maps : mappedOwners(input, maps);
  return { destination, type: "bind", source: mount.source, options, ...owners };
}

function engineFiles(input: SpecInput): OciMount[] {
  const { files } = input;
  const sources = {
    "/etc/resolv.conf": files.resolvConf,
    "/etc/hostname": files.hostname,
    "/etc/hosts": files.hosts,
  };
  return Object.entries(sources)
    .filter(([, source]) => source !== "")
    .map(([destination, source]) => ({
      destination,
      type: "bind",
      source,
      options: ["bind", "rprivate"],
      ...mappedOwners(input),
    }));
}

/** Mounts in the order in which they must be made: a parent before what lies in it. */
export function mountsOf(input: SpecInput): OciMount[] {
  const own = input.record.mounts.map((mount) => userMount(mount, input));
  const taken = new Set(own.map((mount) => mount.destination));
  const free = (mount: OciMount) => !taken.has(mount.destination);
  const system = [
    ...systemMounts(input),
    ...selinuxMounts(input.record),
    ...sharedMemory(input),
  ].filter(free);
  const depth = (mount: OciMount) => mount.destination.split("/").filter(Boolean).length;
  const files = engineFiles(input).filter(free);
  return [...system, ...[...files, ...own].sort((a, b) => depth(a) - depth(b))];
}

/** Parts of what is mounted that alone are to be seen, by where: no OCI configuration can say that. */
export function subpathsOf(mounts: readonly MountRecord[]): ReadonlyMap<string, string> {
  return new Map(
    mounts.flatMap(({ target, subpath }) => (subpath === undefined ? [] : [[target, subpath]])),
  );
}
