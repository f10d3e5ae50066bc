/**
 * What the daemon says of itself: /info and /version.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { arch, hostname, release, totalmem } from "node:os";
import { API_VERSION, MIN_API_VERSION, type SystemPort } from "../api/index.ts";
import type { Engine, EngineDeps } from "../engine/index.ts";
import { logDriverNames } from "../logging/index.ts";
import { metricsOf } from "./metrics.ts";
import type { DaemonOptions } from "./options.ts";
import { registryInfo } from "./registries.ts";
import type { Storage } from "./storage.ts";
import { VERSION } from "./version.ts";

function operatingSystem(): { name: string; version: string } {
  const file = "/etc/os-release";
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)`, "m").exec(text)?.[1];
  return { name: field("PRETTY_NAME") ?? "Linux", version: field("VERSION_ID") ?? "" };
}

/** A daemon that is in no swarm. */
const noSwarm = {
  NodeID: "",
  NodeAddr: "",
  LocalNodeState: "inactive" as const,
  ControlAvailable: false,
  Error: "",
  RemoteManagers: null,
};

const goArch = { x64: "amd64", arm64: "arm64" }[arch() as string] ?? arch();

/** The port over the engine's parts. */
export function systemPort(
  options: DaemonOptions,
  engine: Engine,
  deps: EngineDeps,
  about: { readonly id: string; readonly storage: Storage },
): SystemPort {
  const system = operatingSystem();
  const info = () => infoOf(options, engine, deps, about, system);
  return {
    version: () => ({
      Platform: { Name: "berth" },
      Components: [
        {
          Name: "Engine",
          Version: VERSION,
          Details: {
            ApiVersion: API_VERSION,
            MinAPIVersion: MIN_API_VERSION,
            Os: "linux",
            Arch: goArch,
            KernelVersion: release(),
            Experimental: "false",
            GoVersion: "",
            GitCommit: "",
            BuildTime: "",
          },
        },
        { Name: "bun", Version: Bun.version, Details: {} },
      ],
      Version: VERSION,
      ApiVersion: API_VERSION,
      MinAPIVersion: MIN_API_VERSION,
      GitCommit: "",
      GoVersion: "",
      Os: "linux",
      Arch: goArch,
      KernelVersion: release(),
      BuildTime: "",
    }),
    info,
    metrics: metricsOf(info, deps),
  };
}

/** Which limits this host can set. */
function limitsOf({ cgroups }: EngineDeps) {
  return {
    MemoryLimit: cgroups.has("memory"),
    SwapLimit: cgroups.swapAccounting,
    CpuCfsPeriod: cgroups.has("cpu"),
    CpuCfsQuota: cgroups.has("cpu"),
    CPUShares: cgroups.has("cpu"),
    CPUSet: cgroups.has("cpuset"),
    PidsLimit: cgroups.has("pids"),
    OomKillDisable: cgroups.version === 1,
    IPv4Forwarding: forwards(),
  };
}

function forwards(): boolean {
  return readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim() === "1";
}

/** As `docker info` shows it. */
function securityOf(
  { userNamespaces, noNewPrivileges, rootless, user }: DaemonOptions,
  { settings, modules }: EngineDeps,
) {
  const users = userNamespaces !== "host" && settings.userNamespaces.missing === undefined;
  const all: readonly [there: boolean, option: string][] = [
    [modules.apparmor.active, "name=apparmor"],
    [true, "name=seccomp,profile=builtin"],
    [modules.selinux.enabled, "name=selinux"],
    [rootless, "name=rootless"],
    [user !== undefined, `name=guarded,user=${user},policy=${settings.guard?.file}`],
    [users, "name=userns"],
    [true, "name=cgroupns"],
    [noNewPrivileges, "name=no-new-privileges"],
  ];
  return { SecurityOptions: all.flatMap(([there, option]) => (there ? [option] : [])) };
}

