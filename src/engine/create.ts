/**
 * Creating a container: everything that can be checked is checked now, then the record is written. Nothing is asked of the
 * kernel yet.
 */
import { mkdirSync, rmSync } from "node:fs";
import { hostname as hostHostname } from "node:os";
import { fault } from "../base/errors.ts";
import { checkPlatform, hostPlatform, type ImageRecord } from "../images/index.ts";
import { checkLogOptions, checkTag } from "../logging/index.ts";
import { isMac } from "../network/index.ts";
import { parseSeccompProfile } from "../runtime/index.ts";
import type { ContainerConfig, HostConfig, NetworkingConfig } from "../spec/engine-api.ts";
import { type Platform, platformFits, platformText } from "../spec/platform.ts";
import { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { checkHealthConfig } from "./health.ts";
import { healthActionOf } from "./health-action.ts";
import { devicesOf, namespaceChoice, readProfile, resourceHostOf } from "./host.ts";
import { linksFor } from "./links.ts";
import { checkAttributes } from "./log-copy.ts";
import { inheritedMounts, makeMounts, wantedMounts } from "./mounts.ts";
import { checkName, makeUpName, newId } from "./names.ts";
import { securityOption } from "./oci.ts";
import { checkResources } from "./oci-resources.ts";
import { capabilitiesOf } from "./oci-security.ts";
import { eachExposed, portWishes } from "./ports.ts";
import { checkRestartPolicy } from "./restarts.ts";
import { signalNumber } from "./signals.ts";
import { startOrderOf } from "./start-order.ts";

/** What a user asks for. */
export interface CreateInput {
  readonly name?: string | undefined;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly networking: NetworkingConfig;
  /** The platform that the image must be for. */
  readonly platform?: Platform | undefined;
}

/** What came of it. */
export interface Created {
  readonly id: string;
  readonly warnings: readonly string[];
}

/** The image's configuration with what the user gave over it, as Docker merges. */
export function mergeConfig(user: ContainerConfig, image: ImageRecord): ContainerConfig {
  const base = image.document.config ?? {};
  const names = new Set((user.Env ?? []).map((item) => item.split("=", 1)[0]));
  const env = [
    ...(user.Env ?? []),
    ...(base.Env ?? []).filter((item) => !names.has(item.split("=", 1)[0])),
  ];
  const ownEntrypoint = (user.Entrypoint ?? undefined) !== undefined;
  // An entrypoint of the user's resets the image's command; [""] and [] reset the entrypoint itself, [] nothing but that.
  const entrypoint = ownEntrypoint ? user.Entrypoint : base.Entrypoint;
  const command = user.Cmd?.length ? user.Cmd : user.Entrypoint?.length ? undefined : base.Cmd;
  return {
    ...user,
    Env: env,
    Entrypoint:
      entrypoint?.length === 1 && entrypoint[0] === "" ? undefined : (entrypoint ?? undefined),
    Cmd: command ?? undefined,
    User: user.User || base.User || "",
    WorkingDir: user.WorkingDir || base.WorkingDir || "",
    Labels: { ...base.Labels, ...user.Labels },
    Volumes: { ...base.Volumes, ...user.Volumes },
    ExposedPorts: eachExposed({ ...base.ExposedPorts, ...user.ExposedPorts }),
    StopSignal: user.StopSignal || base.StopSignal || undefined,
    Healthcheck: user.Healthcheck ?? base.Healthcheck,
  };
}

/** A container that a request speaks of. That there is none is a mistake in the request, and not what it asks for missing. */
function named(deps: EngineDeps, reference: string): Container {
  const found = deps.registry.lookUp(reference);
  if (found !== undefined) return found;
  throw fault("invalid", "other-container", `No such container: ${reference}`);
}

const networkModes = /^(|default|bridge|none|host|container:.+)$/;

/** Throws a Fault "invalid" in Docker's words for a container's own configuration that makes no sense. */
export function checkConfig(config: ContainerConfig): void {
  if (!config.Entrypoint?.length && !config.Cmd?.length)
    throw fault("invalid", "no-command", "no command specified");
  if (config.Hostname && !/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62})$/.test(config.Hostname))
    throw fault("invalid", "hostname", `invalid hostname format: ${config.Hostname}`);
  if (config.WorkingDir && !config.WorkingDir.startsWith("/"))
    throw fault(
      "invalid",
      "working-directory",
      `the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`,
    );
  for (const text of [
    ...(config.Env ?? []),
    ...(config.Cmd ?? []),
    ...(config.Entrypoint ?? []),
    config.WorkingDir ?? "",
    config.User ?? "",
  ])
    if (text.includes("\0"))
      throw fault("invalid", "nul-byte", "an argument, variable or path has a NUL byte");
  for (const item of config.Env ?? [])
    if (item === "" || item.startsWith("="))
      throw fault("invalid", "environment", `invalid environment variable: ${item}`);
  if (config.StopSignal) signalNumber(config.StopSignal);
  if (config.MacAddress && !isMac(config.MacAddress))
    throw fault("invalid", "mac-address", `invalid MAC address: ${config.MacAddress}`);
  checkHealthConfig(config.Healthcheck);
}

