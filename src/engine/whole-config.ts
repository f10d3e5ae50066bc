/**
 * Configurations as inspect shows them: with every field that Docker shows, given or not. Clients read fields without asking
 * whether they are there. Pure.
 */
import type { ContainerConfig, EndpointSettings, HostConfig } from "../spec/engine-api.ts";

/** What a HostConfig has that says nothing. */
const emptyHostConfig: HostConfig = {
  Binds: [],
  ContainerIDFile: "",
  LogConfig: { Type: "json-file", Config: {} },
  NetworkMode: "",
  PortBindings: {},
  RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
  AutoRemove: false,
  VolumeDriver: "",
  VolumesFrom: [],
  ConsoleSize: [0, 0],
  CapAdd: [],
  CapDrop: [],
  CgroupnsMode: "private",
  Dns: [],
  DnsOptions: [],
  DnsSearch: [],
  ExtraHosts: [],
  GroupAdd: [],
  IpcMode: "private",
  Cgroup: "",
  Links: [],
  OomScoreAdj: 0,
  PidMode: "",
  Privileged: false,
  PublishAllPorts: false,
  ReadonlyRootfs: false,
  SecurityOpt: [],
  UTSMode: "",
  UsernsMode: "",
  ShmSize: 0,
  Runtime: "",
  Isolation: "",
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CgroupParent: "",
  BlkioWeight: 0,
  BlkioWeightDevice: [],
  BlkioDeviceReadBps: [],
  BlkioDeviceWriteBps: [],
  BlkioDeviceReadIOps: [],
  BlkioDeviceWriteIOps: [],
  CpuPeriod: 0,
  CpuQuota: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  CpusetCpus: "",
  CpusetMems: "",
  Devices: [],
  DeviceCgroupRules: [],
  DeviceRequests: [],
  MemoryReservation: 0,
  MemorySwap: 0,
  OomKillDisable: false,
  PidsLimit: null,
  Ulimits: [],
  CpuCount: 0,
  CpuPercent: 0,
  IOMaximumIOps: 0,
  IOMaximumBandwidth: 0,
};

const emptyConfig: ContainerConfig = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: [],
  Cmd: [],
  Image: "",
  Volumes: {},
  WorkingDir: "",
  Entrypoint: [],
  Labels: {},
};

/** What an endpoint has that Docker leaves null. */
export const plainEndpoint: EndpointSettings = {
  IPAMConfig: null,
  DriverOpts: null,
  GwPriority: 0,
};

/** What is given over what is empty. */
function over<T extends object>(empty: T, given: T): T {
  const said = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...empty, ...Object.fromEntries(said) };
}

/** A HostConfig with every field. */
export function wholeHostConfig(given: HostConfig): HostConfig {
  return over(emptyHostConfig, given);
}

/** A container's configuration with every field. */
export function wholeConfig(given: ContainerConfig): ContainerConfig {
  return over(emptyConfig, given);
}
