/** What `berth info` says, in the words that docker's scripts look for. Pure. */
import type { SystemInfo } from "../spec/engine-api.ts";
import { binarySize } from "./human.ts";

type Texts = readonly string[] | null | undefined;

/** A line, when there is something to say. */
const filled = (name: string, value: string | undefined): string[] =>
  value === undefined || value === "" ? [] : [`${name}: ${value}`];

/** A heading and what is listed below it, when there is something. */
const listed = (heading: string, items: Texts): string[] =>
  items?.length ? [`${heading}:`, ...items.map((item) => ` ${item}`)] : [];

const words = (names: Texts) => (names ?? []).join(" ");

function driverLines(info: SystemInfo): string[] {
  const { Volume, Network, Authorization, Log } = info.Plugins ?? {};
  return [
    ...filled("Server Version", info.ServerVersion),
    ...filled("Storage Driver", info.Driver),
    ...(info.DriverStatus ?? []).map(([name, value]) => ` ${name}: ${value}`),
    ...filled("Logging Driver", info.LoggingDriver),
    ...filled("Cgroup Driver", info.CgroupDriver),
    ...filled("Cgroup Version", info.CgroupVersion),
    ...["Plugins:", ` Volume: ${words(Volume)}`, ` Network: ${words(Network)}`],
    ...filled(" Authorization", words(Authorization)),
    ` Log: ${words(Log)}`,
    ...listed("CDI spec directories", info.CDISpecDirs),
    ...listed(
      "Discovered Devices",
      info.DiscoveredDevices?.map(({ Source, ID }) => `${Source}: ${ID}`),
    ),
  ];
}

/** What is shown of an option below its name. */
const optionWords: Readonly<Record<string, string>> = {
  profile: "Profile",
  user: "User",
  policy: "Policy",
};

/** "name=seccomp,profile=builtin": the name, and its profile below it. */
function securityLines(options: Texts): string[] {
  const items = (options ?? []).flatMap((option) => {
    const pairs = option.split(",").map((pair) => pair.split("="));
    const name = pairs.find(([key]) => key === "name")?.[1] ?? option;
    const more = pairs.flatMap(([key = "", value]) =>
      optionWords[key] === undefined ? [] : [` ${optionWords[key]}: ${value}`],
    );
    return [name, ...more];
  });
  return listed("Security Options", items);
}

function runtimeLines(info: SystemInfo): string[] {
  const names = Object.keys(info.Runtimes ?? {}).toSorted();
  return [
    `Swarm: ${info.Swarm?.LocalNodeState ?? ""}`,
    ...(names.length === 0
      ? []
      : [`Runtimes: ${words(names)}`, `Default Runtime: ${info.DefaultRuntime}`]),
    `Init Binary: ${info.InitBinary ?? ""}`,
    `containerd version: ${info.ContainerdCommit?.ID ?? ""}`,
    `runc version: ${info.RuncCommit?.ID ?? ""}`,
    `init version: ${info.InitCommit?.ID ?? ""}`,
    ...securityLines(info.SecurityOptions),
  ];
}

function hostLines(info: SystemInfo): string[] {
  return [
    ...filled("Kernel Version", info.KernelVersion),
    ...filled("Operating System", info.OperatingSystem),
    ...filled("OSType", info.OSType),
    ...filled("Architecture", info.Architecture),
    ...[`CPUs: ${info.NCPU}`, `Total Memory: ${binarySize(info.MemTotal ?? 0)}`],
    ...filled("Name", info.Name),
    ...filled("ID", info.ID),
    ...[`Docker Root Dir: ${info.DockerRootDir}`, `Debug Mode: ${info.Debug ?? false}`],
    ...(info.Debug
      ? [
          ...[` File Descriptors: ${info.NFd}`, ` Goroutines: ${info.NGoroutines}`],
          ...[` System Time: ${info.SystemTime}`, ` EventsListeners: ${info.NEventsListener}`],
        ]
      : []),
  ];
}

function networkLines(info: SystemInfo, user: string | undefined): string[] {
  const { IndexConfigs, InsecureRegistryCIDRs, Mirrors } = info.RegistryConfig ?? {};
  const indexes = Object.values(IndexConfigs ?? {});
  const insecure = indexes.flatMap((one) => (one === null || one.Secure ? [] : [one.Name ?? ""]));
  const registries = [...insecure, ...(InsecureRegistryCIDRs ?? [])].map((item) => ` ${item}`);
  const any = indexes.length > 0 || registries.length > 0;
  const pools = info.DefaultAddressPools?.map(({ Base, Size }) => `  Base: ${Base}, Size: ${Size}`);
  return [
    ...filled("HTTP Proxy", info.HttpProxy),
    ...filled("HTTPS Proxy", info.HttpsProxy),
    ...filled("No Proxy", info.NoProxy),
    ...filled("Username", user),
    ...listed("Labels", info.Labels),
    `Experimental: ${info.ExperimentalBuild ?? false}`,
    ...(any ? ["Insecure Registries:", ...registries] : []),
    ...listed("Registry Mirrors", Mirrors),
    `Live Restore Enabled: ${info.LiveRestoreEnabled ?? false}`,
    ...filled("Product License", info.ProductLicense),
    ...(pools?.length ? ["Default Address Pools:", ...pools] : []),
  ];
}

/** The lines of the daemon's part; `user`: who is logged in at Docker Hub. */
export function serverText(info: SystemInfo, user: string | undefined): string {
  const lines = [
    ...[`Containers: ${info.Containers}`, ` Running: ${info.ContainersRunning}`],
    ...[` Paused: ${info.ContainersPaused}`, ` Stopped: ${info.ContainersStopped}`],
    `Images: ${info.Images}`,
    ...driverLines(info),
    ...runtimeLines(info),
    ...hostLines(info),
    ...networkLines(info, user),
  ];
  return `\nServer:\n${lines.map((line) => ` ${line}\n`).join("")}\n`;
}