/** Throws Faults in Docker's words for what the host cannot give a container. */
export function checkHostConfig(
  deps: EngineDeps,
  config: ContainerConfig,
  hostConfig: HostConfig,
): void {
  checkResources(hostConfig, resourceHostOf(deps));
  capabilitiesOf(hostConfig, deps.features.capabilities);
  devicesOf(hostConfig);
  portWishes(config, hostConfig);
  const profile = securityOption(hostConfig, "seccomp");
  if (profile !== undefined && profile !== "unconfined" && profile !== "builtin")
    parseSeccompProfile(readProfile(profile));
  const { NetworkMode = "", RestartPolicy, LogConfig, Runtime } = hostConfig;
  if (!networkModes.test(NetworkMode))
    throw fault("invalid", "no-such-network", `network ${NetworkMode} not found`);
  // Throws when the other container is missing; that it runs is asked for at the start.
  for (const mode of [NetworkMode, hostConfig.PidMode, hostConfig.IpcMode])
    if (mode?.startsWith("container:")) named(deps, mode.slice(10));
  if (NetworkMode === "host" && config.Hostname && hostConfig.UTSMode === "host")
    throw fault("invalid", "hostname-conflict", "conflicting options: hostname and the UTS mode");
  checkRestartPolicy(hostConfig);
  if (hostConfig.AutoRemove && RestartPolicy?.Name && RestartPolicy.Name !== "no")
    throw fault(
      "invalid",
      "restart-and-remove",
      "can't create 'AutoRemove' container with restart policy",
    );
  const { Type, Config } = logConfigOf(deps, LogConfig);
  checkLogOptions(Type, Config);
  checkTag(Config.tag ?? "");
  if (Runtime && Runtime !== "berth" && !deps.settings.runtimes.has(Runtime))
    throw fault("invalid", "runtime", `unknown or invalid runtime name: ${Runtime}`);
  if (hostConfig.CgroupParent?.split("/").some((part) => Buffer.byteLength(part) > 255))
    throw fault("invalid", "cgroup-parent", "the cgroup parent has a name of more than 255 bytes");
  if ((hostConfig.ShmSize ?? 0) < 0)
    throw fault("invalid", "shm-size", "SHM size can not be less than 0");
  if ((hostConfig.OomScoreAdj ?? 0) < -1000 || (hostConfig.OomScoreAdj ?? 0) > 1000)
    throw fault(
      "invalid",
      "oom-score",
      `Invalid value ${hostConfig.OomScoreAdj}, range for oom score adj is [-1000, 1000]`,
    );
}

type LogConfig = NonNullable<HostConfig["LogConfig"]>;

/** The daemon's driver and options stand in for what a container does not say. */
function logConfigOf(deps: EngineDeps, given: LogConfig | undefined) {
  const { logDriver, logOptions } = deps.settings;
  const Type = (given?.Type || logDriver) as NonNullable<LogConfig["Type"]>;
  const defaults = Type === logDriver ? logOptions : {};
  return { Type, Config: { ...defaults, ...given?.Config } };
}

/** Fills in what Docker fills in, so that inspect shows it. */
function completeHostConfig(deps: EngineDeps, hostConfig: HostConfig): HostConfig {
  return {
    ...hostConfig,
    Links: undefined,
    NetworkMode:
      !hostConfig.NetworkMode || hostConfig.NetworkMode === "default"
        ? "bridge"
        : hostConfig.NetworkMode,
    IpcMode: hostConfig.IpcMode || "private",
    // Without a word about swap, Docker grants as much of it as of memory.
    MemorySwap: hostConfig.MemorySwap || 2 * (hostConfig.Memory ?? 0),
    CgroupnsMode: hostConfig.CgroupnsMode || "private",
    ShmSize: hostConfig.ShmSize || 64 << 20,
    Runtime: hostConfig.Runtime || "berth",
    RestartPolicy: {
      Name: hostConfig.RestartPolicy?.Name || "no",
      MaximumRetryCount: hostConfig.RestartPolicy?.MaximumRetryCount ?? 0,
    },
    LogConfig: logConfigOf(deps, hostConfig.LogConfig),
  };
}

