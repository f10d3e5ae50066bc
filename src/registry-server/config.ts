/**
 * config.yml as the well-known registry has it, for the keys that make sense here, and REGISTRY_… variables over it. A key
 * that would have to change what is safe or where data lies is an error when it is not known; one that only tunes is named in
 * a warning.
 */
import { fault } from "../base/errors.ts";
import type { LogLevel } from "../base/log.ts";

/** What a registry is told, with nothing left open. */
export interface RegistryConfig {
  readonly log: { readonly level: LogLevel; readonly access: boolean };
  readonly root: string | undefined;
  readonly deletion: boolean;
  readonly readOnly: boolean;
  readonly purge: {
    readonly enabled: boolean;
    readonly ageMs: number;
    readonly intervalMs: number;
  };
  readonly http: {
    readonly address: string;
    readonly host: string | undefined;
    readonly prefix: string;
    readonly relativeUrls: boolean;
    readonly drainMs: number;
    readonly certificate: string | undefined;
    readonly key: string | undefined;
    readonly minimumTls: "TLSv1.2" | "TLSv1.3";
    readonly headers: Readonly<Record<string, readonly string[]>>;
  };
  readonly htpasswd: { readonly realm: string; readonly path: string } | undefined;
  readonly proxy:
    | {
        readonly remoteUrl: string;
        readonly username: string;
        readonly password: string;
        /** 0: what is here stays. */
        readonly ttlMs: number;
      }
    | undefined;
  readonly health: {
    readonly enabled: boolean;
    readonly intervalMs: number;
    readonly threshold: number;
  };
}

type Kind = "text" | "flag" | "duration" | "count" | "headers" | "ignored";

/** Every key that is known, and what becomes of it. A last part "*" stands for anything below. */
const keys: Readonly<Record<string, Kind>> = {
  version: "text",
  "log.level": "text",
  "log.accesslog.disabled": "flag",
  "log.formatter": "ignored",
  "log.fields.*": "ignored",
  "log.hooks.*": "ignored",
  loglevel: "text",
  "storage.filesystem.rootdirectory": "text",
  "storage.filesystem.maxthreads": "ignored",
  "storage.delete.enabled": "flag",
  "storage.redirect.*": "ignored",
  "storage.cache.*": "ignored",
  "storage.tag.*": "ignored",
  "storage.maintenance.readonly.enabled": "flag",
  "storage.maintenance.uploadpurging.enabled": "flag",
  "storage.maintenance.uploadpurging.age": "duration",
  "storage.maintenance.uploadpurging.interval": "duration",
  "storage.maintenance.uploadpurging.dryrun": "ignored",
  "http.addr": "text",
  "http.host": "text",
  "http.prefix": "text",
  "http.relativeurls": "flag",
  "http.draintimeout": "duration",
  "http.secret": "ignored",
  "http.headers": "headers",
  "http.tls.certificate": "text",
  "http.tls.key": "text",
  "http.tls.minimumtls": "text",
  "http.http2.*": "ignored",
  "http.h2c.*": "ignored",
  "http.debug.*": "ignored",
  "auth.htpasswd.realm": "text",
  "auth.htpasswd.path": "text",
  "proxy.remoteurl": "text",
  "proxy.username": "text",
  "proxy.password": "text",
  "proxy.ttl": "duration",
  "health.storagedriver.enabled": "flag",
  "health.storagedriver.interval": "duration",
  "health.storagedriver.threshold": "count",
  "reporting.*": "ignored",
  "redis.*": "ignored",
  "notifications.*": "ignored",
  "compatibility.*": "ignored",
  "catalog.*": "ignored",
};

type Value = string | boolean | number | Readonly<Record<string, readonly string[]>>;

function bad(message: string): Error {
  return fault("invalid", "registry-config", message);
}

