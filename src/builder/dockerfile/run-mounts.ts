/**
 * `RUN --mount`: what it says, with its mistakes in BuildKit's words. Pure.
 */

import { fault } from "../../base/errors.ts";
import { own } from "../../base/own.ts";

/** A mount of a RUN. */
export type RunMount =
  | {
      readonly type: "bind";
      /** A stage, an image or a named context; undefined for the build's context. */
      readonly from?: string | undefined;
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
    }
  | {
      readonly type: "cache";
      readonly id: string;
      readonly from?: string | undefined;
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
      readonly sharing: "shared" | "private" | "locked";
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | { readonly type: "tmpfs"; readonly target: string; readonly size?: number | undefined }
  | {
      readonly type: "secret" | "ssh";
      readonly id: string;
      /** Where it is put; undefined when it is only in a variable. */
      readonly target?: string | undefined;
      readonly env?: string | undefined;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

const KEYS: Readonly<Record<string, readonly string[]>> = {
  bind: ["from", "source", "target", "readonly"],
  cache: ["id", "from", "source", "target", "readonly", "sharing", "mode", "uid", "gid"],
  tmpfs: ["target", "size"],
  secret: ["id", "target", "env", "required", "mode", "uid", "gid"],
  ssh: ["id", "target", "required", "mode", "uid", "gid"],
};
const NAMES: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
  rw: "readwrite",
};

function bad(message: string): Error {
  return fault("invalid", "run-mount", message);
}

/** Fields of a CSV line: a value with a comma stands in double quotes. */
function fields(text: string): string[] {
  const found: string[] = [];
  let [field, quoted] = ["", false];
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? "";
    if (char === '"' && quoted && text[at + 1] === '"') field += text[++at];
    else if (char === '"') quoted = !quoted;
    else if (char === "," && !quoted) {
      found.push(field);
      field = "";
    } else field += char;
  }
  if (quoted)
    throw bad(`failed to parse csv mounts: ${JSON.stringify(text)} has a quote that does not end`);
  return [...found, field];
}

function boolean(key: string, value: string | undefined): boolean {
  if (value === undefined || /^(true|1|t)$/i.test(value)) return true;
  if (/^(false|0|f)$/i.test(value)) return false;
  throw bad(`invalid value for ${key}: ${value}`);
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

function bytes(text: string): number {
  const [, count = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  if (count === "") throw bad(`invalid value for size: ${text}`);
  return Math.floor(Number(count) * (UNITS[unit.toLowerCase()] ?? 1));
}

function number(
  values: ReadonlyMap<string, string>,
  key: string,
  otherwise: number,
  base = 10,
): number {
  const text = values.get(key);
  if (text === undefined) return otherwise;
  const value = Number.parseInt(text, base);
  const digits = base === 8 ? /^[0-7]+$/ : /^\d+$/;
  if (!digits.test(text)) throw bad(`invalid value ${text} for ${key}`);
  return value;
}

function readValues(text: string): Map<string, string> {
  const values = new Map<string, string>();
  const pieces = fields(text).map((field) => {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    return { key: own(NAMES, key) ?? key, value: at < 0 ? undefined : field.slice(at + 1), field };
  });
  const type = pieces.find(({ key }) => key === "type")?.value ?? "bind";
  const known = own(KEYS, type);
  if (known === undefined) throw bad(`unsupported mount type ${JSON.stringify(type)}`);
  for (const { key, value, field } of pieces) {
    if (key === "readonly") values.set(key, String(boolean(key, value)));
    else if (key === "readwrite") values.set("readonly", String(!boolean(key, value)));
    else if (key === "required") values.set(key, String(boolean(key, value)));
    else if (value === undefined) throw bad(`invalid field '${field}' must be a key=value pair`);
    else values.set(key, value);
    const word = key === "readwrite" ? "readonly" : key;
    if (word !== "type" && !known.includes(word))
      throw bad(`unexpected key '${field.split("=")[0]}' for mount type '${type}'`);
  }
  return values.set("type", type);
}

function secret(values: ReadonlyMap<string, string>, type: "secret" | "ssh"): RunMount {
  const target = values.get("target");
  const env = values.get("env");
  const usual = type === "ssh" ? "default" : (target?.split("/").at(-1) ?? "");
  const id = values.get("id") ?? usual;
  if (id === "") throw bad("invalid secret mount: one of source, target required");
  const place =
    target ?? (env === undefined && type === "secret" ? `/run/secrets/${id}` : undefined);
  return {
    type,
    id,
    target: place,
    env,
    required: values.get("required") === "true",
    mode: number(values, "mode", type === "ssh" ? 0o600 : 0o400, 8),
    uid: number(values, "uid", 0),
    gid: number(values, "gid", 0),
  };
}

/** Reads one --mount. `text` has its variables substituted. Throws a Fault "invalid". */
export function parseRunMount(text: string): RunMount {
  const values = readValues(text);
  const type = values.get("type");
  if (type === "secret" || type === "ssh") return secret(values, type);
  const target = values.get("target");
  if (target === undefined || target === "")
    throw bad(`invalid mount config: target is required (${text})`);
  if (type === "tmpfs") {
    const size = values.get("size");
    return { type, target, size: size === undefined ? undefined : bytes(size) };
  }
  const from = values.get("from") || undefined;
  const source = values.get("source") ?? "/";
  if (type !== "cache")
    return { type: "bind", from, source, target, readonly: values.get("readonly") !== "false" };
  const sharing = values.get("sharing") ?? "shared";
  if (sharing !== "shared" && sharing !== "private" && sharing !== "locked")
    throw bad(`unsupported sharing value ${JSON.stringify(sharing)}`);
  return {
    type: "cache",
    id: values.get("id") ?? target,
    from,
    source,
    target,
    readonly: values.get("readonly") === "true",
    sharing,
    mode: number(values, "mode", 0o755, 8),
    uid: number(values, "uid", 0),
    gid: number(values, "gid", 0),
  };
}
