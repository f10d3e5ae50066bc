/**
 * The bodies of requests: which fields matter and of which type they must be. Everything else is ignored.
 */
import { z } from "zod";
import type {
  ContainerConfig,
  EndpointSettings,
  HostConfig,
  NetworkingConfig,
} from "../spec/engine-api.ts";
import type { ContainerChanges } from "../spec/extensions.ts";

/** No system call takes a NUL byte: it is refused here for all fields. */
const withoutNul = (value: string) => !value.includes("\0");
const text = z
  .string()
  .max(1 << 20)
  .refine(withoutNul, "a NUL byte");
const name = z.string().max(4096).refine(withoutNul, "a NUL byte");
const int = z.number().int();
const flag = z.boolean();
const strings = z.array(text).max(65536);
const textMap = z.record(name, text);
const emptyMap = z.record(name, z.looseObject({}));
/** A list, or one string that counts as a list of it: both are in use. */
const stringOrList = z.union([strings, text.transform((value) => [value])]);

const config = z.object({
  Hostname: name,
  Domainname: name,
  User: name,
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  ExposedPorts: emptyMap,
  Tty: flag,
  OpenStdin: flag,
  StdinOnce: flag,
  Env: strings,
  Cmd: stringOrList,
  Healthcheck: z.looseObject({
    Test: strings.optional(),
    Interval: int.optional(),
    Timeout: int.optional(),
    Retries: int.optional(),
    StartPeriod: int.optional(),
    StartInterval: int.optional(),
  }),
  ArgsEscaped: flag,
  Image: name,
  Volumes: emptyMap,
  WorkingDir: name,
  Entrypoint: stringOrList,
  NetworkDisabled: flag,
  MacAddress: name,
  OnBuild: strings,
  Labels: textMap,
  StopSignal: name,
  StopTimeout: int,
  Shell: strings,
});

const throttles = z.array(z.object({ Path: name, Rate: int }).partial());
const options = <T extends z.ZodRawShape>(shape: T) => z.looseObject(shape).partial().optional();
const mount = z
  .looseObject({
    Target: name,
    Source: name,
    Type: name,
    ReadOnly: flag,
    Consistency: name,
    BindOptions: options({
      Propagation: name,
      NonRecursive: flag,
      CreateMountpoint: flag,
      ReadOnlyNonRecursive: flag,
      ReadOnlyForceRecursive: flag,
      // Berth's own field is strict: a misspelt word in it is nobody else's.
      Berth: z
        .strictObject({ IdMap: z.literal("match-user"), User: name })
        .partial()
        .optional(),
    }),
    VolumeOptions: options({
      NoCopy: flag,
      Labels: textMap,
      Subpath: name,
      DriverConfig: options({ Name: name, Options: textMap }),
    }),
    ImageOptions: options({ Subpath: name }),
    TmpfsOptions: options({ SizeBytes: int, Mode: int, Options: z.array(strings).max(64) }),
  })
  .partial();
const deviceRequest = z
  .looseObject({
    Driver: name,
    Count: int,
    DeviceIDs: strings,
    Capabilities: z.array(strings).max(256),
    Options: textMap,
  })
  .partial();

const hostConfig = z.object({
  CpuShares: int,
  Memory: int,
  CgroupParent: name,
  BlkioWeight: int,
  BlkioWeightDevice: z.array(z.object({ Path: name, Weight: int }).partial()),
  BlkioDeviceReadBps: throttles,
  BlkioDeviceWriteBps: throttles,
  BlkioDeviceReadIOps: throttles,
  BlkioDeviceWriteIOps: throttles,
  CpuPeriod: int,
  CpuQuota: int,
  CpuRealtimePeriod: int,
  CpuRealtimeRuntime: int,
  CpusetCpus: name,
  CpusetMems: name,
  Devices: z.array(
    z.object({ PathOnHost: name, PathInContainer: name, CgroupPermissions: name }).partial(),
  ),
  DeviceCgroupRules: strings,
  DeviceRequests: z.array(deviceRequest),
  KernelMemoryTCP: int,
  IOMaximumIOps: int,
  IOMaximumBandwidth: int,
  MemoryReservation: int,
  MemorySwap: int,
  MemorySwappiness: int,
  NanoCpus: int,
  OomKillDisable: flag,
  Init: flag,
  PidsLimit: int,
  Ulimits: z.array(z.object({ Name: name, Soft: int, Hard: int }).partial()),
  Binds: strings,
  ContainerIDFile: name,
  LogConfig: z.object({ Type: name, Config: textMap }).partial(),
  NetworkMode: name,
  PortBindings: z.record(name, z.array(z.object({ HostIp: name, HostPort: name }).partial())),
  RestartPolicy: z.object({ Name: name, MaximumRetryCount: int }).partial(),
  AutoRemove: flag,
  VolumeDriver: name,
  VolumesFrom: strings,
  Mounts: z.array(mount),
  ConsoleSize: z.array(int).max(2),
  Annotations: textMap,
  CapAdd: strings,
  CapDrop: strings,
  CgroupnsMode: name,
  Dns: strings,
  DnsOptions: strings,
  DnsSearch: strings,
  ExtraHosts: strings,
  GroupAdd: z.array(z.union([name, int.transform(String)])),
  IpcMode: name,
  Links: strings,
  OomScoreAdj: int,
  PidMode: name,
  Privileged: flag,
  PublishAllPorts: flag,
  ReadonlyRootfs: flag,
  SecurityOpt: strings,
  StorageOpt: textMap,
  Tmpfs: textMap,
  UTSMode: name,
  UsernsMode: name,
  ShmSize: int,
  Sysctls: textMap,
  Runtime: name,
  Isolation: name,
  MaskedPaths: strings,
  ReadonlyPaths: strings,
});

