/**
 * Mounts: `-v`, `--mount` and `--tmpfs`.
 */

import { messageOf } from "../../base/errors.ts";
import type { Mount } from "../../spec/engine-api.ts";
import type { BindOptions } from "../../spec/extensions.ts";
import { sizeIn } from "../flag-values.ts";
import { UsageError } from "../flags.ts";
import { path } from "../late-modules.ts";

/** What colons part, of which the one behind a single letter parts nothing: a drive, for docker. */
function partsOf(spec: string): string[] {
  const parts: string[] = [];
  let open = "";
  for (const part of spec.split(":")) {
    const whole = open + part;
    open = open === "" && /^[A-Za-z]$/.test(part) ? `${part}:` : "";
    if (open === "") parts.push(whole);
  }
  return open === "" ? parts : [...parts, open.slice(0, -1)];
}

/** Volumes as the API wants them: binds, and the anonymous ones by their place. */
export function parseVolumes(specs: readonly string[]): {
  binds: string[];
  anonymous: Record<string, Record<string, never>>;
} {
  const binds: string[] = [];
  const anonymous = new Map<string, Record<string, never>>();
  for (const spec of specs) {
    const parts = partsOf(spec);
    if (spec === "") throw new Error("invalid empty volume spec");
    // Docker looks into nothing as short as this; the daemon does.
    const isPlace = parts.length === 1 && !/^[A-Za-z]:[/\\]/.test(spec);
    if (isPlace || spec.length <= 2) {
      anonymous.set(spec, {});
      continue;
    }
    if (parts.slice(0, 3).includes(""))
      throw new Error(`invalid spec: ${spec}: empty section between colons`);
    if (parts.length > 3) throw new Error(`invalid spec: ${spec}: too many colons`);
    const source = parts[0] ?? "";
    // A dot or a tilde starts a path; the daemon does not know this directory, so it gets the whole path.
    if (source.startsWith(".")) parts[0] = path().resolve(source);
    binds.push(parts.join(":"));
  }
  return { binds, anonymous: Object.fromEntries(anonymous) };
}

/** `--tmpfs /run:size=64m` as place → options. */
export function parseTmpfs(specs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    specs.map((spec) => {
      const colon = spec.indexOf(":");
      return colon < 0 ? [spec, ""] : [spec.slice(0, colon), spec.slice(colon + 1)];
    }),
  );
}

const CSV_FIELD = /(?:^|,)(?:"((?:[^"]|"")*)"(?=,|$)|([^,]*))/y;

/** Splits a line of comma-separated fields, of which some may be quoted (RFC 4180). Throws an Error in Go's words. */
export function splitCsv(text: string): string[] {
  const fields: string[] = [];
  for (let at = 0; at < text.length || fields.length === 0; ) {
    CSV_FIELD.lastIndex = at;
    const [whole = "", quoted, plain = ""] = CSV_FIELD.exec(text) ?? [];
    const wrong = quoted === undefined ? plain.indexOf('"') : -1;
    const start = at + whole.length - plain.length;
    if (wrong === 0)
      throw new Error(
        `parse error on line 1, column ${oddQuote(text, start) + 1}: extraneous or missing " in quoted-field`,
      );
    if (wrong > 0)
      throw new Error(
        `parse error on line 1, column ${start + wrong + 1}: bare " in non-quoted-field`,
      );
    fields.push(quoted?.replaceAll('""', '"') ?? plain);
    if (whole === "") break;
    at += whole.length;
  }
  return fields;
}

/** Where a quoted field that begins at a quote goes wrong: at a quote in its middle, or at the end. */
function oddQuote(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] !== '"') continue;
    if (text[at + 1] !== '"') return at;
    at++;
  }
  return text.length;
}

