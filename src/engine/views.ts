/**
 * Containers as the API shows them: list and inspect. Pure but for the clock.
 */
import { humanDuration } from "../base/durations.ts";
import type { EndpointRecord } from "../network/index.ts";
import type {
  ContainerInspectResponse,
  ContainerSummary,
  DriverData,
  EndpointSettings,
  Health,
  MountPoint,
  NetworkSettings,
} from "../spec/engine-api.ts";
import type { BerthState } from "../spec/extensions.ts";
import type { OciIdMapping } from "../spec/oci-runtime.ts";
import { attachmentsOf, dnsNames } from "./attachments.ts";
import type { Container } from "./container.ts";
import type { AttachmentRecord, ContainerRecord, MountRecord } from "./container-record.ts";
import type { EngineSettings } from "./deps.ts";
import { bareEndpointId, networkId } from "./network-ids.ts";
import { endpointOn } from "./networking.ts";
import { configuredOf, pendingFields } from "./pending.ts";
import { logPath } from "./places.ts";
import { portList, portMap } from "./ports.ts";
import { plainEndpoint, wholeConfig, wholeHostConfig } from "./whole-config.ts";

const ZERO_TIME = "0001-01-01T00:00:00Z";
function healthText({ state: { health } }: ContainerRecord): string {
  if (health === undefined) return "";
  return health.status === "starting" ? " (health: starting)" : ` (${health.status})`;
}

function healthOf({ health }: ContainerRecord["state"]): Health | undefined {
  if (health === undefined) return undefined;
  return {
    Status: health.status,
    FailingStreak: health.failingStreak,
    Log: health.log.map(({ start, end, exitCode, output }) => ({
      Start: start,
      End: end,
      ExitCode: exitCode,
      Output: output,
    })),
  };
}

/** "Up 3 minutes (Paused)", "Exited (0) 2 hours ago", "Created". */
export function statusText(record: ContainerRecord, now = Date.now()): string {
  const { status, startedAt, finishedAt, exitCode } = record.state;
  const since = (time: string) => humanDuration((now - Date.parse(time)) / 1000);
  if (status === "running") return `Up ${since(startedAt)}${healthText(record)}`;
  if (status === "paused") return `Up ${since(startedAt)} (Paused)`;
  if (status === "restarting") return `Restarting (${exitCode}) ${since(finishedAt)} ago`;
  if (status === "removing") return "Removal In Progress";
  if (status === "dead") return "Dead";
  if (startedAt === "") return "Created";
  return `Exited (${exitCode}) ${since(finishedAt)} ago`;
}

function mountPoint(mount: MountRecord): MountPoint {
  return {
    Type: mount.type,
    ...(mount.volume === undefined ? {} : { Name: mount.volume }),
    Source: mount.source,
    Destination: mount.target,
    ...(mount.type === "volume" ? { Driver: mount.driver ?? "local" } : {}),
    Mode: mount.mode,
    RW: !mount.readOnly,
    Propagation: mount.propagation,
  };
}

function addressesShown(endpoint: EndpointRecord | undefined): EndpointSettings {
  return {
    MacAddress: endpoint?.mac ?? "",
    EndpointID: endpoint?.endpointId ?? "",
    Gateway: endpoint?.gateway ?? "",
    IPAddress: endpoint?.address ?? "",
    IPPrefixLen: endpoint?.prefix ?? 0,
    IPv6Gateway: endpoint?.gateway6 ?? "",
    GlobalIPv6Address: endpoint?.address6 ?? "",
    GlobalIPv6PrefixLen: endpoint?.prefix6 ?? 0,
  };
}

/** What was asked for of a network. */
function attachmentShown(record: ContainerRecord, attachment: AttachmentRecord): EndpointSettings {
  const { network, aliases, links, address, address6, linkLocal, driverOptions } = attachment;
  const asked = {
    ...(address === undefined ? {} : { IPv4Address: address }),
    ...(address6 === undefined ? {} : { IPv6Address: address6 }),
    ...(linkLocal === undefined ? {} : { LinkLocalIPs: [...linkLocal] }),
  };
  const named = network !== "";
  return {
    ...plainEndpoint,
    IPAMConfig: Object.keys(asked).length > 0 ? asked : named ? {} : null,
    ...(named ? { Aliases: [...aliases], DNSNames: dnsNames(record, attachment) } : {}),
    ...(links === undefined ? {} : { Links: links.map(({ name, alias }) => `${name}:${alias}`) }),
    ...(driverOptions === undefined ? {} : { DriverOpts: { ...driverOptions } }),
    GwPriority: attachment.gatewayPriority ?? 0,
    NetworkID: named ? network : networkId("bridge"),
    ...addressesShown(endpointOn(record, network)),
  };
}

function networksOf(record: ContainerRecord): Record<string, EndpointSettings> {
  const mode = record.hostConfig.NetworkMode ?? "bridge";
  if (mode.startsWith("container:")) return {};
  if (mode === "host" || mode === "none")
    return {
      [mode]: {
        ...{ ...plainEndpoint, NetworkID: networkId(mode), ...addressesShown(undefined) },
        EndpointID: record.state.pid === 0 ? "" : bareEndpointId(record.id, mode),
      },
    };
  return Object.fromEntries(
    attachmentsOf(record).map((one) => [one.name, attachmentShown(record, one)]),
  );
}

/** Whether ports of a container can be published, or could be. */
function hasPorts(
  record: ContainerRecord,
): record is ContainerRecord & { endpoint: EndpointRecord } {
  return record.endpoint !== undefined && record.endpoint.portless !== true;
}

