/**
 * Where a container's things are: pure.
 */
import type { ContainerLayer, SnapshotDriver } from "../storage/index.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineSettings } from "./deps.ts";

/** The shim's run directory. Part of the id is enough, and keeps the socket's path short (unix(7): 107 bytes). */
export function runDirectory(settings: EngineSettings, id: string): string {
  return `${settings.runDirectory}/${id.slice(0, 32)}`;
}

/** The container's writable layer, for looking at it: what it gives up for speed matters to its mount only. */
export function layerOf(record: ContainerRecord): ContainerLayer {
  return { id: record.id, chain: record.chain, volatile: false };
}

/**
 * Where a container's layers lie, in the words of Docker's GraphDriver.Data. While it runs its whole file system is seen at
 * /proc/PID/root: mounted it is in its own namespace alone.
 */
export function placesOf(driver: SnapshotDriver, record: ContainerRecord): Record<string, string> {
  const places = driver.places(layerOf(record));
  const { pid } = record.state;
  return pid > 0 && places.UpperDir !== undefined
    ? { ...places, MergedDir: `/proc/${pid}/root` }
    : { ...places };
}

/** The shim's socket. */
export function shimSocket(settings: EngineSettings, id: string): string {
  return `${runDirectory(settings, id)}/shim.sock`;
}

function cgroupNames({ hostConfig, id }: ContainerRecord): string[] {
  const names = (hostConfig.CgroupParent ?? "")
    .split("/")
    .filter((name) => name !== "" && name !== "." && name !== "..");
  return [...names, id];
}

/** Where --cgroup-parent wants the cgroup when it is absolute: there, whoever has made it. undefined: in berth's own group. */
export function cgroupOutside(record: ContainerRecord): string | undefined {
  const absolute = record.hostConfig.CgroupParent?.startsWith("/") === true;
  return absolute ? `/${cgroupNames(record).join("/")}` : undefined;
}

/** The container's cgroup; a --cgroup-parent that is not absolute names a group below berth's own. */
export function cgroupPath(settings: EngineSettings, record: ContainerRecord): string {
  return record.cgroup ?? [settings.cgroupParent, ...cgroupNames(record)].join("/");
}

/** The json-file log. */
export function logPath(settings: EngineSettings, record: ContainerRecord): string {
  return `${settings.containersDirectory}/${record.id}/${record.id}-json.log`;
}
