/**
 * From a container's record to its OCI runtime configuration: pure. Everything that had to be looked up on the host comes
 * in with the input.
 */
import { fault } from "../base/errors.ts";
import type { HostFeatures, SeccompProfile } from "../runtime/index.ts";
import { capabilityList, resolveSeccomp, rlimitNumber } from "../runtime/index.ts";
import type { ContainerConfig, HostConfig } from "../spec/engine-api.ts";
import type { OciNamespace, OciProcess, OciSpec } from "../spec/oci-runtime.ts";
import type { ResolvedUser } from "../spec/users.ts";
import type { ContainerRecord, UserNamespaceRecord } from "./container-record.ts";
import { mountsOf } from "./oci-mounts.ts";
import { type ResourceHost, resourcesOf } from "./oci-resources.ts";
import {
  addedCapabilities,
  capabilitiesOf,
  defaultDevices,
  deviceRules,
  type GrantedDevice,
  maskedPaths,
  pathsUnconfined,
  readonlyPaths,
} from "./oci-security.ts";
import { sysctlsOf } from "./oci-sysctls.ts";
import { securitySwitch } from "./security-options.ts";

/** A namespace that is not the container's own: the host's, or another process's. */
export type NamespaceChoice = "own" | "host" | { readonly pid: number };

/** What the configuration is made of. */
export interface SpecInput {
  readonly record: ContainerRecord;
  readonly user: ResolvedUser;
  readonly rootPath: string;
  /** Host paths of the files that the engine gives; undefined with the host's network and no file of its own. */
  readonly files: {
    readonly hosts: string;
    readonly hostname: string;
    readonly resolvConf: string;
  };
  readonly namespaces: {
    readonly network: NamespaceChoice;
    readonly pid: NamespaceChoice;
    readonly ipc: NamespaceChoice;
    readonly uts: NamespaceChoice;
  };
  readonly cgroupPath: string;
  readonly features: HostFeatures;
  readonly resourceHost: ResourceHost;
  /** undefined: the host's. */
  readonly userNamespace?: UserNamespaceRecord | undefined;
  /** What holds where the container says nothing of it. */
  readonly noNewPrivileges?: boolean;
  /** undefined: unconfined. */
  readonly seccomp: SeccompProfile | undefined;
  readonly devices: readonly GrantedDevice[];
  /** Variables of links; what the container says itself goes over them. */
  readonly linkEnvironment: readonly string[];
  /** What a tmpfs without a mode of its own has, by its target; others are open to everybody. */
  readonly tmpfsModes?: ReadonlyMap<string, number>;
  /** The directories of an image's layers, the uppermost first. */
  imageLayers(chain: readonly string[]): string[];
  /** A directory with nothing in it. */
  emptyDirectory(): string;
  /** Whom a path of the host belongs to. */
  ownerOf(path: string): { readonly uid: number; readonly gid: number };
}

/** Where programs are looked for unless PATH says otherwise. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Environment as Docker makes it: PATH, HOSTNAME, TERM and HOME unless given; a name without a value is removed. */
export function environmentOf(
  config: ContainerConfig,
  hostname: string,
  home: string,
  tty: boolean,
  links: readonly string[] = [],
): string[] {
  const env = new Map<string, string>();
  const put = (item: string) => {
    const name = item.split("=", 1)[0] ?? "";
    if (item.includes("=")) env.set(name, item);
    else env.delete(name);
  };
  put(`PATH=${DEFAULT_PATH}`);
  put(`HOSTNAME=${hostname}`);
  if (tty) put("TERM=xterm");
  for (const item of [...links, ...(config.Env ?? [])]) put(item);
  if (!env.has("HOME")) put(`HOME=${home}`);
  return [...env.values()];
}

/** Limits of processes. Throws Faults "invalid" in Docker's words. */
export function rlimitsOf(config: HostConfig, features: HostFeatures): OciProcess["rlimits"] {
  return (config.Ulimits ?? []).map(({ Name = "", Soft = 0, Hard = 0 }) => {
    const type = `RLIMIT_${Name.toUpperCase()}`;
    if (rlimitNumber(type) === undefined)
      throw fault("invalid", "ulimit", `invalid ulimit type: ${Name}`);
    const hard = Hard === 0 && Soft !== 0 ? Soft : Hard;
    if (hard >= 0 && (Soft > hard || Soft < 0))
      throw fault(
        "invalid",
        "ulimit",
        `ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${hard}`,
      );
    const beyond = type === "RLIMIT_NOFILE" && (hard < 0 || hard > features.maxFiles);
    if (beyond && !features.raisesLimits)
      throw fault(
        "invalid",
        "ulimit-host",
        `ulimit nofile=${hard} is above this host's hard limit of ${features.maxFiles}, which the engine has no right (CAP_SYS_RESOURCE) to exceed`,
      );
    return { type, soft: Soft, hard };
  });
}

/** What a user that is not root has in effect: what was added by --cap-add, and nothing of the usual. */
function kept(hostConfig: HostConfig, capabilities: readonly string[]): readonly string[] {
  if (hostConfig.Privileged) return [];
  const added = addedCapabilities(hostConfig);
  return added.includes("CAP_ALL")
    ? capabilities
    : capabilities.filter((name) => added.includes(name));
}

