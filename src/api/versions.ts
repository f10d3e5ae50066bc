/**
 * What the API's versions differ in: requests of older clients are understood as their version meant them, and answers have
 * the fields that they expect. Pure. The newest version is what the rest of the daemon speaks.
 */
import { fault } from "../base/errors.ts";
import type {
  ContainerSummary,
  HostConfig,
  ImageInspect,
  ImageSummary,
  Mount,
  SystemInfo,
} from "../spec/engine-api.ts";
import type { EngineEvent } from "./ports.ts";
import type { CreateBody } from "./schemas.ts";

const RAW = "application/vnd.docker.raw-stream";
const MULTIPLEXED = "application/vnd.docker.multiplexed-stream";

/** The media type of a container's output. Before 1.42 there was one for both forms. */
export function streamType(version: number, tty: boolean): string {
  return tty || version < 42 ? RAW : MULTIPLEXED;
}

/** The query without parameters that the version does not have yet. `since`: by parameter, the version that brought it. */
export function knownQuery(
  query: URLSearchParams,
  version: number,
  since: Readonly<Record<string, number>>,
): URLSearchParams {
  const known = new URLSearchParams(query);
  for (const [name, first] of Object.entries(since)) if (version < first) known.delete(name);
  return known;
}

const ownOptions: Readonly<Record<string, keyof Mount>> = {
  bind: "BindOptions",
  volume: "VolumeOptions",
  tmpfs: "TmpfsOptions",
};

/** Options of another type than the mount's: refused since 1.42, and without effect before. */
function withoutForeign(mount: Mount, version: number): Mount {
  const own = { ...mount };
  for (const [type, field] of Object.entries(ownOptions)) {
    if (mount[field] === undefined || (mount.Type || "volume") === type) continue;
    if (version >= 42)
      throw fault(
        "invalid",
        "mount",
        `${field} must not be specified on mount type ${JSON.stringify(mount.Type ?? "")}`,
      );
    if (field !== "BindOptions") delete own[field];
  }
  return own;
}

/** The first version that has a mount's option, where a silent loss of it would be dangerous. */
function checkNeeds(mount: Mount, version: number): void {
  const needs: readonly [boolean | undefined, string, number][] = [
    [mount.BindOptions?.ReadOnlyForceRecursive, "BindOptions.ReadOnlyForceRecursive", 44],
    [Boolean(mount.VolumeOptions?.Subpath), "VolumeOptions.Subpath", 45],
    [mount.Type === "image", 'Mount type "Image"', 48],
  ];
  for (const [asked, what, first] of needs)
    if (asked && version < first)
      throw fault("invalid", "mount", `${what} needs API v1.${first} or newer`);
}

function mountAsMeant(mount: Mount, version: number): Mount {
  checkNeeds(mount, version);
  const own = withoutForeign(mount, version);
  if (own.Type !== "bind") return own;
  const options = { ...own.BindOptions };
  if (version < 40) delete options.NonRecursive;
  if (version < 42) delete options.CreateMountpoint;
  return { ...own, BindOptions: options };
}

function hostConfigAsMeant(asked: HostConfig, version: number, cgroupV1: boolean): HostConfig {
  const { Mounts } = asked;
  const meant: HostConfig = { ...asked };
  if (Mounts !== undefined) meant.Mounts = Mounts.map((mount) => mountAsMeant(mount, version));
  // The client removed the container itself.
  if (version < 25) delete meant.AutoRemove;
  if (version < 40) {
    delete meant.KernelMemoryTCP;
    meant.IpcMode ||= "shareable";
  }
  if (version < 41 && cgroupV1) meant.CgroupnsMode ||= "host";
  if (version < 42) delete meant.ConsoleSize;
  if (version < 43) delete meant.Annotations;
  // 0 and below, and -1, with which clients say nothing.
  if ((meant.PidsLimit ?? 0) <= 0) delete meant.PidsLimit;
  if (meant.MemorySwappiness === -1) delete meant.MemorySwappiness;
  return meant;
}

/** Endpoints: before 1.44 there was one, and its MAC address was the container's. */
function networkingAsMeant(
  networking: CreateBody["networking"],
  version: number,
): CreateBody["networking"] {
  const endpoints = Object.entries(networking.EndpointsConfig ?? {});
  if (version >= 44 || endpoints.length === 0) return networking;
  if (endpoints.length > 1)
    throw fault(
      "invalid",
      "endpoint-settings",
      `Container cannot be created with multiple network endpoints: ${endpoints.map(([name]) => name).join(", ")}`,
    );
  return {
    EndpointsConfig: Object.fromEntries(
      endpoints.map(([name, endpoint]) => [name, { ...endpoint, MacAddress: "" }]),
    ),
  };
}

const MAC_DEPRECATED =
  "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.";