/** A duration in milliseconds as Go writes it ("168h", "1h30m", "500ms"); undefined for what is none. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  const units: Record<string, number> = {
    ns: 1e-6,
    us: 1e-3,
    µs: 1e-3,
    ms: 1,
    s: 1000,
    m: 60_000,
    h: 3600_000,
  };
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(number) * (units[unit ?? ""] ?? 0);
  return sum;
}

function headersOf(value: unknown, key: string): Readonly<Record<string, readonly string[]>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw bad(`${key} must be a map of lists`);
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => {
      const list = [one].flat().map(String);
      if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || list.some((text) => /[^\t\x20-\x7e]/.test(text)))
        throw bad(`${key}: ${JSON.stringify(name)} is no header that can be sent`);
      return [name, list];
    }),
  );
}

function typedValue(key: string, kind: Kind, value: unknown): Value {
  if (kind === "headers") return headersOf(value, key);
  if (kind === "flag") {
    const text = String(value).toLowerCase();
    if (/^(true|yes|on|1)$/.test(text)) return true;
    if (/^(false|no|off|0)$/.test(text)) return false;
    throw bad(`${key} must be true or false`);
  }
  if (typeof value === "object" && value !== null) throw bad(`${key} must be a single value`);
  const text = value === null ? "" : String(value);
  if (kind === "duration") {
    const ms = parseDuration(text);
    if (ms === undefined) throw bad(`${key}: ${JSON.stringify(text)} is no duration such as 168h`);
    return ms;
  }
  if (kind === "count") {
    if (!/^\d{1,9}$/.test(text)) throw bad(`${key} must be a whole number`);
    return Number(text);
  }
  return text;
}

function kindOf(key: string): Kind | undefined {
  for (let at = key.length; at > 0; at = key.lastIndexOf(".", at - 1)) {
    const kind = at === key.length ? keys[key] : keys[`${key.slice(0, at)}.*`];
    if (kind !== undefined) return kind;
  }
  return keys[`${key}.*`];
}

/** The values of a document by whole key; what has no effect is told to `warn`. */
function flatten(
  tree: unknown,
  warn: (text: string) => void,
  prefix = "",
  found = new Map<string, Value>(),
): Map<string, Value> {
  for (const [name, value] of Object.entries(tree as Record<string, unknown>)) {
    const key = `${prefix}${name.toLowerCase()}`;
    const kind = kindOf(key);
    // The short forms "auth: htpasswd" and "storage: filesystem", whose particulars come from variables.
    const short =
      (key === "auth" && value === "htpasswd") || (key === "storage" && value === "filesystem");
    if (short || (value === null && kind === undefined)) continue;
    if (kind === "ignored") warn(`${key} has no effect here`);
    else if (kind !== undefined) found.set(key, typedValue(key, kind, value));
    else if (typeof value === "object" && !Array.isArray(value) && isSection(key))
      flatten(value, warn, `${key}.`, found);
    else throw bad(unknownKey(key));
  }
  return found;
}

function isSection(key: string): boolean {
  return Object.keys(keys).some((one) => one.startsWith(`${key}.`));
}

function unknownKey(key: string): string {
  if (/^storage\.\w+$/.test(key))
    return `${key} is not supported: only storage.filesystem is, and keys of storage.delete and storage.maintenance`;
  if (/^auth\./.test(key)) return `${key} is not supported: only auth.htpasswd is`;
  if (/^http\.tls\./.test(key))
    return `${key} is not supported: certificate, key and minimumtls are`;
  return `${key} is not a known key`;
}

/** Variables of the environment that name a key: REGISTRY_HTTP_ADDR is http.addr. */
function fromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  warn: (text: string) => void,
): Map<string, Value> {
  const byName = new Map(
    Object.keys(keys).map((key) => [`REGISTRY_${key.toUpperCase().replaceAll(".", "_")}`, key]),
  );
  const found = new Map<string, Value>();
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith("REGISTRY_") || text === undefined) continue;
    const key = byName.get(name);
    if (key !== undefined) {
      const kind = keys[key] ?? "text";
      if (kind === "ignored") warn(`${name} has no effect here`);
      else found.set(key, typedValue(key, kind, kind === "headers" ? Bun.YAML.parse(text) : text));
    } else if (
      /^REGISTRY_(AUTH|STORAGE|HTTP_TLS|PROXY)_/.test(name) &&
      !/_(SERVICE|PORT)(_|$)/.test(name)
    )
      throw bad(`the variable ${name} names no known key`);
    // Kubernetes makes such variables for every service that is called "registry".
    else if (!/^REGISTRY_(AUTH|STORAGE)$/.test(name))
      warn(`the variable ${name} names no known key`);
  }
  return found;
}

