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

function goNames(value: Value): Record<string, Callable> {
  return Object.fromEntries(
    Object.entries(GO_NAMES)
      .filter(([name, json]) => !value.entries.has(name) && value.entries.has(json))
      .map(([name, json]) => [name, { params: [], call: () => value.entries.get(json) }]),
  );
}

/** An object of the API: its members keep the order in which they came. */
const objectType: Type = {
  ...mapOf(types.any),
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
export function objectValue(json: unknown): Value | undefined {
  if (typeof json === "bigint") return new Value(types.int, json);
  if (typeof json === "number" && Number.isSafeInteger(json))
    return new Value(types.int, BigInt(json));
  if (typeof json !== "object" || json === null) return fromJson(json);
  const inside = (item: unknown) => new Value(types.any, objectValue(item) ?? null);
  const isText = (item: unknown) => typeof item === "string";
  if (Array.isArray(json)) {
    if (json.every(isText)) return new Value(strings, json.map(objectValue));
    return new Value({ ...strings, name: "[]interface {}", elem: types.any }, json.map(inside));
  }
  const entries = Object.entries(json);
  if (entries.length > 0 && entries.every(([, item]) => isText(item)))
    return new Value(stringMap, new Map(entries.map(([key, item]) => [key, objectValue(item)])));
  return new Value(objectType, new Map(entries.map(([key, item]) => [key, inside(item)])));
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