const DRIVER_IGNORED =
  "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead";

/** What a creation's client is warned of because of the version that it speaks. */
export function versionWarnings({ config, hostConfig }: CreateBody, version: number): string[] {
  const { VolumeDriver, Mounts = [] } = hostConfig;
  const ignored =
    version >= 48 &&
    Boolean(VolumeDriver) &&
    Mounts.some(
      ({ Type, VolumeOptions }) => Type === "volume" && !VolumeOptions?.DriverConfig?.Name,
    );
  return [
    ...(ignored ? [DRIVER_IGNORED] : []),
    ...(version >= 44 && config.MacAddress ? [MAC_DEPRECATED] : []),
  ];
}

/** A creation as the client's version means it. Throws Faults "invalid" in Docker's words for what the version lacks. */
export function createAsMeant(asked: CreateBody, version: number, cgroupV1: boolean): CreateBody {
  const { config, hostConfig, networking } = asked;
  const { StartInterval: _, ...check } = config.Healthcheck ?? {};
  return {
    config:
      version < 44 && config.Healthcheck !== undefined ? { ...config, Healthcheck: check } : config,
    hostConfig: hostConfigAsMeant(hostConfig, version, cgroupV1),
    networking: networkingAsMeant(networking, version),
  };
}

/** A change of limits: a limit of processes could be changed since 1.40. */
export function limitsAsMeant(limits: HostConfig, version: number): HostConfig {
  if (version >= 40) return limits;
  const { PidsLimit: _, ...meant } = limits;
  return meant;
}

/** Rows of the list of containers. */
export function containersFor(list: ContainerSummary[], version: number): ContainerSummary[] {
  if (version >= 46) return list;
  return list.map(({ HostConfig: { Annotations: _, ...host } = {}, ...row }) => ({
    ...row,
    HostConfig: host,
  }));
}

/** Rows of the list of images. */
export function imagesFor(list: readonly ImageSummary[], version: number): unknown[] {
  return list.map((image) => {
    const nameless = image.RepoTags.length === 0 && image.RepoDigests.length === 0;
    return {
      ...image,
      ...(version < 51 ? { Containers: -1 } : {}),
      ...(version < 44 ? { VirtualSize: image.Size } : {}),
      ...(version < 43 && nameless
        ? { RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] }
        : {}),
    };
  });
}

/** What an image's configuration has, empty or not. */
const imageConfig = { User: "", WorkingDir: "" };
/** The same before 1.50, when it was a container's. */
const containerConfig = {
  Env: null,
  Cmd: null,
  Volumes: null,
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
  Hostname: "",
  Domainname: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Image: "",
};

/** An image, with the container that it was made from as it was told before 1.45: none. */
export function imageFor(image: ImageInspect, version: number): unknown {
  return {
    ...image,
    Config: { ...imageConfig, ...(version < 50 ? containerConfig : {}), ...image.Config },
    ...(version < 44
      ? { VirtualSize: image.Size, Created: image.Created || "0001-01-01T00:00:00Z" }
      : {}),
    ...(version < 45 ? { Container: "", ContainerConfig: {} } : {}),
  };
}

/** /info. */
export function infoFor(info: SystemInfo, version: number): unknown {
  const { FirewallBackend, Containerd, SecurityOptions = [], ...common } = info;
  const expected = (commit: SystemInfo["ContainerdCommit"]) => ({
    ...commit,
    Expected: commit?.ID ?? "",
  });
  return {
    ...common,
    ...(version >= 46 && Containerd !== undefined ? { Containerd } : {}),
    ...(version >= 49 && FirewallBackend !== undefined ? { FirewallBackend } : {}),
    ...(version < 50 ? { BridgeNfIptables: false, BridgeNfIp6tables: false } : {}),
    ...(version < 49
      ? {
          ContainerdCommit: expected(info.ContainerdCommit),
          RuncCommit: expected(info.RuncCommit),
          InitCommit: expected(info.InitCommit),
        }
      : {}),
    ...(version < 47
      ? {
          RegistryConfig: {
            ...info.RegistryConfig,
            AllowNondistributableArtifactsCIDRs: null,
            AllowNondistributableArtifactsHostnames: null,
          },
        }
      : {}),
    ...(version < 25 ? { ExecutionDriver: "<not supported>" } : {}),
    SecurityOptions: version < 25 ? SecurityOptions.map(nameOfOption) : SecurityOptions,
  };
}

/** "seccomp" of "name=seccomp,profile=builtin". */
function nameOfOption(option: string): string {
  return /^name=([^,]*)/.exec(option)?.[1] ?? option;
}

/** Whether clients of a version know an event at all. */
export function knowsEvent({ Type, Action }: EngineEvent, version: number): boolean {
  return version >= 46 || Type !== "image" || Action !== "create";
}