/** The body of /containers/create. */
export interface CreateBody {
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly networking: NetworkingConfig;
}

const endpoint = z.looseObject({
  MacAddress: name.optional(),
  Aliases: strings.optional(),
  Links: strings.optional(),
  DriverOpts: textMap.optional(),
  GwPriority: int.optional(),
  IPAMConfig: options({ IPv4Address: name, IPv6Address: name, LinkLocalIPs: strings }),
});

/** Parses the body of /containers/create. */
export const createBody: z.ZodType<CreateBody> = z
  .object({
    ...config.partial().shape,
    HostConfig: hostConfig.partial().optional(),
    NetworkingConfig: z
      .looseObject({ EndpointsConfig: z.record(name, endpoint).optional() })
      .optional(),
  })
  .transform(({ HostConfig: host, NetworkingConfig: networking, ...rest }) => ({
    config: rest as ContainerConfig,
    hostConfig: (host ?? {}) as HostConfig,
    networking: (networking ?? {}) as NetworkingConfig,
  })) as unknown as z.ZodType<CreateBody>;

/** The body of /commit: fields of the new image's configuration. */
export const commitBody = z.object(config.partial().shape) as unknown as z.ZodType<ContainerConfig>;

/** Berth's own field is strict: a misspelt word in it is nobody else's. */
const containerChanges = z
  .strictObject({
    PortBindings: hostConfig.shape.PortBindings,
    PortBindingsRemove: hostConfig.shape.PortBindings,
    PublishAllPorts: flag,
    Labels: textMap,
    LabelsRemove: strings,
    Env: strings,
    EnvRemove: strings,
    Cmd: stringOrList,
    Entrypoint: stringOrList,
    User: name,
    WorkingDir: name,
    Hostname: name,
    Binds: strings,
    Mounts: hostConfig.shape.Mounts,
    Tmpfs: textMap,
    Volumes: emptyMap,
    MountsRemove: z.array(name).max(65536),
  })
  .partial();

/** The body of /containers/{id}/update: Docker's, and berth's own field in it. */
export const updateBody = z
  .object({ ...hostConfig.partial().shape, Berth: containerChanges.optional() })
  .transform(({ Berth: changes = {}, ...limits }) => ({
    limits: limits as HostConfig,
    changes: changes as ContainerChanges,
  })) as unknown as z.ZodType<{ limits: HostConfig; changes: ContainerChanges }>;

/** The body of /containers/{id}/exec. */
export const execBody = z
  .object({
    AttachStdin: flag,
    AttachStdout: flag,
    AttachStderr: flag,
    ConsoleSize: z.array(int).max(2),
    DetachKeys: name,
    Tty: flag,
    Env: strings,
    Cmd: stringOrList,
    Privileged: flag,
    User: name,
    WorkingDir: name,
  })
  .partial();

/** The body of /exec/{id}/start. */
export const execStartBody = z
  .object({ Detach: flag, Tty: flag, ConsoleSize: z.array(int).max(2) })
  .partial();

/** The body of /auth. */
export const authBody = z
  .object({ username: name, password: text, serveraddress: name, identitytoken: text })
  .partial();

/** The body of /volumes/create. */
export const volumeBody = z
  .object({
    Name: name,
    Driver: name,
    DriverOpts: textMap,
    Labels: textMap,
    // What only a swarm's volume has: looked at for being there.
    ClusterVolumeSpec: z.unknown(),
  })
  .partial();

const subnet = z
  .object({ Subnet: name, IPRange: name, Gateway: name, AuxiliaryAddresses: textMap })
  .partial();

/** The body of /networks/create. */
export const networkBody = z
  .object({
    Name: name,
    Driver: name,
    Scope: name,
    Internal: flag,
    Attachable: flag,
    Ingress: flag,
    ConfigOnly: flag,
    ConfigFrom: z.object({ Network: name }).partial(),
    IPAM: z.object({ Driver: name, Config: z.array(subnet).max(64), Options: textMap }).partial(),
    EnableIPv4: flag,
    EnableIPv6: flag,
    Options: textMap,
    Labels: textMap,
  })
  .partial();

/** The body of /networks/{id}/connect. */
export const connectBody = z
  .object({ Container: name, EndpointConfig: endpoint })
  .partial() as unknown as z.ZodType<{ Container?: string; EndpointConfig?: EndpointSettings }>;

/** The body of /networks/{id}/disconnect. */
export const disconnectBody = z.object({ Container: name, Force: flag }).partial();
