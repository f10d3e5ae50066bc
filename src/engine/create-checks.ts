/**
 * What of a request to create a container is refused, in Docker's words, and what is warned of.
 */
import { isIP } from "node:net";
import { fault } from "../base/errors.ts";
import { parseBytes } from "../base/sizes.ts";
import { hostPlatform, type ImageRecord } from "../images/index.ts";
import { checkLogOptions, checkTag, type LogOptions } from "../logging/index.ts";
import { isMac } from "../network/index.ts";
import { parseSeccompProfile } from "../runtime/index.ts";
import type { ContainerConfig, HostConfig, NetworkingConfig } from "../spec/engine-api.ts";
import { type Platform, platformFits, platformText } from "../spec/platform.ts";
import { signalNumber } from "../spec/signals.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { checkGuardPorts } from "./guard-limits.ts";
import { checkHealthConfig } from "./health.ts";
import { devicesOf, readProfile, resourceHostOf } from "./host.ts";
import { rlimitsOf } from "./oci.ts";
import { checkResources, resourceWarnings } from "./oci-resources.ts";
import { capabilitiesOf, deviceRules } from "./oci-security.ts";
import { sysctlsOf } from "./oci-sysctls.ts";
import { portWishes } from "./ports.ts";
import { checkRestartPolicy } from "./restarts.ts";
import { checkSecurityOptions, securityOption } from "./security-options.ts";
import { checkUserNamespaceMode } from "./user-namespaces.ts";

/** A container that a request speaks of. That there is none is a mistake in the request, and not what it asks for missing. */
export function named(deps: EngineDeps, reference: string): Container {
  const found = deps.registry.lookUp(reference);
  if (found !== undefined) return found;
  throw fault("invalid", "other-container", `No such container: ${reference}`);
}

type LogConfig = NonNullable<HostConfig["LogConfig"]>;

/** The daemon's driver and options stand in for what a container does not say. */
export function logConfigOf(
  deps: EngineDeps,
  given: LogConfig | undefined,
): { readonly Type: NonNullable<LogConfig["Type"]>; readonly Config: LogOptions } {
  const { logDriver, logOptions } = deps.settings;
  const Type = (given?.Type || logDriver) as NonNullable<LogConfig["Type"]>;
  const defaults = Type === logDriver ? logOptions : {};
  return { Type, Config: { ...defaults, ...given?.Config } };
}

/** Throws a Fault "invalid" in Docker's words for a container's configuration that makes no sense. */
export function checkConfig(config: ContainerConfig): void {
  if (!config.Entrypoint?.length && !config.Cmd?.length)
    throw fault("invalid", "no-command", "no command specified");
  if (config.WorkingDir && !config.WorkingDir.startsWith("/"))
    throw fault(
      "invalid",
      "working-directory",
      `the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`,
    );
  for (const [what, name] of [
    ["hostname", config.Hostname],
    ["domainname", config.Domainname],
  ] as const) {
    if (Buffer.byteLength(name ?? "") > NAME_MAX)
      throw fault("invalid", "hostname", `invalid ${what}: ${name}: at most ${NAME_MAX} bytes`);
    if (SPACE_OR_CONTROL.test(name ?? ""))
      throw fault("invalid", "hostname", `invalid ${what} format: ${name}`);
  }
  for (const item of config.Env ?? [])
    if (item === "" || item.startsWith("="))
      throw fault("invalid", "environment", `invalid environment variable: ${item}`);
  if (config.StopSignal) signalNumber(config.StopSignal);
  checkHealthConfig(config.Healthcheck);
}

/** The kernel's bound for both (uname(2)). */
const NAME_MAX = 64;
/** What ends a name, or a line, in /etc/hosts. */
const SPACE_OR_CONTROL = /[\s\p{Cc}]/u;

function conflicting(what: string): Error {
  return fault("invalid", "conflicting-options", `conflicting options: ${what}`);
}

