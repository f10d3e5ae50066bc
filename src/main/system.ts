/**
 * What the daemon says of itself: /info and /version.
 */

import { existsSync, readFileSync } from "node:fs";
import { arch, hostname, version as kernelVersion, release, totalmem } from "node:os";
import { API_VERSION, MIN_API_VERSION, type SystemPort } from "../api/index.ts";
import type { Engine, EngineDeps } from "../engine/index.ts";
import { logDriverNames } from "../logging/index.ts";
import { metricsOf } from "./metrics.ts";
import type { DaemonOptions } from "./options.ts";
import { VERSION } from "./version.ts";

function operatingSystem(): string {
  const file = "/etc/os-release";
  if (!existsSync(file)) return "Linux";
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync(file, "utf8"))?.[1] ?? "Linux";
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
  id: string,
): SystemPort {
  const system = operatingSystem();
  const info = () => infoOf(options, engine, deps, id, system);
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

function infoOf(
  options: DaemonOptions,
  engine: Engine,
  deps: EngineDeps,
  id: string,
  system: string,
): ReturnType<SystemPort["info"]> {
  const { total, running, paused, stopped } = engine.counts();
  const { cgroups, features, driver, images } = deps;
  return {
    ID: id,
    Containers: total,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: stopped,
    Images: images.count(),
    Driver: driver.name,
    DriverStatus: [
      ["Backing storage", options.dataRoot],
      ["Unbounded layers (lowerdir+)", String(features.lowerdirPlus)],
    ],
    DockerRootDir: options.dataRoot,
    Plugins: {
      Volume: ["local"],
      Network: ["bridge", "host", "null"],
      Authorization: null,
      Log: logDriverNames,
    } as never,
    MemoryLimit: cgroups.has("memory"),
    SwapLimit: cgroups.swapAccounting,
    CpuCfsPeriod: cgroups.has("cpu"),
    CpuCfsQuota: cgroups.has("cpu"),
    CPUShares: cgroups.has("cpu"),
    CPUSet: cgroups.has("cpuset"),
    PidsLimit: cgroups.has("pids"),
    OomKillDisable: cgroups.version === 1,
    IPv4Forwarding: true,
    Debug: options.logLevel === "debug",
    SystemTime: new Date().toISOString(),
    LoggingDriver: options.logDriver,
    CgroupDriver: "cgroupfs",
    CgroupVersion: cgroups.version === 1 ? "1" : "2",
    KernelVersion: release(),
    OperatingSystem: system,
    OSVersion: kernelVersion(),
    OSType: "linux",
    Architecture: { x64: "x86_64", arm64: "aarch64" }[arch() as string] ?? arch(),
    NCPU: features.cpus,
    MemTotal: totalmem(),
    IndexServerAddress: "",
    Name: hostname(),
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: VERSION,
    Runtimes: Object.fromEntries([
      ["berth", { path: "berth-shim" }],
      ...[...options.runtimes].map(([name, path]) => [name, { path }]),
    ]),
    DefaultRuntime: options.defaultRuntime,
    Swarm: noSwarm,
    LiveRestoreEnabled: true,
    InitBinary: "berth-shim",
    SecurityOptions: ["name=seccomp,profile=builtin", "name=cgroupns"],
    Warnings: [],
  };
}