/** Where the network namespace is that a running container has made; empty: none. */
function sandboxKey({ state: { pid }, hostConfig: { NetworkMode = "" } }: ContainerRecord): string {
  return pid === 0 || NetworkMode.startsWith("container:") ? "" : `/proc/${pid}/ns/net`;
}

function networkSettings(record: ContainerRecord): NetworkSettings {
  const key = sandboxKey(record);
  // Docker's older fields are those of the default bridge.
  const own = addressesShown(endpointOn(record, ""));
  return {
    Bridge: "",
    SandboxID: key === "" ? "" : record.id,
    SandboxKey: key,
    Ports: hasPorts(record) ? portMap(record.config, record.endpoint.ports) : {},
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: own.EndpointID,
    Gateway: own.Gateway,
    GlobalIPv6Address: own.GlobalIPv6Address,
    GlobalIPv6PrefixLen: own.GlobalIPv6PrefixLen,
    IPAddress: own.IPAddress,
    IPPrefixLen: own.IPPrefixLen,
    IPv6Gateway: own.IPv6Gateway,
    MacAddress: own.MacAddress,
    Networks: networksOf(record),
  };
}

function commandOf(record: ContainerRecord): { path: string; args: string[] } {
  const [path = "", ...args] = [...(record.config.Entrypoint ?? []), ...(record.config.Cmd ?? [])];
  return { path, args };
}

/** A row of the list. `otherNames`: those that links give it. */
export function summaryOfContainer(
  container: Container,
  otherNames: readonly string[],
): ContainerSummary {
  const { record } = container;
  const { path, args } = commandOf(record);
  const { Annotations } = record.hostConfig;
  const status = record.state.status;
  return {
    Id: record.id,
    Names: [`/${record.name}`, ...otherNames],
    Image: record.config.Image ?? "",
    ImageID: record.image,
    Command: [
      path,
      ...args.map((arg) => (/[\s'"]/.test(arg) ? `'${arg.replaceAll("'", "'\\''")}'` : arg)),
    ].join(" "),
    Created: Math.floor(Date.parse(record.created) / 1000),
    Ports: hasPorts(record) ? portList(record.config, record.endpoint.ports) : [],
    Labels: { ...record.config.Labels },
    State: status,
    Status: statusText(record),
    HostConfig: {
      NetworkMode: record.hostConfig.NetworkMode ?? "bridge",
      ...(Annotations === undefined ? {} : { Annotations }),
    },
    NetworkSettings: { Networks: networksOf(record) },
    Mounts: record.mounts.map(mountPoint),
  };
}

/** What Docker has no fields for; nothing where there is nothing to say. */
function berthState(
  record: ContainerRecord,
  RestartPending: readonly string[],
): { readonly Berth?: BerthState } {
  const { usernsMode, usernsReason, userNamespace } = record;
  const UserNamespace =
    userNamespace === undefined && usernsReason === undefined
      ? undefined
      : {
          Mode: userNamespace === undefined ? "host" : (usernsMode ?? "host"),
          ...(usernsReason === undefined ? {} : { Reason: usernsReason }),
          ...(userNamespace === undefined
            ? {}
            : {
                UidMap: userNamespace.uidMap.map(idMapping),
                GidMap: userNamespace.gidMap.map(idMapping),
                Unmapped: [...userNamespace.unmapped],
              }),
        };
  if (RestartPending.length === 0 && UserNamespace === undefined) return {};
  return {
    Berth: {
      ...(RestartPending.length === 0 ? {} : { RestartPending }),
      ...(UserNamespace === undefined ? {} : { UserNamespace }),
    },
  };
}

function idMapping({ containerID, hostID, size }: OciIdMapping) {
  return { ContainerID: containerID, HostID: hostID, Size: size };
}

/** The whole of a container: how it is configured, and beside it what its run has (command, ports, mounts). */
export function inspectContainer(
  container: Container,
  settings: EngineSettings,
  /** Where its layers lie, too. */
  driver: DriverData,
  /** Whose hosts, hostname and resolv.conf it has. */
  filesOf: string,
): ContainerInspectResponse & { readonly Berth?: BerthState } {
  const { record } = container;
  const { state } = record;
  const { config, hostConfig } = configuredOf(record);
  const { path, args } = commandOf(record);
  const RestartPending = pendingFields(record);
  const files = `${settings.containersDirectory}/${filesOf}`;
  return {
    Id: record.id,
    Created: record.created,
    Path: path,
    Args: args,
    State: {
      Status: state.status,
      Running: container.alive,
      Paused: state.status === "paused",
      Restarting: container.restarting,
      OOMKilled: state.oomKilled,
      Dead: state.status === "dead",
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt || ZERO_TIME,
      FinishedAt: state.finishedAt || ZERO_TIME,
      ...(state.health === undefined ? {} : { Health: healthOf(state) }),
    },
    Image: record.image,
    ResolvConfPath: `${files}/resolv.conf`,
    HostnamePath: `${files}/hostname`,
    HostsPath: `${files}/hosts`,
    LogPath: hostConfig.LogConfig?.Type === "json-file" ? logPath(settings, record) : "",
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: driver.Name,
    Platform: "linux",
    MountLabel: record.mountLabel ?? "",
    ProcessLabel: record.processLabel ?? "",
    AppArmorProfile: record.appArmorProfile ?? "",
    ExecIDs: container.execs.size === 0 ? null : [...container.execs],
    HostConfig: wholeHostConfig(hostConfig),
    GraphDriver: driver,
    Mounts: record.mounts.map(mountPoint),
    Config: wholeConfig(config),
    NetworkSettings: networkSettings(record),
    ...berthState(record, RestartPending),
  };
}