/** What a network namespace that is shared with others excludes. `config`: what the user gave, without the image's. */
export function checkNetwork(config: ContainerConfig, hostConfig: HostConfig): void {
  const { NetworkMode = "", UTSMode, PortBindings = {}, PublishAllPorts } = hostConfig;
  if (UTSMode === "host" && config.Hostname) throw conflicting("hostname and the UTS mode");
  if (UTSMode === "host" && config.Domainname) throw conflicting("domainname and the UTS mode");
  if (NetworkMode === "container:")
    throw fault("invalid", "network-mode", "invalid container format container:<name|id>");
  const ofContainer = NetworkMode.startsWith("container:");
  if ((ofContainer || NetworkMode === "host") && config.MacAddress)
    throw conflicting("mac-address and the network mode");
  if (!ofContainer) return;
  if (config.Hostname) throw conflicting("hostname and the network mode");
  if (hostConfig.Dns?.length) throw conflicting("dns and the network mode");
  if (hostConfig.ExtraHosts?.length)
    throw conflicting("custom host-to-IP mapping and the network mode");
  if (Object.keys(PortBindings).length > 0 || PublishAllPorts)
    throw conflicting("port publishing and the container type network mode");
  if (Object.keys(config.ExposedPorts ?? {}).length > 0)
    throw conflicting("port exposing and the container type network mode");
}

function checkNames({ Dns = [], ExtraHosts = [] }: HostConfig): void {
  for (const server of Dns)
    if (isIP(server) === 0) throw fault("invalid", "dns-server", `${server} is not an ip address`);
  for (const item of ExtraHosts) {
    const [, name = "", address = ""] = /^([^:=]*)[:=](.*)$/s.exec(item) ?? [];
    if (name === "" || SPACE_OR_CONTROL.test(name))
      throw fault("invalid", "add-host", `bad format for add-host: "${item}"`);
    if (address !== "host-gateway" && isIP(address.replace(/^\[(.*)\]$/, "$1")) === 0)
      throw fault("invalid", "add-host", `invalid IP address in add-host: "${address}"`);
  }
}

/** Addresses of Ethernet that a container is to have. Throws Faults "invalid" in Docker's words. */
export function checkMacs(
  { MacAddress }: ContainerConfig,
  { NetworkMode }: HostConfig,
  { EndpointsConfig = {} }: NetworkingConfig,
): void {
  if (MacAddress && !isMac(MacAddress))
    throw fault("invalid", "mac-address", `invalid MAC address: ${MacAddress}`);
  const main = EndpointsConfig[NetworkMode || "default"] ?? EndpointsConfig.bridge;
  if (MacAddress && main?.MacAddress && main.MacAddress !== MacAddress)
    throw fault(
      "invalid",
      "mac-address",
      "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
    );
}

const namespaceModes: readonly (readonly [keyof HostConfig, RegExp, string])[] = [
  ["IpcMode", /^(|none|private|shareable|host|container:.+)$/, "IPC mode"],
  ["PidMode", /^(|host|container:.+)$/, "PID mode"],
  ["UTSMode", /^(|host)$/, "UTS mode"],
  ["CgroupnsMode", /^(|private|host)$/, "cgroup namespace mode"],
];

function checkNamespaces(deps: EngineDeps, hostConfig: HostConfig): void {
  checkUserNamespaceMode(hostConfig.UsernsMode ?? "");
  for (const [field, valid, what] of namespaceModes) {
    const mode = String(hostConfig[field] ?? "");
    if (!valid.test(mode)) throw fault("invalid", "namespace-mode", `invalid ${what}: ${mode}`);
  }
  // Throws when the other container is missing; that it runs is asked for at the start.
  for (const mode of [hostConfig.NetworkMode, hostConfig.PidMode, hostConfig.IpcMode])
    if (mode?.startsWith("container:")) named(deps, mode.slice(10));
}

function checkSecurity(deps: EngineDeps, hostConfig: HostConfig): void {
  checkSecurityOptions(hostConfig);
  const profile = securityOption(hostConfig, "seccomp");
  if (profile !== undefined && profile !== "unconfined" && profile !== "builtin")
    parseSeccompProfile(readProfile(profile));
  capabilitiesOf(hostConfig, deps.features.capabilities);
  deviceRules(hostConfig, devicesOf(hostConfig));
  rlimitsOf(hostConfig, deps.features);
  sysctlsOf(hostConfig);
}

function checkLimits(deps: EngineDeps, hostConfig: HostConfig): void {
  checkResources(hostConfig, resourceHostOf(deps));
  if (hostConfig.CgroupParent?.split("/").some((part) => Buffer.byteLength(part) > 255))
    throw fault("invalid", "cgroup-parent", "the cgroup parent has a name of more than 255 bytes");
  if ((hostConfig.ShmSize ?? 0) < 0)
    throw fault("invalid", "shm-size", "SHM size can not be less than 0");
  const score = hostConfig.OomScoreAdj ?? 0;
  if (score < -1000 || score > 1000)
    throw fault(
      "invalid",
      "oom-score",
      `Invalid value ${score}, range for oom score adj is [-1000, 1000]`,
    );
}

