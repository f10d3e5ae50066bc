/**
 * From an OCI configuration to the launch plan that the shim executes: pure, and the only place that knows in which order
 * a container is made.
 *
 * The order matters: host paths (namespaces, cgroups) come before the root is left; mounts that need rights come before
 * those are dropped; a seccomp filter is loaded before the rights go unless no_new_privs allows it afterwards.
 */

import { parseMountOptions } from "../spec/mount-options.ts";
import type {
  OciIdMapping,
  OciMount,
  OciNamespaceType,
  OciProcess,
  OciSpec,
} from "../spec/oci-runtime.ts";
import { type PlanOp, wireConstants } from "../spec/wire.ts";
import { acrossBorder, execAcrossBorder } from "./border.ts";
import { capabilityMask } from "./capabilities.ts";
import { overlayRights } from "./features.ts";
import { labelAfter, labelOps, withContext } from "./labels.ts";
import { rlimitNumber } from "./rlimits.ts";

/** How the container's root file system is mounted. */
export type PlanRoot =
  | {
      readonly kind: "overlay";
      /** The uppermost first. */
      readonly lowerdirs: readonly string[];
      readonly upperdir: string;
      readonly workdir: string;
      readonly volatile: boolean;
    }
  | { readonly kind: "bind"; readonly path: string }
  | {
      readonly kind: "fuse-overlay";
      /** fuse-overlayfs, which serves the root as long as the container lives. */
      readonly program: string;
      readonly lowerdirs: readonly string[];
      readonly upperdir: string;
      readonly workdir: string;
    };

/** The json-file that the shim writes. */
export interface PlanLog {
  readonly path: string;
  /** Rotated at so many bytes; 0: never. */
  readonly maxSize: number;
  readonly maxFiles: number;
  /** A JSON object that each record carries; empty: none. */
  readonly attributes: string;
  /** Rotated files are to be compressed: the shim tells when there are new ones. */
  readonly compress: boolean;
  /** So many bytes of records wait for the disk, instead of the container; 0: the container does. */
  readonly ring: number;
}

/** The user namespace that a container is born in, as its shim has it. */
export interface PlanUserNamespace {
  /** The shim's descriptor of it. */
  readonly fd: number;
  /** The host's ids that are its ids 0. */
  readonly uid: number;
  readonly gid: number;
  /** The host's id of the container's user. */
  readonly stdioUid: number;
  /** The shim's descriptor of a user namespace through which the root file system's owners are seen. */
  readonly owners: number;
  /** From here on numbers of descriptors are free for what is prepared outside. */
  readonly firstHeld: number;
}

/** What a launch needs beyond the OCI configuration: where things are on this host. */
export interface PlanExtras {
  readonly id: string;
  readonly root: PlanRoot;
  /** A host directory to mount the root on; all containers share it, each in its own mount namespace. */
  readonly mountPoint: string;
  /** The shim's descriptor of the network namespace to join. */
  readonly netnsFd?: number;
  /** cgroup v1: files that the child writes itself to. */
  readonly cgroupJoinFiles: readonly string[];
  /** cgroup v2: the directory that the child is born in. */
  readonly cgroupInto?: string;
  /** Controllers to show under /sys/fs/cgroup, as mount options ("cpu", "name=systemd"); empty: version 2; undefined: none. */
  readonly cgroupMounts?:
    | readonly {
        readonly directory: string;
        readonly option: string;
        /** Where the host has it mounted. */
        readonly path: string;
      }[]
    | undefined;
  readonly seccompFilter?: Uint8Array;
  /** seccomp(2)'s flags for the filter. */
  readonly seccompFlags?: number;
  readonly stdin: { readonly open: boolean; readonly once: boolean };
  readonly log?: PlanLog;
  readonly exitFile: string;
  readonly oomFile?: string;
  /** The container's resolver: the shim listens there, and asks these while no daemon is connected. */
  readonly dns?: {
    readonly address: string;
    readonly port: number;
    readonly upstreams: readonly string[];
  };
  /** The kernel takes lowerdir+ (6.8 and later). */
  readonly lowerdirPlus: boolean;
  /** Run an init as PID 1. */
  readonly init: boolean;
  /** By mount destinations: the only part of the source that is to be seen. */
  readonly subpaths: ReadonlyMap<string, string>;
  /** The engine's mount namespace: what is shared with the host is copied from there. */
  readonly hostMounts: string;
  /** The engine is in a user namespace itself: it makes no devices, and its overlays keep their marks otherwise. */
  readonly inUserNamespace?: boolean;
  /** Directories of the host that a guard gives to containers with a user namespace; the engine has no right to. */
  readonly guardedSources?: readonly string[];
  /** undefined: the host's. */
  readonly userNamespace?: PlanUserNamespace;
  /** The shim's descriptors of user namespaces, by the maps (`ownersKey`) of mounts. */
  readonly owners?: ReadonlyMap<string, number>;
  /** The shim's descriptors of namespaces to join, by their paths; a path that is missing here is opened by the child. */
  readonly joined?: ReadonlyMap<string, number>;
  /** Where the host has a device, by its path in the container; absent: at the same path. */
  readonly hostDevices?: ReadonlyMap<string, string>;
}

