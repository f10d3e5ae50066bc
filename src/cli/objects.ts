/**
 * Single objects by a user's template, or as JSON; and what Docker's command line says to a template that is wrong.
 */
import { messageOf } from "../base/errors.ts";
import {
  type Callable,
  dockerFunctions,
  dockerNames,
  execute,
  fromJson,
  mapOf,
  parse,
  pointerTo,
  type Template,
  type Type,
  toJson,
  types,
  Value,
} from "../gotemplate/index.ts";

/** Does what may fail because of the user's template. `words`: what docker says of it. */
export function asTemplateError<T>(run: () => T, words = "template parsing error"): T {
  try {
    return run();
  } catch (error) {
    throw new Error(`${words}: ${messageOf(error)}`);
  }
}

/** Parses a template that may call Docker's functions. Throws in Docker's words. */
export function parseTemplate(source: string, words?: string): Template {
  return asTemplateError(() => parse(source, dockerNames), words);
}

const strings: Type = { kind: "slice", name: "[]string", elem: types.string };
const stringMap = mapOf(types.string);
/** Members that are called otherwise in Go than in JSON; a template may use both names, as with docker. */
const GO_NAMES: Readonly<Record<string, string>> = {
  ...{ ID: "Id", APIVersion: "ApiVersion", DNS: "Dns", DNSOptions: "DnsOptions" },
  ...{
    DNSSearch: "DnsSearch",
    CPUShares: "CpuShares",
    NanoCPUs: "NanoCpus",
    CPUPeriod: "CpuPeriod",
  },
  ...{ CPUQuota: "CpuQuota", CPURealtimePeriod: "CpuRealtimePeriod" },
  CPURealtimeRuntime: "CpuRealtimeRuntime",
};

/** Members that are lists, or tables, in Go when they are null or left out; everything else is then a pointer to nothing. */
const LISTS: ReadonlySet<string> = new Set(
  [
    "ExecIDs",
    "OnBuild",
    "CapAdd",
    "CapDrop",
    "Binds",
    "Links",
    "GroupAdd",
    "Dns",
    "Devices",
  ].concat(
    [
      "Entrypoint",
      "Cmd",
      "Shell",
      "Env",
      "Aliases",
      "RepoTags",
      "RepoDigests",
      "Ulimits",
      "Mounts",
    ],
    ["DnsOptions", "DnsSearch", "ExtraHosts", "SecurityOpt", "VolumesFrom", "DeviceRequests"],
  ),
);
const TABLES: ReadonlySet<string> = new Set(
  ["Volumes", "Labels", "ExposedPorts", "Tmpfs", "Sysctls", "Ports", "Options", "Data"].concat([
    "PortBindings",
    "Annotations",
    "StorageOpt",
    "Containers",
    "DriverOpts",
    "Networks",
  ]),
);
/** Members that the API leaves out when there is nothing to say. */
const OPTIONAL = [
  "Berth",
  "Health",
  "Healthcheck",
  "SizeRw",
  "SizeRootFs",
  "StopTimeout",
  "MemorySwappiness",
].concat(
  ["OnBuild", "Shell", "StopSignal", "MacAddress", "NetworkDisabled", "ArgsEscaped", "Status"],
  [
    "UsageData",
    "ExposedPorts",
    "Init",
    "ClusterVolume",
    "GraphDriver",
    "Descriptor",
    "Manifests",
    "Annotations",
  ],
  ["Tmpfs", "Sysctls", "StorageOpt", "Mounts", "ImageManifestDescriptor", "Labels", "Volumes"],
);
const nothing: Type = pointerTo(types.any);

function nullOf(name: string): Value {
  if (LISTS.has(name)) return new Value(strings, null);
  return new Value(TABLES.has(name) ? stringMap : nothing, null);
}

function goNames(value: Value): Record<string, Callable> {
  const others = Object.entries(GO_NAMES)
    .filter(([name, json]) => !value.entries.has(name) && value.entries.has(json))
    .map(([name, json]) => [name, { params: [], call: () => value.entries.get(json) }] as const);
  const missing = OPTIONAL.filter((name) => !value.entries.has(name)).map(
    (name) => [name, { params: [], call: () => nullOf(name) }] as const,
  );
  return Object.fromEntries([...others, ...missing]);
}

/** An object of the API: its members keep the order in which they came. */
const objectType: Type = {
  ...mapOf(types.any),
  isClosed: true,
  methods: goNames,
  json: (value) => {
    const members = [...value.entries].map(
      ([key, item]) => `${JSON.stringify(key)}:${toJson(item)}`,
    );
    return `{${members.join(",")}}`;
  },
};

/**
 * An object of the API with the types that it has in Go: whole numbers are integers, lists of strings can be joined,
 * tables of strings have no missing keys.
 */
export function objectValue(json: unknown, isTable = false): Value | undefined {
  if (typeof json === "bigint") return new Value(types.int, json);
  if (typeof json === "number" && Number.isSafeInteger(json))
    return new Value(types.int, BigInt(json));
  if (typeof json !== "object" || json === null) return fromJson(json);
  const inside = (item: unknown, isOpen = false) =>
    new Value(types.any, objectValue(item, isOpen) ?? null);
  const isText = (item: unknown) => typeof item === "string";
  if (Array.isArray(json)) {
    if (json.every(isText))
      return new Value(
        strings,
        json.map((item) => objectValue(item)),
      );
    return new Value(
      { ...strings, name: "[]interface {}", elem: types.any },
      json.map((item) => inside(item)),
    );
  }
  const entries = Object.entries(json);
  if ((isTable || entries.length > 0) && entries.every(([, item]) => isText(item)))
    return new Value(stringMap, new Map(entries.map(([key, item]) => [key, objectValue(item)])));
  const members = entries.map(
    ([key, item]) => [key, item === null ? nullOf(key) : inside(item, TABLES.has(key))] as const,
  );
  return new Value(isTable ? { ...objectType, isClosed: false } : objectType, new Map(members));
}

/** Gives what formats an object: "json", or a Go template. Throws for a template that cannot be read. */
export function objectFormatter(format: string): (object: unknown) => string {
  if (format === "json") return (object) => `${JSON.stringify(object)}\n`;
  const template = parseTemplate(format);
  return (object) => {
    const value = objectValue(object);
    const text = asTemplateError(() => execute(template, value, { functions: dockerFunctions }));
    return `${text}\n`;
  };
}