function parseYaml(text: string): unknown {
  try {
    return Bun.YAML.parse(text) ?? {};
  } catch (error) {
    throw bad(`it is not YAML: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Typed access to what was found. */
class Values {
  constructor(private readonly found: ReadonlyMap<string, Value>) {}

  text(key: string): string | undefined {
    const value = this.found.get(key);
    return typeof value === "string" && value !== "" ? value : undefined;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.found.get(key);
    return typeof value === "boolean" ? value : fallback;
  }

  number(key: string, fallback: number): number {
    const value = this.found.get(key);
    return typeof value === "number" ? value : fallback;
  }

  headers(key: string): Readonly<Record<string, readonly string[]>> {
    const value = this.found.get(key);
    return typeof value === "object" ? value : {};
  }
}

function levelOf(values: Values): LogLevel {
  const level = values.text("log.level") ?? values.text("loglevel") ?? "info";
  const known: Readonly<Record<string, LogLevel>> = {
    warning: "warn",
    fatal: "error",
    trace: "debug",
  };
  const found = known[level] ?? level;
  if (found === "debug" || found === "info" || found === "warn" || found === "error") return found;
  throw bad(`log.level: ${JSON.stringify(level)} is not debug, info, warn or error`);
}

function httpOf(values: Values): RegistryConfig["http"] {
  const [certificate, key] = [values.text("http.tls.certificate"), values.text("http.tls.key")];
  if ((certificate === undefined) !== (key === undefined))
    throw bad("http.tls.certificate and http.tls.key are given together or not at all");
  const minimum = values.text("http.tls.minimumtls") ?? "tls1.2";
  if (!/^tls1\.[0-3]$/.test(minimum)) throw bad("http.tls.minimumtls must be tls1.2 or tls1.3");
  const prefix = `/${values.text("http.prefix") ?? ""}`.replace(/^\/+|\/+$/g, "");
  if (!/^[\w./-]*$/.test(prefix)) throw bad("http.prefix is no path");
  return {
    address: values.text("http.addr") ?? "127.0.0.1:5000",
    host: values.text("http.host"),
    prefix: prefix === "" ? "" : `/${prefix}`,
    relativeUrls: values.flag("http.relativeurls", false),
    drainMs: values.number("http.draintimeout", 10_000),
    certificate,
    key,
    // Nothing older is spoken, whoever asks for it.
    minimumTls: minimum === "tls1.3" ? "TLSv1.3" : "TLSv1.2",
    headers: values.headers("http.headers"),
  };
}

function htpasswdOf(values: Values): RegistryConfig["htpasswd"] {
  const [path, realm] = [values.text("auth.htpasswd.path"), values.text("auth.htpasswd.realm")];
  if (path !== undefined) return { path, realm: realm ?? "berth registry" };
  if (realm !== undefined) throw bad("auth.htpasswd.path is missing");
  return undefined;
}

const WEEK_MS = 168 * 3600_000;

function proxyOf(values: Values): RegistryConfig["proxy"] {
  const remoteUrl = values.text("proxy.remoteurl");
  const username = values.text("proxy.username") ?? "";
  if (remoteUrl === undefined) {
    if (username !== "") throw bad("proxy.remoteurl is missing");
    return undefined;
  }
  const url = URL.parse(remoteUrl);
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== "" ||
    url.pathname !== "/"
  )
    throw bad("proxy.remoteurl must be http:// or https:// and a host, with nothing else");
  return {
    remoteUrl,
    username,
    password: values.text("proxy.password") ?? "",
    ttlMs: values.number("proxy.ttl", WEEK_MS),
  };
}

/** Reads a configuration: the file's text (undefined: none), and the environment over it. Throws a Fault "invalid". */
export function parseRegistryConfig(
  text: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  warn: (text: string) => void,
): RegistryConfig {
  const tree = text === undefined ? {} : parseYaml(text);
  if (typeof tree !== "object" || tree === null || Array.isArray(tree))
    throw bad("it is not a map");
  const values = new Values(new Map([...flatten(tree, warn), ...fromEnvironment(env, warn)]));
  const version = values.text("version");
  if (text !== undefined && version !== "0.1")
    throw bad(
      `version must be 0.1${version === undefined ? ", and is missing" : `, not ${version}`}`,
    );
  return {
    log: { level: levelOf(values), access: !values.flag("log.accesslog.disabled", false) },
    root: values.text("storage.filesystem.rootdirectory"),
    deletion: values.flag("storage.delete.enabled", false),
    readOnly: values.flag("storage.maintenance.readonly.enabled", false),
    purge: {
      enabled: values.flag("storage.maintenance.uploadpurging.enabled", true),
      ageMs: values.number("storage.maintenance.uploadpurging.age", WEEK_MS),
      intervalMs: values.number("storage.maintenance.uploadpurging.interval", 24 * 3600_000),
    },
    http: httpOf(values),
    htpasswd: htpasswdOf(values),
    proxy: proxyOf(values),
    health: {
      enabled: values.flag("health.storagedriver.enabled", false),
      intervalMs: values.number("health.storagedriver.interval", 10_000),
      threshold: values.number("health.storagedriver.threshold", 3),
    },
  };
}