const cloneFlags: Readonly<Record<OciNamespaceType, bigint>> = {
  mount: 0x00020000n,
  cgroup: 0x02000000n,
  uts: 0x04000000n,
  ipc: 0x08000000n,
  user: 0x10000000n,
  pid: 0x20000000n,
  network: 0x40000000n,
};

const MS_REC_SLAVE = 0x84000n;
const MS_PRIVATE = 0x40000n;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;

function logOp({ path, maxSize, maxFiles, attributes, compress, ring }: PlanLog): PlanOp {
  return {
    name: "log",
    path,
    max_size: BigInt(maxSize),
    max_files: maxFiles,
    attrs: attributes,
    ring: BigInt(ring),
    options: compress ? wireConstants.LOG_COMPRESSED : 0,
  };
}

/** The plan of a new container. */
export function toLaunchPlan(spec: OciSpec, extras: PlanExtras): PlanOp[] {
  const plan = planOf(spec, extras);
  return extras.userNamespace === undefined ? plan : acrossBorder(plan, extras.userNamespace);
}

function planOf(spec: OciSpec, extras: PlanExtras): PlanOp[] {
  return [
    ...shimOps(spec, extras),
    ...namespaceOps(spec, extras),
    ...rootOps(extras, spec.linux.mountLabel),
    ...spec.mounts.flatMap((mount) => mountOps(mount, spec, extras)),
    ...deviceOps(spec, extras),
    ...(spec.process.terminal
      ? [
          {
            name: "pty" as const,
            rows: spec.process.consoleSize?.height ?? 0,
            columns: spec.process.consoleSize?.width ?? 0,
          },
        ]
      : []),
    ...spec.linux.readonlyPaths.map((path) => ({ name: "readonly" as const, path })),
    ...spec.linux.maskedPaths.map((path) => ({
      name: "mask" as const,
      path,
      params: [...withContext("tmpfs", [], spec.linux.mountLabel)],
    })),
    ...Object.entries(spec.linux.sysctl).map(([key, value]) => sysctlOp(key, value)),
    ...(spec.root.readonly ? [{ name: "root_attrs" as const, attr_set: 1n }] : []),
    { name: "pivot_root" },
    ...processOps(spec.process, extras, spec.process.user.uid, extras.init),
    ...(extras.init ? [{ name: "init" as const }] : []),
    { name: "exec", args: spec.process.args, env: spec.process.env },
  ];
}

function sysctlOp(key: string, value: string): PlanOp {
  // The kernel lets only the host's root write that file, though whoever owns the namespace may do what it does.
  if (key === "kernel.domainname") return { name: "domainname", value };
  // A slash in a name with dots stands for a dot of a file's name.
  const path = key.replace(/[./]/g, (separator) => (separator === "." ? "/" : "."));
  return { name: "sysctl", key: path, value };
}