function recordOf(
  deps: EngineDeps,
  id: string,
  name: string,
  image: ImageRecord,
  config: ContainerConfig,
  input: CreateInput,
  mounts: ContainerRecord["mounts"],
): ContainerRecord {
  const endpoint = Object.values(input.networking.EndpointsConfig ?? {})[0];
  const shared = input.hostConfig.NetworkMode === "host" || input.hostConfig.UTSMode === "host";
  const hostname = config.Hostname || (shared ? hostHostname() : id.slice(0, 12));
  return {
    id,
    name,
    created: new Date().toISOString(),
    image: image.id,
    chain: image.chain,
    config: { ...config, Hostname: hostname },
    hostConfig: completeHostConfig(deps, input.hostConfig),
    mounts,
    state: {
      status: "created",
      pid: 0,
      exitCode: 0,
      error: "",
      oomKilled: false,
      startedAt: "",
      finishedAt: "",
    },
    macAddress: config.MacAddress || endpoint?.MacAddress || undefined,
    restartCount: 0,
    hasBeenStarted: false,
  };
}

/** The image of a container to be. Throws Faults in Docker's words. */
async function imageFor(deps: EngineDeps, { config, platform }: CreateInput): Promise<ImageRecord> {
  const { Image = "", Cmd, Entrypoint } = config;
  if (Image === "" && !Cmd?.length && !Entrypoint?.length)
    throw fault("invalid", "no-command", "no command specified");
  const image = await deps.images.resolveOrBuiltin(Image);
  checkPlatform(Image, image, platform);
  return image;
}

/** Creates a container. Throws Faults in Docker's words, and has changed nothing then. */
export async function createContainer(deps: EngineDeps, input: CreateInput): Promise<Created> {
  const image = await imageFor(deps, input);
  if (input.name !== undefined) deps.registry.checkFree(checkName(input.name));
  const config = mergeConfig(input.config, image);
  checkConfig(config);
  checkHostConfig(deps, config, input.hostConfig);
  const healthAction = healthActionOf(input.config);
  const startOrder = startOrderOf(input.config);
  const links = linksFor(deps.registry, input.hostConfig);
  const inherited = inheritedMounts(
    input.hostConfig.VolumesFrom ?? [],
    (reference) => named(deps, reference).record.mounts,
  );
  const wanted = wantedMounts(config, input.hostConfig, inherited);
  const id = newId();
  const name =
    input.name === undefined
      ? makeUpName((taken) => deps.registry.named(taken) !== undefined)
      : checkName(input.name);
  const directory = `${deps.settings.containersDirectory}/${id}`;
  try {
    const mounts = makeMounts(wanted, deps.volumes, id);
    const record = {
      ...recordOf(deps, id, name, image, config, input, mounts),
      links,
      healthAction,
      startOrder,
    };
    checkAttributes(record);
    mkdirSync(directory, { mode: 0o700 });
    deps.driver.prepare({
      id,
      chain: record.chain,
      volatile: record.hostConfig.AutoRemove === true,
    });
    deps.database.insist(record);
    deps.registry.add(new Container(record));
    deps.events.emit("container", "create", id, {
      ...config.Labels,
      image: config.Image ?? "",
      name,
    });
  } catch (error) {
    deps.volumes.releaseAll(id);
    deps.driver.remove(id);
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  return {
    id,
    warnings: [...platformWarnings(image, input), ...warningsOf(deps, input.hostConfig)],
  };
}

function platformWarnings({ document }: ImageRecord, { platform }: CreateInput): string[] {
  const host = hostPlatform();
  if (platform !== undefined || document.architecture === "" || platformFits(host, document))
    return [];
  return [
    `The requested image's platform (${platformText(document)}) does not match the detected host platform (${platformText(host)}) and no specific platform was requested`,
  ];
}

/** The warning for ports of a container that has the host's network. */
export const PORTS_DISCARDED = "Published ports are discarded when using host network mode";

function warningsOf(deps: EngineDeps, hostConfig: HostConfig): string[] {
  const warnings: string[] = [];
  if ((hostConfig.Memory ?? 0) > 0 && !deps.cgroups.swapAccounting)
    warnings.push(
      "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
    );
  if (hostConfig.NetworkMode === "host" && Object.keys(hostConfig.PortBindings ?? {}).length > 0)
    warnings.push(PORTS_DISCARDED);
  const { OomScoreAdj = 0 } = hostConfig;
  const { lowestOomScore } = deps.features;
  if (OomScoreAdj < lowestOomScore)
    warnings.push(
      `The OOM score adjustment of ${OomScoreAdj} is lower than the engine has the right to set (CAP_SYS_RESOURCE). It is ${lowestOomScore} instead.`,
    );
  return warnings;
}

/** Checks what other containers a container depends on, at its start. */
export function namespacesOf(deps: EngineDeps, record: ContainerRecord) {
  const { hostConfig } = record;
  return {
    network: namespaceChoice(deps, hostConfig.NetworkMode, "network"),
    pid: namespaceChoice(deps, hostConfig.PidMode, "pid"),
    ipc: namespaceChoice(deps, hostConfig.IpcMode, "ipc"),
    uts: namespaceChoice(
      deps,
      hostConfig.UTSMode || (hostConfig.NetworkMode === "host" ? "own" : ""),
      "uts",
    ),
  };
}
