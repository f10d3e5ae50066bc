/**
 * Mounts: `-v`, `--mount` and `--tmpfs`.
 */
import { isAbsolute, resolve } from "node:path";
import { parseBytes } from "../../base/sizes.ts";
import type { Mount } from "../../spec/engine-api.ts";

/** Volumes as the API wants them: binds, and the anonymous ones by their place. */
export function parseVolumes(specs: readonly string[]): {
  binds: string[];
  anonymous: Record<string, Record<string, never>>;
} {
  const binds: string[] = [];
  const anonymous: Record<string, Record<string, never>> = {};
  for (const spec of specs) {
    const parts = spec.split(":");
    if (spec === "" || parts.length > 3 || parts[0] === "" || parts[1] === "")
      throw new Error(
        `invalid spec: ${spec}: ${spec === "" ? "empty volume spec" : "empty section between colons"}`,
      );
    if (parts.length === 1) {
      anonymous[spec] = {};
      continue;
    }
    const source = parts[0] ?? "";
    // A dot or a tilde starts a path; the daemon does not know this directory, so it gets the whole path.
    if (source.startsWith(".")) parts[0] = resolve(source);
    binds.push(parts.join(":"));
  }
  return { binds, anonymous };
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

/** Splits a line of comma-separated fields, of which some may be quoted (RFC 4180). */
export function splitCsv(text: string): string[] {
  const fields: string[] = [];
  for (const match of text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g))
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
  return fields;
}

function truth(key: string, value: string | undefined): boolean {
  if (value === undefined || /^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new Error(`invalid value for ${key}: ${value}`);
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
  mount.Source = value.startsWith(".") && !isAbsolute(value) ? resolve(value) : value;
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
    const SizeBytes = parseBytes(value);
    if (SizeBytes === undefined) throw new Error(`invalid value for tmpfs-size: ${value}`);
    mount.TmpfsOptions = { ...mount.TmpfsOptions, SizeBytes };
  },
  "tmpfs-mode": (mount, value = "") => {
    if (!/^[0-7]+$/.test(value)) throw new Error(`invalid value for tmpfs-mode: ${value}`);
    mount.TmpfsOptions = { ...mount.TmpfsOptions, Mode: Number.parseInt(value, 8) };
  },
};

const withoutValue = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive"]);

/** Reads one `--mount` value. Throws an Error in Docker's words. */
export function parseMount(spec: string): Mount {
  const mount: Mount = { Type: "volume" };
  for (const field of splitCsv(spec)) {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase();
    const value = equals < 0 ? undefined : field.slice(equals + 1).trim();
    const setter = setters[key];
    if (value === undefined && !withoutValue.has(key))
      throw new Error(
        `invalid argument ${JSON.stringify(spec)} for "--mount" flag: invalid field '${field}' must be a key=value pair`,
      );
    if (!setter)
      throw new Error(
        `invalid argument ${JSON.stringify(spec)} for "--mount" flag: unexpected key '${key}' in '${field}'`,
      );
    setter(mount, value, key);
  }
  if (!mount.Target)
    throw new Error(
      `invalid argument ${JSON.stringify(spec)} for "--mount" flag: target is required`,
    );
  for (const [type, options] of [
    ["bind", mount.BindOptions],
    ["volume", mount.VolumeOptions],
    ["image", mount.ImageOptions],
    ["tmpfs", mount.TmpfsOptions],
  ] as const)
    if (options && mount.Type !== type)
      throw new Error(`cannot mix '${type}-*' options with mount type '${mount.Type}'`);
  return mount;
}