/** The bytes that --storage-opt size says; undefined without one. Throws a Fault "invalid" for what is no size. */
export function sizeLimitOf({ StorageOpt = {} }: HostConfig): number | undefined {
  const { size } = StorageOpt;
  if (size === undefined) return undefined;
  const bytes = parseBytes(size);
  if (bytes === undefined) throw fault("invalid", "storage-option", `invalid size: '${size}'`);
  return bytes;
}

/** A size that nothing would hold the container to is refused, not ignored. */
function checkStorage({ driver }: Pick<EngineDeps, "driver">, hostConfig: HostConfig): void {
  for (const option of Object.keys(hostConfig.StorageOpt ?? {}))
    if (option !== "size") throw fault("invalid", "storage-option", `Unknown option ${option}`);
  if (sizeLimitOf(hostConfig) === undefined || driver.limitsSize) return;
  throw fault(
    "unsupported",
    "storage-size",
    `--storage-opt size is not supported by the storage driver ${driver.name}: use btrfs (berth system migrate), or put --data-root on a file system of that size`,
  );
}

function checkRun(deps: EngineDeps, hostConfig: HostConfig): void {
  const { RestartPolicy, Runtime, Isolation = "" } = hostConfig;
  checkRestartPolicy(hostConfig);
  if (hostConfig.AutoRemove && RestartPolicy?.Name && RestartPolicy.Name !== "no")
    throw fault(
      "invalid",
      "restart-and-remove",
      "can't create 'AutoRemove' container with restart policy",
    );
  const { Type, Config } = logConfigOf(deps, hostConfig.LogConfig);
  checkLogOptions(Type, Config);
  checkTag(Config.tag ?? "");
  if (Runtime && Runtime !== "berth" && !deps.settings.runtimes.has(Runtime))
    throw fault("invalid", "runtime", `unknown or invalid runtime name: ${Runtime}`);
  if (Isolation !== "" && Isolation !== "default")
    throw fault(
      "invalid",
      "isolation",
      `invalid isolation (${Isolation}): linux only supports 'default'`,
    );
  if ("" in (hostConfig.Annotations ?? {}))
    throw fault(
      "invalid",
      "annotation",
      "invalid Annotations: the empty string is not permitted as an annotation key",
    );
}

/**
 * Throws Faults in Docker's words for what cannot be as asked. `given` is the user's own configuration, `config` the one
 * merged with the image's.
 */
export function checkHostConfig(
  deps: EngineDeps,
  given: ContainerConfig,
  config: ContainerConfig,
  hostConfig: HostConfig,
): void {
  checkLimits(deps, hostConfig);
  checkSecurity(deps, hostConfig);
  const wishes = portWishes(config, hostConfig);
  if (deps.settings.guard !== undefined) checkGuardPorts(deps.settings.guard, wishes);
  checkNetwork(given, hostConfig);
  checkNames(hostConfig);
  checkNamespaces(deps, hostConfig);
  checkStorage(deps, hostConfig);
  checkRun(deps, hostConfig);
}

function platformWarnings({ document }: ImageRecord, platform: Platform | undefined): string[] {
  const host = hostPlatform();
  if (platform !== undefined || document.architecture === "" || platformFits(host, document))
    return [];
  return [
    `The requested image's platform (${platformText(document)}) does not match the detected host platform (${platformText(host)}) and no specific platform was requested`,
  ];
}

/** The warning for ports of a container that has the host's network. */
export const PORTS_DISCARDED = "Published ports are discarded when using host network mode";

/** What a user is warned of: it was asked for, and will not be quite so. */
export function warningsOf(
  deps: EngineDeps,
  image: ImageRecord,
  hostConfig: HostConfig,
  platform: Platform | undefined,
): string[] {
  const warnings = platformWarnings(image, platform);
  if (hostConfig.NetworkMode === "host" && Object.keys(hostConfig.PortBindings ?? {}).length > 0)
    warnings.push(PORTS_DISCARDED);
  const { OomScoreAdj = 0 } = hostConfig;
  const { lowestOomScore } = deps.features;
  if (OomScoreAdj < lowestOomScore)
    warnings.push(
      `The OOM score adjustment of ${OomScoreAdj} is lower than the engine has the right to set (CAP_SYS_RESOURCE). It is ${lowestOomScore} instead.`,
    );
  return [...warnings, ...resourceWarnings(hostConfig, resourceHostOf(deps))];
}
