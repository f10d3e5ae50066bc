/**
 * The API as programs in Go use it (cri-dockerd, Nomad): the version is negotiated, and a structure is sent with all of its
 * fields, those that nobody has set too.
 */
import { expect } from "bun:test";
import type { ContainerInspectResponse } from "../../src/spec/engine-api.ts";
import type { TestDaemon } from "./daemon.ts";

/** container.Config without a word. */
export const goConfig = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
};

/** container.HostConfig without a word. */
export const goHostConfig = {
  Binds: null,
  ContainerIDFile: "",
  LogConfig: { Type: "", Config: null },
  NetworkMode: "",
  PortBindings: null,
  RestartPolicy: { Name: "", MaximumRetryCount: 0 },
  AutoRemove: false,
  VolumeDriver: "",
  VolumesFrom: null,
  ConsoleSize: [0, 0],
  CapAdd: null,
  CapDrop: null,
  CgroupnsMode: "",
  Dns: null,
  DnsOptions: null,
  DnsSearch: null,
  ExtraHosts: null,
  GroupAdd: null,
  IpcMode: "",
  Cgroup: "",
  Links: null,
  OomScoreAdj: 0,
  PidMode: "",
  Privileged: false,
  PublishAllPorts: false,
  ReadonlyRootfs: false,
  SecurityOpt: null,
  UTSMode: "",
  UsernsMode: "",
  ShmSize: 0,
  Isolation: "",
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CgroupParent: "",
  BlkioWeight: 0,
  BlkioWeightDevice: null,
  BlkioDeviceReadBps: null,
  BlkioDeviceWriteBps: null,
  BlkioDeviceReadIOps: null,
  BlkioDeviceWriteIOps: null,
  CpuPeriod: 0,
  CpuQuota: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  CpusetCpus: "",
  CpusetMems: "",
  Devices: null,
  DeviceCgroupRules: null,
  DeviceRequests: null,
  MemoryReservation: 0,
  MemorySwap: 0,
  MemorySwappiness: null,
  OomKillDisable: null,
  PidsLimit: null,
  Ulimits: null,
  CpuCount: 0,
  CpuPercent: 0,
  IOMaximumIOps: 0,
  IOMaximumBandwidth: 0,
  MaskedPaths: null,
  ReadonlyPaths: null,
};

/** time.RFC3339Nano, which both programs parse. */
export const RFC3339_NANO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;

/** What the inspection of a container has for certain. */
export type Inspected = ContainerInspectResponse & {
  readonly State: NonNullable<ContainerInspectResponse["State"]>;
  readonly Config: NonNullable<ContainerInspectResponse["Config"]>;
  readonly HostConfig: NonNullable<ContainerInspectResponse["HostConfig"]>;
  readonly NetworkSettings: NonNullable<ContainerInspectResponse["NetworkSettings"]>;
};

/** A client. */
export class GoClient {
  private prefix = "";

  constructor(private readonly daemon: TestDaemon) {}

  /** NegotiateAPIVersion: the older of both versions, as the answer's head tells the server's. */
  async negotiate(newest: string): Promise<string> {
    const response = await fetch("http://docker/_ping", {
      method: "HEAD",
      unix: this.daemon.socket,
    });
    const served = response.headers.get("Api-Version") ?? "1.24";
    const minor = Math.min(...[served, newest].map((version) => Number(version.split(".")[1])));
    this.prefix = `/v1.${minor}`;
    return `1.${minor}`;
  }

  /** A request whose answer has the status; gives its body, parsed if there is one. */
  async call<T>(method: string, path: string, status: number, body?: unknown): Promise<T> {
    const answer = await this.daemon.api(method, this.prefix + path, body);
    expect(`${answer.status} ${answer.status === status ? "" : answer.text}`).toBe(`${status} `);
    return (answer.text === "" ? undefined : JSON.parse(answer.text)) as T;
  }

  /** A stream of lines of JSON, until it ends or has given so many. */
  async lines<T>(method: string, path: string, most = Number.POSITIVE_INFINITY): Promise<T[]> {
    const left = new AbortController();
    const response = await fetch(`http://docker${this.prefix}${path}`, {
      method,
      unix: this.daemon.socket,
      signal: left.signal,
    });
    const found: T[] = [];
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      found.push(...lines.filter(Boolean).map((line) => JSON.parse(line) as T));
      if (found.length >= most) break;
    }
    left.abort();
    return found;
  }

  /** Creates a container of these parts of its structures; gives its id. */
  async create(name: string, config: object, hostConfig: object): Promise<string> {
    const body = {
      ...goConfig,
      ...config,
      HostConfig: { ...goHostConfig, ...hostConfig },
      NetworkingConfig: null,
    };
    const { Id } = await this.call<{ Id: string }>(
      "POST",
      `/containers/create?name=${name}`,
      201,
      body,
    );
    return Id;
  }

  inspect(id: string): Promise<Inspected> {
    return this.call("GET", `/containers/${id}/json`, 200);
  }

  /** The list of containers with filters, each a map to true as Go's filters.Args marshals them. */
  list(filters: Readonly<Record<string, readonly string[]>>, all = true): Promise<Summary[]> {
    const encoded = Object.fromEntries(
      Object.entries(filters).map(([key, values]) => [
        key,
        Object.fromEntries(values.map((value) => [value, true])),
      ]),
    );
    const query = new URLSearchParams({ filters: JSON.stringify(encoded) });
    if (all) query.set("all", "1");
    return this.call("GET", `/containers/json?${query}`, 200);
  }
}

/** A row of the list. */
export interface Summary {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly ImageID: string;
  readonly Created: number;
  readonly State: string;
  readonly Status: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Mounts: readonly { readonly Destination: string }[];
}