/** The process of a container or an exec. */
export function processOf(
  record: ContainerRecord,
  user: ResolvedUser,
  features: HostFeatures,
  command: {
    readonly args: readonly string[];
    readonly tty: boolean;
    readonly env: readonly string[];
    readonly cwd: string;
    readonly privileged?: boolean;
    /** What holds where the container says nothing of it. */
    readonly noNewPrivileges?: boolean | undefined;
    readonly size?: readonly number[] | undefined;
  },
): OciProcess {
  const { hostConfig } = record;
  const capabilities = command.privileged
    ? capabilityList(features.capabilities)
    : capabilitiesOf(hostConfig, features.capabilities);
  const [height = 0, width = 0] = command.size ?? [];
  const own = user.uid === 0 ? capabilities : kept(hostConfig, capabilities);
  const ambient = user.uid === 0 ? [] : own;
  return {
    terminal: command.tty,
    ...(command.tty && height > 0 && width > 0 ? { consoleSize: { height, width } } : {}),
    cwd: command.cwd,
    env: command.env,
    args: command.args,
    rlimits: rlimitsOf(hostConfig, features),
    // Inheritable stays empty for whoever has asked for nothing (CVE-2022-24769).
    capabilities: {
      bounding: capabilities,
      permitted: own,
      effective: own,
      inheritable: ambient,
      ambient,
    },
    noNewPrivileges:
      securitySwitch(hostConfig, "no-new-privileges") ?? command.noNewPrivileges === true,
    ...(hostConfig.OomScoreAdj
      ? { oomScoreAdj: Math.max(hostConfig.OomScoreAdj, features.lowestOomScore) }
      : {}),
    ...(record.appArmorProfile ? { apparmorProfile: record.appArmorProfile } : {}),
    ...(record.processLabel ? { selinuxLabel: record.processLabel } : {}),
    user: { uid: user.uid, gid: user.gid, umask: 0o022, additionalGids: user.groups },
  };
}

function namespacesOf(input: SpecInput): OciNamespace[] {
  const out: OciNamespace[] = [{ type: "mount" }];
  if (input.userNamespace !== undefined) out.push({ type: "user" });
  const add = (type: OciNamespace["type"], choice: NamespaceChoice, file: string) => {
    if (choice === "own") out.push({ type });
    else if (choice !== "host") out.push({ type, path: `/proc/${choice.pid}/ns/${file}` });
  };
  add("network", input.namespaces.network, "net");
  add("ipc", input.namespaces.ipc, "ipc");
  add("uts", input.namespaces.uts, "uts");
  add("pid", input.namespaces.pid, "pid");
  if (input.record.hostConfig.CgroupnsMode !== "host") out.push({ type: "cgroup" });
  return out;
}

/** The configuration. Throws Faults "invalid" in Docker's words for what makes no sense. */
export function toOciSpec(input: SpecInput): OciSpec {
  const { record, features } = input;
  const { config, hostConfig } = record;
  const unconfined = pathsUnconfined(hostConfig);
  const hostname = config.Hostname ?? "";
  const args = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  const process = processOf(record, input.user, features, {
    args,
    tty: config.Tty === true,
    env: environmentOf(
      config,
      hostname,
      input.user.home,
      config.Tty === true,
      input.linkEnvironment,
    ),
    cwd: config.WorkingDir || "/",
    size: hostConfig.ConsoleSize ?? undefined,
    noNewPrivileges: input.noNewPrivileges,
  });
  const shared = record.mounts.some((mount) => /shared/.test(mount.propagation));
  return {
    ociVersion: "1.2.0",
    ...(input.namespaces.uts === "own"
      ? { hostname, ...(config.Domainname ? { domainname: config.Domainname } : {}) }
      : {}),
    root: { path: input.rootPath, readonly: hostConfig.ReadonlyRootfs === true },
    process,
    mounts: mountsOf(input),
    ...(hostConfig.Annotations ? { annotations: hostConfig.Annotations } : {}),
    linux: {
      namespaces: namespacesOf(input),
      ...(input.userNamespace === undefined
        ? {}
        : {
            uidMappings: input.userNamespace.uidMap,
            gidMappings: input.userNamespace.gidMap,
          }),
      devices: [...defaultDevices, ...input.devices.map((device) => device.node)],
      resources: {
        ...resourcesOf(hostConfig, input.resourceHost),
        devices: deviceRules(hostConfig, input.devices),
      },
      cgroupsPath: input.cgroupPath,
      // Groups beyond a gap have no ping; those of one range have no gap.
      sysctl: sysctlsOf(hostConfig, input.userNamespace?.gidMap[0]?.size ?? features.groups),
      maskedPaths: hostConfig.MaskedPaths ?? (unconfined ? [] : maskedPaths),
      readonlyPaths: hostConfig.ReadonlyPaths ?? (unconfined ? [] : readonlyPaths),
      ...(record.mountLabel ? { mountLabel: record.mountLabel } : {}),
      rootfsPropagation: shared ? "shared" : "slave",
      ...(input.seccomp === undefined
        ? {}
        : {
            seccomp: resolveSeccomp(
              input.seccomp,
              new Set(process.capabilities.bounding),
              features.seccomp,
            ),
          }),
    },
  };
}