function shimOps(spec: OciSpec, extras: PlanExtras): PlanOp[] {
  let flags = 0n;
  const ops: PlanOp[] = [];
  for (const namespace of spec.linux.namespaces) {
    if (namespace.path !== undefined) continue;
    if (namespace.type === "cgroup") continue; // unshared by the child once it is in its cgroup
    if (namespace.type === "user") continue; // made beforehand, for it owns the others
    if (namespace.type === "network" && extras.netnsFd !== undefined) continue;
    flags |= cloneFlags[namespace.type];
  }
  const options =
    (spec.process.terminal ? wireConstants.SHIM_TTY : 0) |
    (extras.stdin.open ? wireConstants.SHIM_STDIN : 0) |
    (extras.stdin.once ? wireConstants.SHIM_STDIN_ONCE : 0);
  ops.push({ name: "shim", clone_flags: flags, options, id: extras.id });
  if (extras.log !== undefined) {
    ops.push(logOp(extras.log));
  }
  ops.push({ name: "exit_file", path: extras.exitFile });
  if (extras.oomFile !== undefined) ops.push({ name: "oom_file", path: extras.oomFile });
  const pid = spec.linux.namespaces.find((namespace) => namespace.type === "pid");
  if (pid?.path !== undefined)
    ops.push({ name: "join_pid_ns", fd: wireConstants.NO_FD, path: pid.path });
  if (extras.userNamespace !== undefined)
    ops.push({ name: "user_ns", fd: extras.userNamespace.fd });
  if (extras.cgroupInto !== undefined)
    ops.push({ name: "clone_into_cgroup", path: extras.cgroupInto });
  if (extras.dns !== undefined) ops.push({ name: "dns", upstreams: extras.dns.upstreams });
  if (extras.root.kind === "fuse-overlay") ops.push(rootServer(extras.root));
  return ops;
}

/** Without its own cache of what is written, so that whoever is killed, nothing that was written is lost. */
function rootServer(root: Extract<PlanRoot, { kind: "fuse-overlay" }>): PlanOp {
  const { program, lowerdirs, upperdir, workdir } = root;
  const lower = `lowerdir=${lowerdirs.join(":")}`;
  const options = [lower, `upperdir=${upperdir}`, `workdir=${workdir}`, "writeback=0"].join(",");
  const args = [program, "-f", "-o", options, "/dev/fd/3"];
  return { name: "root_server", args, env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] };
}

function namespaceOps(spec: OciSpec, extras: PlanExtras): PlanOp[] {
  const ops: PlanOp[] = [];
  const of = (type: OciNamespaceType) =>
    spec.linux.namespaces.find((namespace) => namespace.type === type);
  if (extras.netnsFd !== undefined)
    ops.push({ name: "join_ns", fd: extras.netnsFd, path: "", type: cloneFlags.network });
  for (const { type, path } of spec.linux.namespaces) {
    if (path === undefined || type === "pid" || type === "user") continue;
    const fd = extras.joined?.get(path) ?? wireConstants.NO_FD;
    ops.push({ name: "join_ns", fd, path, type: cloneFlags[type] });
  }
  for (const path of extras.cgroupJoinFiles) ops.push({ name: "join_cgroup", path });
  if (of("cgroup") !== undefined) ops.push({ name: "unshare", flags: cloneFlags.cgroup });
  const uts = of("uts");
  if (uts !== undefined && uts.path === undefined) {
    if (spec.hostname !== undefined) ops.push({ name: "hostname", value: spec.hostname });
    if (spec.domainname !== undefined) ops.push({ name: "domainname", value: spec.domainname });
  }
  const network = of("network");
  if (network !== undefined && network.path === undefined && extras.netnsFd === undefined)
    ops.push({ name: "link_up", device: "lo" });
  if (extras.dns !== undefined) {
    const { address, port } = extras.dns;
    ops.push({ name: "dns_socket", address, port });
  }
  // What the host mounts is seen, what is mounted here the host never sees.
  ops.push({ name: "propagation", path: "/", flags: MS_REC_SLAVE });
  return ops;
}

/** An overlay mount's parameters as fsconfig(2) takes them; `lowerdirPlus`: the kernel takes lower layers one by one. */
export function overlayParams(
  root: Extract<PlanRoot, { kind: "overlay" }>,
  lowerdirPlus: boolean,
  inUserNamespace = false,
): string[] {
  const lower = lowerdirPlus
    ? root.lowerdirs.map((path) => `lowerdir+=${path}`)
    : [`lowerdir=${root.lowerdirs.map((path) => path.replace(/[\\:,]/g, "\\$&")).join(":")}`];
  const params = [...lower, `upperdir=${root.upperdir}`, `workdir=${root.workdir}`, "index=off"];
  if (root.volatile) params.push("volatile");
  return [...params, ...overlayRights(inUserNamespace)];
}