function truth(key: string, value: string | undefined): boolean {
  if (value === undefined || /^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new Error(`invalid value for ${key}: ${value}`);
}

/** Who has called this, as UID:GID; behind sudo, who has called that. */
function invokingUser(): string {
  const { SUDO_UID = "", SUDO_GID = "" } = process.env;
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  return uid === 0 && /^\d+$/.test(SUDO_UID) && /^\d+$/.test(SUDO_GID)
    ? `${SUDO_UID}:${SUDO_GID}`
    : `${uid}:${gid}`;
}

type Setter = (mount: Mount, value: string | undefined, key: string) => void;

function addTo(map: Record<string, string> | undefined, pair: string): Record<string, string> {
  const equals = pair.indexOf("=");
  const [key, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
  return { ...map, [key]: value };
}

const setTarget: Setter = (mount, value = "") => {
  mount.Target = value;
};
const setSource: Setter = (mount, value = "") => {
  mount.Source = value.startsWith(".") ? path().resolve(value) : value;
};
const setReadOnly: Setter = (mount, value, key) => {
  mount.ReadOnly = truth(key, value);
};

const setters: Record<string, Setter> = {
  source: setSource,
  src: setSource,
  target: setTarget,
  dst: setTarget,
  destination: setTarget,
  readonly: setReadOnly,
  ro: setReadOnly,
  type: (mount, value = "") => {
    mount.Type = value.toLowerCase() as NonNullable<Mount["Type"]>;
  },
  consistency: (mount, value = "") => {
    mount.Consistency = value.toLowerCase() as NonNullable<Mount["Consistency"]>;
  },
  "bind-propagation": (mount, value = "") => {
    const Propagation = value.toLowerCase() as "rprivate";
    mount.BindOptions = { ...mount.BindOptions, Propagation };
  },
  "bind-nonrecursive": (mount, value, key) => {
    mount.BindOptions = { ...mount.BindOptions, NonRecursive: truth(key, value) };
  },
  idmap: (mount, value = "") => {
    if (value !== "match-user")
      throw new Error(`invalid value for idmap: ${value} (must be "match-user")`);
    const options: BindOptions = { ...mount.BindOptions };
    options.Berth = { IdMap: value, User: invokingUser() };
    mount.BindOptions = options;
  },
  "bind-recursive": (mount, value = "") => {
    const options = mount.BindOptions ?? {};
    if (value === "disabled") options.NonRecursive = true;
    else if (value === "writable") options.ReadOnlyNonRecursive = true;
    else if (value === "readonly") options.ReadOnlyForceRecursive = true;
    else if (value !== "enabled")
      throw new Error(
        `invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
      );
    mount.BindOptions = options;
  },
  "volume-nocopy": (mount, value, key) => {
    mount.VolumeOptions = { ...mount.VolumeOptions, NoCopy: truth(key, value) };
  },
  "volume-subpath": (mount, value = "") => {
    mount.VolumeOptions = { ...mount.VolumeOptions, Subpath: value };
  },
  "image-subpath": (mount, value = "") => {
    mount.ImageOptions = { ...mount.ImageOptions, Subpath: value };
  },
  "volume-label": (mount, value = "") => {
    const Labels = addTo(mount.VolumeOptions?.Labels, value);
    mount.VolumeOptions = { ...mount.VolumeOptions, Labels };
  },
  "volume-driver": (mount, value = "") => {
    const DriverConfig = { ...mount.VolumeOptions?.DriverConfig, Name: value };
    mount.VolumeOptions = { ...mount.VolumeOptions, DriverConfig };
  },
  "volume-opt": (mount, value = "") => {
    const config = mount.VolumeOptions?.DriverConfig;
    const DriverConfig = { ...config, Options: addTo(config?.Options, value) };
    mount.VolumeOptions = { ...mount.VolumeOptions, DriverConfig };
  },
  "tmpfs-size": (mount, value = "") => {
    const SizeBytes = sizeIn(value);
    if (SizeBytes === undefined) throw new Error(`invalid value for tmpfs-size: ${value}`);
    mount.TmpfsOptions = { ...mount.TmpfsOptions, SizeBytes };
  },
  "tmpfs-mode": (mount, value = "") => {
    if (!/^[0-7]+$/.test(value) || Number.parseInt(value, 8) >= 2 ** 32)
      throw new Error(`invalid value for tmpfs-mode: ${value}`);
    mount.TmpfsOptions = { ...mount.TmpfsOptions, Mode: Number.parseInt(value, 8) };
  },
};

const withoutValue = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive"]);

/** Throws an Error in Docker's words for what does not go together. */
function checkTogether(mount: Mount): void {
  if (!mount.Type) throw new Error("type is required");
  if (!mount.Target) throw new Error("target is required");
  for (const [type, options] of [
    ["volume", mount.VolumeOptions],
    ["bind", mount.BindOptions],
    ["image", mount.ImageOptions],
    ["tmpfs", mount.TmpfsOptions],
  ] as const)
    if (options && mount.Type !== type)
      throw new Error(`cannot mix '${type}-*' options with mount type '${mount.Type}'`);
  const { ReadOnlyNonRecursive, ReadOnlyForceRecursive, Propagation } = mount.BindOptions ?? {};
  const needs = (how: string, what: string) =>
    new Error(`option 'bind-recursive=${how}' requires '${what}' to be specified in conjunction`);
  if (ReadOnlyNonRecursive && !mount.ReadOnly) throw needs("writable", "readonly");
  if (ReadOnlyForceRecursive && !mount.ReadOnly) throw needs("readonly", "readonly");
  if (ReadOnlyForceRecursive && Propagation !== "rprivate")
    throw needs("readonly", "bind-propagation=rprivate");
}

function readMount(spec: string): Mount {
  const mount: Mount = { Type: "volume" };
  for (const field of splitCsv(spec)) {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase();
    const value = equals < 0 ? undefined : field.slice(equals + 1).trim();
    const setter = Object.hasOwn(setters, key) ? setters[key] : undefined;
    if (value === undefined && !withoutValue.has(key))
      throw new Error(`invalid field '${field}' must be a key=value pair`);
    if (!setter) throw new Error(`unexpected key '${key}' in '${field}'`);
    setter(mount, value, key);
  }
  checkTogether(mount);
  return mount;
}

/** Reads one `--mount` value. Throws a UsageError in Docker's words. */
export function parseMount(spec: string): Mount {
  try {
    if (spec === "") throw new Error("EOF");
    return readMount(spec);
  } catch (error) {
    const why = `invalid argument ${JSON.stringify(spec)} for "--mount" flag: ${messageOf(error)}`;
    throw new UsageError(why);
  }
}
