/** What some of Go's types do besides holding data: how they print, what JSON they are, their methods. Pure. */
import { goDuration } from "../base/durations.ts";
import { goTimeText, withoutZeros } from "../base/go-time.ts";
import {
  boolValue,
  type Callable,
  GoError,
  intValue,
  stringValue,
  toJson,
  types,
  Value,
} from "../gotemplate/index.ts";
import type { Behaviour } from "./notation.ts";

/** A struct's field that is a text or a number. */
const field = (value: Value, name: string): string | bigint =>
  value.fields.get(name)?.data as string | bigint;

const method = (call: () => Value): Callable => ({ params: [], call });
const methods = (calls: Readonly<Record<string, () => Value>>) =>
  Object.fromEntries(Object.entries(calls).map(([name, call]) => [name, method(call)]));

/** A type that is one text, in a struct that shows nothing of it. */
const TEXT = "text";
const textOf = (value: Value): string => String(field(value, TEXT) ?? "");

const NO_TIME = "0001-01-01T00:00:00Z";

const timeText = (value: Value) => goTimeText(textOf(value) || NO_TIME);
const milliseconds = (value: Value) => Date.parse(textOf(value) || NO_TIME);

/** fs.FileMode's String(): a letter for each kind that it is, and who may what. */
function modeText(value: Value): string {
  const mode = Number(value.int);
  const kinds = [..."dalTLDpSugct?"].filter((_, at) => (mode >>> (31 - at)) & 1).join("");
  return (
    (kinds || "-") +
    [..."rwxrwxrwx"].map((one, at) => ((mode >> (8 - at)) & 1 ? one : "-")).join("")
  );
}

/** net's and nat's port: "80/tcp", or "80-90/udp". */
function portOf(value: Value): { port: string; protocol: string } {
  const [port = "", protocol = ""] = value.string.split("/");
  return port === "" ? { port: "", protocol: "" } : { port, protocol: protocol || "tcp" };
}

function networkMethods(value: Value) {
  const mode = value.string;
  const isContainer = mode.startsWith("container:");
  const isUserDefined = !isContainer && !["default", "bridge", "host", "none"].includes(mode);
  const own = isUserDefined || ["default", "bridge", "host", "none"].includes(mode) ? mode : "";
  return methods({
    IsHost: () => boolValue(mode === "host"),
    IsNone: () => boolValue(mode === "none"),
    IsBridge: () => boolValue(mode === "bridge"),
    IsDefault: () => boolValue(mode === "default"),
    IsContainer: () => boolValue(isContainer),
    IsPrivate: () => boolValue(mode !== "host" && !isContainer),
    IsUserDefined: () => boolValue(isUserDefined),
    ConnectedContainer: () => stringValue(isContainer ? mode.slice("container:".length) : ""),
    NetworkName: () => stringValue(isContainer ? "container" : own),
    UserDefined: () => stringValue(isUserDefined ? mode : ""),
  });
}

function restartMethods(value: Value) {
  const name = String(field(value, "Name"));
  return methods({
    IsNone: () => boolValue(name === "no" || name === ""),
    IsAlways: () => boolValue(name === "always"),
    IsOnFailure: () => boolValue(name === "on-failure"),
    IsUnlessStopped: () => boolValue(name === "unless-stopped"),
  });
}

/** JSON with members in the order of their names: what was a map of Go's on the way. */
function sortedMembers(value: Value): string {
  const { json: _, ...plain } = value.type;
  const sorted = (_key: string, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item;
  return JSON.stringify(JSON.parse(toJson(new Value(plain, value.data))), sorted);
}

/** A context's metadata are a map in JSON. */
function contextJson(value: Value): string {
  const more = value.fields.get("AdditionalFields")?.entries ?? new Map<string, Value>();
  const description = value.fields.get("Description");
  const all = new Map([
    ...(description?.string ? [["Description", description] as const] : []),
    ...more,
  ]);
  return toJson(new Value({ kind: "map", name: "map[string]interface {}", elem: types.any }, all));
}

/** What types do, by their names. */
export const behaviours: Readonly<Record<string, Behaviour>> = {
  "time.Time": {
    text: timeText,
    json: (value) => JSON.stringify(textOf(value) || NO_TIME),
    methods: (value) =>
      methods({
        String: () => stringValue(timeText(value)),
        IsZero: () => boolValue(milliseconds(value) === Date.parse(NO_TIME)),
        Unix: () => new Value(types.int64, BigInt(Math.floor(milliseconds(value) / 1000))),
        UnixMilli: () => new Value(types.int64, BigInt(milliseconds(value))),
      }),
  },
  "time.Duration": {
    text: (value) => goDuration(Number(value.int)),
    methods: (value) =>
      methods({
        String: () => stringValue(goDuration(Number(value.int))),
        Seconds: () => new Value(types.float64, Number(value.int) / 1e9),
        Minutes: () => new Value(types.float64, Number(value.int) / 6e10),
        Hours: () => new Value(types.float64, Number(value.int) / 3.6e12),
        Milliseconds: () => new Value(types.int64, value.int / 1_000_000n),
        Nanoseconds: () => new Value(types.int64, value.int),
      }),
  },
  "fs.FileMode": {
    text: modeText,
    methods: (value) => methods({ String: () => stringValue(modeText(value)) }),
  },
  "nat.Port": {
    methods: (value) =>
      methods({
        Port: () => stringValue(portOf(value).port),
        Proto: () => stringValue(portOf(value).protocol),
        Int: () => intValue(/^\d+$/.test(portOf(value).port) ? BigInt(portOf(value).port) : 0n),
      }),
  },
  "digest.Digest": {
    methods: (value) => {
      const [algorithm, hex] = value.string.split(":");
      const part = (text: string | undefined) => {
        if (hex === undefined) throw new GoError(`no ':' separator in digest "${value.string}"`);
        return stringValue(text ?? "");
      };
      return methods({
        String: () => stringValue(value.string),
        Algorithm: () => part(algorithm),
        Encoded: () => part(hex),
        Hex: () => part(hex),
      });
    },
  },
  "registry.NetIPNet": { pointerText: textOf, json: (value) => JSON.stringify(textOf(value)) },
  "registry.ServiceConfig": { json: sortedMembers },
  "units.Ulimit": {
    pointerText: (value) =>
      `${field(value, "Name")}=${field(value, "Soft")}:${field(value, "Hard")}`,
  },
  "blkiodev.WeightDevice": {
    pointerText: (value) => `${field(value, "Path")}:${field(value, "Weight")}`,
  },
  "blkiodev.ThrottleDevice": {
    pointerText: (value) => `${field(value, "Path")}:${field(value, "Rate")}`,
  },
  "container.NetworkMode": { methods: networkMethods },
  "container.RestartPolicy": { methods: restartMethods },
  "command.DockerContext": { json: contextJson },
};

/** What is not in JSON as it is in Go, by its type's name: JSON with a member for each field. */
export const reshaped: Readonly<Record<string, (json: unknown) => unknown>> = {
  "time.Time": (json) => ({ [TEXT]: withoutZeros(String(json)) }),
  "registry.NetIPNet": (json) => ({ [TEXT]: json }),
  "command.DockerContext": (json) => {
    const { Description, ...AdditionalFields } = json as Readonly<Record<string, unknown>>;
    const more = Object.keys(AdditionalFields).length > 0;
    return { Description, AdditionalFields: more ? AdditionalFields : undefined };
  },
};