function rootOps(extras: PlanExtras, label: string | undefined): PlanOp[] {
  const { root, mountPoint } = extras;
  if (root.kind === "bind")
    return [{ name: "root_bind", source: root.path, attrs: 0n, target: mountPoint }];
  if (root.kind === "fuse-overlay") {
    const owner = ["rootmode=40000", "user_id=0", "group_id=0"];
    const params = withContext("fuse", [...owner, "allow_other", "default_permissions"], label);
    return [{ name: "root_fuse", params, attrs: 0n, target: mountPoint }];
  }
  const own = overlayParams(root, extras.lowerdirPlus, extras.inUserNamespace);
  const params = withContext("overlay", own, label);
  return [
    {
      name: "root_mount",
      type: "overlay",
      source: "overlay",
      params,
      attrs: 0n,
      target: mountPoint,
      ...asEngine,
    },
  ];
}

/** A mount that is made as the engine, and attached where it belongs at once. */
const asEngine = {
  hold: wireConstants.NO_FD,
  fs_uid: wireConstants.NO_OWNER,
  fs_gid: wireConstants.NO_OWNER,
};

/** As /proc/PID/uid_map takes it. */
export function idMapText(mappings: readonly OciIdMapping[] = []): string {
  return mappings
    .map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`)
    .join("");
}

/** By which the maps of a mount are known; undefined: owners are as they are. */
export function ownersKey({
  uidMappings,
  gidMappings,
}: Pick<OciMount, "uidMappings" | "gidMappings">): string | undefined {
  const text = `${idMapText(uidMappings)}:${idMapText(gidMappings)}`;
  return text === ":" ? undefined : text;
}

function ownersOf(mount: OciMount, { owners }: PlanExtras): number {
  const key = ownersKey(mount);
  if (key === undefined) return wireConstants.NO_FD;
  const fd = owners?.get(key);
  if (fd === undefined) throw new Error(`no user namespace has been made for ${mount.destination}`);
  return fd;
}

function mountOps(mount: OciMount, spec: OciSpec, extras: PlanExtras): PlanOp[] {
  const options = parseMountOptions(mount.options);
  const target = mount.destination;
  const subpath = extras.subpaths.get(target) ?? "";
  if (mount.type === "bind") {
    return [
      {
        name: "bind",
        ...sourceOf(mount, extras),
        subpath,
        target,
        attr_set: options.set,
        attr_clr: options.clear,
        propagation: options.propagation,
        options:
          (options.recursive ? wireConstants.BIND_RECURSIVE : 0) |
          (options.recursiveAttributes ? wireConstants.BIND_RECURSIVE_ATTRS : 0) |
          (isGuarded(mount, extras) ? wireConstants.BIND_GUARDED : 0),
        owners: ownersOf(mount, extras),
        hold: wireConstants.NO_FD,
      },
    ];
  }
  const { type, source } = mount;
  const { cgroupMounts } = extras;
  if (type === "cgroup" && cgroupMounts === undefined) return [];
  if (type === "cgroup" && cgroupMounts !== undefined && cgroupMounts.length > 0)
    return cgroupV1Mounts(mount, spec, cgroupMounts);
  // What shows the host's groups only the host's root may mount.
  if (type === "cgroup" && extras.inUserNamespace && extras.cgroupInto && !hasOwnCgroups(spec))
    return [groupBind(extras.cgroupInto, options.set, target)];
  const fsType = type === "cgroup" ? "cgroup2" : type;
  const given = extras.lowerdirPlus ? options.params.flatMap(layerByLayer) : options.params;
  const rights = type === "overlay" ? overlayRights(extras.inUserNamespace === true) : [];
  const params = withContext(fsType, [...given, ...rights], spec.linux.mountLabel);
  const plain = { type: fsType, source, params, attrs: options.set, target, subpath };
  const label = labelAfter(fsType, target, spec.linux.mountLabel);
  return [{ name: "mount", ...plain, ...asEngine }, ...label];
}

/** Whether the guard has to give a bind's source. */
function isGuarded({ source }: OciMount, { guardedSources = [], userNamespace }: PlanExtras) {
  const isWithin = (top: string) => source === top || source.startsWith(`${top}/`);
  return userNamespace !== undefined && guardedSources.some(isWithin);
}

/**
 * What another process has mounted can be copied only from inside its mount namespace; and only a copy of the host's own
 * mount shares with it what is mounted below.
 */
function sourceOf(
  { source, options }: OciMount,
  { hostMounts }: PlanExtras,
): { mount_ns: string; source: string } {
  const isShared = options.includes("shared") || options.includes("rshared");
  const [, process, path] = /^\/proc\/(\d+)\/root(\/.*)$/.exec(source) ?? [];
  if (process === undefined || path === undefined)
    return { mount_ns: isShared ? hostMounts : "", source };
  return { mount_ns: `/proc/${process}/ns/mnt`, source: path };
}

/** An overlay's lower layers one by one, so that their number is not bounded by the length of one parameter. */
function layerByLayer(param: string): string[] {
  if (!param.startsWith("lowerdir=")) return [param];
  const paths = param.slice("lowerdir=".length).match(/(\\.|[^:\\])+/g) ?? [];
  return paths.map((path) => `lowerdir+=${path.replace(/\\(.)/g, "$1")}`);
}

function hasOwnCgroups(spec: OciSpec): boolean {
  return spec.linux.namespaces.some(({ type }) => type === "cgroup");
}

/** A bind of the directory of a group, with these attributes. */
function groupBind(source: string, attributes: bigint, target: string): PlanOp {
  return {
    name: "bind",
    mount_ns: "",
    source,
    subpath: "",
    target,
    attr_set: attributes,
    attr_clr: 0n,
    propagation: MS_PRIVATE,
    options: 0,
    owners: wireConstants.NO_FD,
    hold: wireConstants.NO_FD,
  };
}

/** The v1 hierarchies as the container's own cgroup namespace shows them, under a tmpfs as hosts have it. */
function cgroupV1Mounts(
  mount: OciMount,
  spec: OciSpec,
  cgroupMounts: NonNullable<PlanExtras["cgroupMounts"]>,
): PlanOp[] {
  const { set } = parseMountOptions(mount.options);
  const tmpfs: PlanOp = {
    name: "mount",
    type: "tmpfs",
    source: "tmpfs",
    params: withContext("tmpfs", ["mode=755"], spec.linux.mountLabel),
    attrs: set & ~1n,
    target: mount.destination,
    subpath: "",
    ...asEngine,
  };
  const isolated = hasOwnCgroups(spec);
  const hierarchies = cgroupMounts.map(({ directory, option, path }): PlanOp => {
    const target = `${mount.destination}/${directory}`;
    // In the host's namespace a mount would show everybody's groups: the container sees its own.
    if (!isolated) return groupBind(`${path}${spec.linux.cgroupsPath}`, set, target);
    const own = { type: "cgroup", source: "cgroup", params: [option] };
    return { name: "mount", ...own, attrs: set, target, subpath: "", ...asEngine };
  });
  const links = cgroupMounts
    .filter(({ directory }) => directory.includes(","))
    .flatMap(({ directory }) =>
      directory.split(",").map(
        (name): PlanOp => ({
          name: "symlink",
          target: directory,
          path: `${mount.destination}/${name}`,
        }),
      ),
    );
  const seal: PlanOp[] = (set & 1n) === 1n ? [{ name: "readonly", path: mount.destination }] : [];
  return [tmpfs, ...hierarchies, ...links, ...seal];
}

/** A device of the host's, where none can be made: the kernel takes no orders for that from a user namespace. */
function deviceBind(source: string, target: string): PlanOp {
  const attributes = { attr_set: 0n, attr_clr: 0n, propagation: MS_PRIVATE, options: 0 };
  const kept = { owners: wireConstants.NO_FD, hold: wireConstants.NO_FD };
  return { name: "bind", mount_ns: "", source, subpath: "", target, ...attributes, ...kept };
}

function deviceOps(spec: OciSpec, extras: PlanExtras): PlanOp[] {
  const types = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO };
  const nodes = spec.linux.devices.map((device): PlanOp => {
    if (extras.userNamespace !== undefined || extras.inUserNamespace === true)
      return deviceBind(extras.hostDevices?.get(device.path) ?? device.path, device.path);
    return {
      name: "mknod",
      path: device.path,
      mode: types[device.type] | device.fileMode,
      major: device.major,
      minor: device.minor,
      uid: device.uid,
      gid: device.gid,
    };
  });
  const links = Object.entries({
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/core": "/proc/kcore",
    "/dev/ptmx": "pts/ptmx",
  }).map(([path, target]): PlanOp => ({ name: "symlink", target, path }));
  return [...nodes, ...links];
}

/** From the finished root to the process's rights. The owner of a working directory that is missing: NO_OWNER makes none. */
function processOps(
  process: OciProcess,
  {
    seccompFilter: filter,
    seccompFlags: flags = 0,
  }: Pick<ExecExtras, "seccompFilter" | "seccompFlags">,
  workdirOwner: number,
  init: boolean,
): PlanOp[] {
  const { user, capabilities, cwd } = process;
  const seccomp: PlanOp[] = filter === undefined ? [] : [{ name: "seccomp", filter, flags }];
  const ops: PlanOp[] = [];
  if (process.oomScoreAdj !== undefined)
    ops.push({ name: "oom_score_adj", value: BigInt(process.oomScoreAdj) });
  for (const { type, soft, hard } of process.rlimits) {
    const resource = rlimitNumber(type);
    if (resource !== undefined)
      ops.push({ name: "rlimit", resource, soft: unlimited(soft), hard: unlimited(hard) });
  }
  ops.push({ name: "umask", mask: user.umask ?? 0o022 });
  ops.push({ name: "workdir", path: cwd, uid: workdirOwner, gid: user.gid });
  // While all rights are there, and before a filter or no_new_privs could be in the way.
  ops.push(...labelOps(process, init));
  ops.push({ name: "bounding", mask: capabilityMask(capabilities.bounding) });
  if (!process.noNewPrivileges) ops.push(...seccomp);
  ops.push({ name: "user", uid: user.uid, gid: user.gid, groups: user.additionalGids });
  ops.push({
    name: "capabilities",
    effective: capabilityMask(capabilities.effective),
    permitted: capabilityMask(capabilities.permitted),
    inheritable: capabilityMask(capabilities.inheritable),
    ambient: capabilityMask(capabilities.ambient),
  });
  if (process.noNewPrivileges) ops.push({ name: "no_new_privs" }, ...seccomp);
  return ops;
}

/** RLIM_INFINITY is written -1. */
function unlimited(value: number): bigint {
  return value < 0 ? 0xffffffffffffffffn : BigInt(value);
}

/** What an exec needs beyond its process. */
export interface ExecExtras {
  readonly cgroupJoinFiles: readonly string[];
  readonly seccompFilter?: Uint8Array;
  readonly seccompFlags?: number;
  readonly stdin: boolean;
  /** The host's id of its user, in a container with a user namespace of its own. */
  readonly mappedUid?: number | undefined;
}

/** The plan of a process in a running container. */
export function toExecPlan(process: OciProcess, extras: ExecExtras): PlanOp[] {
  const namespaces =
    cloneFlags.mount |
    cloneFlags.cgroup |
    cloneFlags.uts |
    cloneFlags.ipc |
    cloneFlags.pid |
    cloneFlags.network |
    (extras.mappedUid === undefined ? 0n : cloneFlags.user);
  const options =
    (process.terminal ? wireConstants.SHIM_TTY : 0) | (extras.stdin ? wireConstants.SHIM_STDIN : 0);
  const plan: PlanOp[] = [
    { name: "exec_into", namespaces, options },
    ...extras.cgroupJoinFiles.map((path) => ({ name: "join_cgroup" as const, path })),
    ...(process.terminal
      ? [
          {
            name: "pty" as const,
            rows: process.consoleSize?.height ?? 0,
            columns: process.consoleSize?.width ?? 0,
          },
        ]
      : []),
    ...processOps(process, extras, wireConstants.NO_OWNER, false),
    { name: "exec", args: process.args, env: process.env },
  ];
  return extras.mappedUid === undefined ? plan : execAcrossBorder(plan, extras.mappedUid);
}