/** What is missing, in the words that `docker info` shows. */
function warningsOf(
  limits: ReturnType<typeof limitsOf>,
  { hosts, tls, userNamespaces }: DaemonOptions,
  { settings, cgroups }: EngineDeps,
): string[] {
  const noUsers = userNamespaces === "host" ? undefined : settings.userNamespaces.missing;
  const missing: readonly [there: boolean, what: string][] = [
    [limits.MemoryLimit, "No memory limit support"],
    [limits.SwapLimit, "No swap limit support"],
    [limits.CpuCfsPeriod, "No cpu cfs period support"],
    [limits.CpuCfsQuota, "No cpu cfs quota support"],
    [limits.CPUShares, "No cpu shares support"],
    [limits.CPUSet, "No cpuset support"],
    [limits.PidsLimit, "No pids limit support"],
    [limits.IPv4Forwarding, "IPv4 forwarding is disabled"],
  ];
  const none = cgroups.there
    ? []
    : [
        "WARNING: Running in rootless-mode without cgroups. To enable cgroups in rootless-mode, you need to boot the system in cgroup v2 mode, and delegate them to the user (docs/rootless.md)",
      ];
  const open = hosts
    .filter((host) => host.startsWith("tcp://") && tls?.clients === undefined)
    .map((host) =>
      tls === undefined
        ? `${host.replace("tcp", "http")} without encryption.`
        : `${host.replace("tcp", "https")} without TLS client verification.`,
    )
    .map((where) => `[DEPRECATION NOTICE]: API is accessible on ${where}`);
  const users = noUsers === undefined ? [] : [`WARNING: No user namespaces: ${noUsers}`];
  const lacking = missing.flatMap(([there, what]) => (there ? [] : [`WARNING: ${what}`]));
  return [...(cgroups.there ? lacking : none), ...users, ...open];
}

/** An address of the environment, as it may be shown: without the password in it. */
function proxyOf(name: string): string {
  const value = process.env[name] ?? process.env[name.toLowerCase()] ?? "";
  return value.replace(/\/\/[^/@]*@/, "//xxxxx:xxxxx@");
}

/** What this process uses. */
function ownUse({ events }: EngineDeps) {
  return {
    NFd: readdirSync("/proc/self/fd").length,
    // There are no goroutines; threads are what comes nearest.
    NGoroutines: readdirSync("/proc/self/task").length,
    NEventsListener: events.subscribers,
  };
}

function infoOf(
  options: DaemonOptions,
  engine: Engine,
  deps: EngineDeps,
  { id, storage }: { readonly id: string; readonly storage: Storage },
  { name, version }: ReturnType<typeof operatingSystem>,
): ReturnType<SystemPort["info"]> {
  const { total, running, paused, stopped } = engine.counts();
  const limits = limitsOf(deps);
  return {
    ID: id,
    Containers: total,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: stopped,
    Images: deps.images.count(),
    Driver: storage.driver.name,
    DriverStatus: storage.status.map(([what, value]) => [what, value]),
    DockerRootDir: options.dataRoot,
    Plugins: {
      Volume: ["local"],
      Network: ["bridge", "host", "ipvlan", "macvlan", "null"],
      Authorization: [],
      Log: [...logDriverNames],
    },
    ...limits,
    Debug: options.logLevel === "debug",
    ...ownUse(deps),
    SystemTime: new Date().toISOString(),
    LoggingDriver: options.logDriver,
    CgroupDriver: deps.cgroups.there ? "cgroupfs" : "none",
    CgroupVersion: deps.cgroups.version === 1 ? "1" : "2",
    KernelVersion: release(),
    OperatingSystem: name,
    OSVersion: version,
    OSType: "linux",
    Architecture: { x64: "x86_64", arm64: "aarch64" }[arch() as string] ?? arch(),
    NCPU: deps.features.cpus,
    MemTotal: totalmem(),
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: registryInfo(options.registries),
    GenericResources: [],
    HttpProxy: proxyOf("HTTP_PROXY"),
    HttpsProxy: proxyOf("HTTPS_PROXY"),
    NoProxy: proxyOf("NO_PROXY"),
    Name: hostname(),
    Labels: [...options.labels],
    ExperimentalBuild: false,
    ServerVersion: VERSION,
    Runtimes: Object.fromEntries([
      ["berth", { path: "berth-shim" }],
      ...[...options.runtimes].map(([runtime, path]) => [runtime, { path }]),
    ]),
    DefaultRuntime: options.defaultRuntime,
    Swarm: noSwarm,
    LiveRestoreEnabled: true,
    InitBinary: "berth-shim",
    // The shim is what starts containers, and their init; no containerd stands between.
    ContainerdCommit: { ID: "" },
    RuncCommit: { ID: VERSION },
    InitCommit: { ID: VERSION },
    ...securityOf(options, deps),
    FirewallBackend: {
      Driver: deps.networks.firewall.driver,
      Info: deps.networks.firewall.about,
    },
    CDISpecDirs: [],
    Warnings: [...storage.warnings, ...warningsOf(limits, options, deps)],
  };
}
