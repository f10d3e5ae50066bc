/**
 * Mounts as a request words them (binds, --mount, --tmpfs, the image's volumes, --volumes-from), checked as Docker checks
 * them. Nothing is made yet.
 */
import { statfsSync, statSync } from "node:fs";
import { normalize } from "node:path/posix";
import { errnoOf, fault } from "../base/errors.ts";
import type { ContainerConfig, HostConfig, Mount } from "../spec/engine-api.ts";
import type { BindOptions } from "../spec/extensions.ts";
import type { MountRecord } from "./container-record.ts";
import { parseHostUser } from "./id-maps.ts";

function bad(message: string): Error {
  return fault("invalid", "mount", message);
}

/** A mount before its volume has been made or its image been found. */
export type WantedMount = Omit<MountRecord, "source" | "volume" | "driver" | "makeSource"> & {
  readonly source: string;
  /** undefined for what is no volume; empty for an anonymous one. */
  readonly volumeName?: string;
  readonly volumeDriver?: string;
  readonly volumeOptions?: Readonly<Record<string, string>>;
  /** Make the host's directory when it is missing, as -v does. */
  readonly makeSource: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** The image that is mounted, as the user has called it. */
  readonly image?: string;
};

const propagations = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);

/** A path without "..", doubled slashes and a slash at its end. */
export function plainPath(path: string): string {
  return normalize(path).replace(/(.)\/$/, "$1");
}

const PROC_SUPER_MAGIC = 0x9fa0;

/** Files of /proc that others than the kernel may stand for, as lxcfs does: those that runc allows. */
const replaceable: ReadonlySet<string> = new Set(
  [
    ...["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"],
    ...["net/dev", "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"],
  ].map((name) => `/proc/${name}`),
);

function isProcfs(path: string): boolean {
  try {
    return statfsSync(path).type === PROC_SUPER_MAGIC;
  } catch {
    return false;
  }
}

/** The target, plain. `failing`: puts Docker's words around what is wrong with it; `source`: a path of the host's that is bound. */
function checkTarget(
  target: string,
  failing: (reason: string) => string,
  source?: string | undefined,
): string {
  const clean = plainPath(target);
  if (clean === "/") throw bad(failing("invalid specification: destination can't be '/'"));
  if (!target.startsWith("/"))
    throw bad(failing(`invalid mount path: '${target}' mount path must be absolute`));
  if (target.includes("\0")) throw bad("a mount path has a NUL byte");
  // An image or a volume in place of the kernel's files could pretend that a change of rights has happened (CVE-2019-16884).
  const inside = clean === "/proc" || clean.startsWith("/proc/");
  const whole = clean === "/proc" && source !== undefined && isProcfs(source);
  if (inside && !whole && !replaceable.has(clean))
    throw bad(
      failing(`invalid mount path: '${target}' cannot be mounted because it is inside /proc`),
    );
  return clean;
}

/** The kinds of words behind the second colon of a bind; of each kind there may be one. */
const modeWords: readonly ReadonlySet<string>[] = [
  new Set(["ro", "rw"]),
  new Set(["z", "Z"]),
  propagations,
  new Set(["nocopy"]),
  new Set(["consistent", "cached", "delegated"]),
];

function isMode(mode: string): boolean {
  const words = mode.split(",");
  const kinds = words.map((word) => modeWords.findIndex((kind) => kind.has(word)));
  return mode === "" || (!kinds.includes(-1) && new Set(kinds).size === kinds.length);
}

/** What Docker shows of a volume that somebody has named without a mode. */
function modeOfVolume(driver: string): string {
  return driver === "" || driver === "local" ? "z" : "";
}

/** "source:target:options", "name:target", "target". */
export function parseBind(spec: string, volumeDriver = ""): WantedMount {
  const parts = spec.split(":");
  const [first = "", second, mode = ""] = parts;
  if (
    parts.length > 3 ||
    first === "" ||
    second === "" ||
    (parts.length === 2 && isMode(second ?? ""))
  )
    throw bad(`invalid volume specification: '${spec}'`);
  const [source, target] = second === undefined ? ["", first] : [first, second];
  if (!isMode(mode)) throw bad(`invalid mode: ${mode}`);
  const words = mode.split(",");
  const isBind = source.startsWith("/");
  if (source.includes("\0")) throw bad("a mount path has a NUL byte");
  const type = isBind ? "bind" : "volume";
  const around = (reason: string) =>
    `invalid volume specification: '${spec}': invalid mount config for type "${type}": ${reason}`;
  const propagation = words.find((word) => propagations.has(word));
  if (isBind && words.includes("nocopy"))
    throw bad(around("field VolumeOptions must not be specified"));
  if (!isBind && propagation !== undefined)
    throw bad(around("field BindOptions must not be specified"));
  return {
    type,
    source: isBind ? plainPath(source) : "",
    ...(isBind ? {} : { volumeName: source, volumeDriver }),
    target: checkTarget(target, around, isBind ? source : undefined),
    readOnly: words.includes("ro"),
    mode: mode || (isBind ? "" : modeOfVolume(volumeDriver)),
    propagation: propagation ?? (isBind ? "rprivate" : ""),
    recursive: true,
    copyUp: !isBind && !words.includes("nocopy"),
    makeSource: true,
  };
}

type Options = "BindOptions" | "VolumeOptions" | "ImageOptions" | "TmpfsOptions";

/** Options that a type of mount does not take, as Docker checks them. */
const foreign: Readonly<Record<string, readonly Options[]>> = {
  bind: ["VolumeOptions", "ImageOptions", "TmpfsOptions"],
  volume: ["BindOptions", "ImageOptions", "TmpfsOptions"],
  tmpfs: ["BindOptions", "VolumeOptions", "ImageOptions"],
  image: ["BindOptions", "VolumeOptions", "TmpfsOptions"],
};

function checkSubpath(subpath: string, failing: (reason: string) => string): string {
  if (subpath === "") return "";
  const clean = normalize(subpath);
  if (subpath.startsWith("/") || clean === ".." || clean.startsWith("../"))
    throw bad(failing("subpath must be a relative path within the volume"));
  return plainPath(clean);
}

/** Whether a source is not there. One that the daemon's user cannot look at may be: a guard can, and the kernel says. */
export function isMissing(source: string): boolean {
  try {
    return statSync(source, { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return errnoOf(error) !== "EACCES";
  }
}

type Common = Omit<WantedMount, "type" | "source" | "propagation">;
type Failing = (reason: string) => string;

function bindMount(mount: Mount, common: Common, failing: Failing): WantedMount {
  const Source = mount.Source ?? "";
  const options: BindOptions = mount.BindOptions ?? {};
  if (Source === "") throw bad(failing("field Source must not be empty"));
  const propagation = options.Propagation || "rprivate";
  if (!propagations.has(propagation))
    throw bad(failing(`invalid propagation mode: ${propagation}`));
  if (!Source.startsWith("/"))
    throw bad(failing(`invalid mount path: '${Source}' mount path must be absolute`));
  const makeSource = options.CreateMountpoint === true;
  if (!makeSource && isMissing(Source))
    throw bad(failing(`bind source path does not exist: ${Source}`));
  if (options.ReadOnlyNonRecursive && options.ReadOnlyForceRecursive)
    throw bad("mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive");
  const { IdMap, User } = options.Berth ?? {};
  return {
    ...common,
    type: "bind",
    source: plainPath(Source),
    propagation,
    recursive: options.NonRecursive !== true,
    ...(options.ReadOnlyNonRecursive ? { readOnlyOnTop: true } : {}),
    ...(IdMap === undefined ? {} : { matchUser: User ? { host: parseHostUser(User) } : {} }),
    makeSource,
  };
}

function volumeMount(mount: Mount, common: Common, failing: Failing): WantedMount {
  const { Source = "", VolumeOptions: options = {} } = mount;
  if (Source === "" && options.Subpath)
    throw bad(failing("must not set Subpath when using anonymous volumes"));
  if (Source === "" && common.readOnly)
    throw bad(failing("must not set ReadOnly mode when using anonymous volumes"));
  const subpath = checkSubpath(options.Subpath ?? "", failing);
  return {
    ...common,
    type: "volume",
    source: "",
    volumeName: Source,
    volumeDriver: options.DriverConfig?.Name ?? "",
    mode: modeOfVolume(options.DriverConfig?.Name ?? ""),
    volumeOptions: options.DriverConfig?.Options ?? {},
    propagation: "",
    // What lies at the target belongs at the volume's root, and that is not what is mounted.
    copyUp: options.NoCopy !== true && subpath === "",
    ...(subpath === "" ? {} : { subpath }),
    ...(options.Labels ? { labels: options.Labels } : {}),
  };
}

function tmpfsMount(mount: Mount, common: Common, failing: Failing): WantedMount {
  if (mount.Source) throw bad(failing("field Source must not be specified"));
  const { SizeBytes = 0, Mode = 0, Options = [] } = mount.TmpfsOptions ?? {};
  for (const option of Options) {
    const [name = "", ...values] = option;
    if (name === "" || values.length > 1) throw bad(failing("invalid option array length"));
    if ((name !== "exec" && name !== "noexec") || values.length > 0)
      throw bad(failing(`invalid option: ${name}`));
  }
  const options = [
    ...(SizeBytes > 0 ? [`size=${SizeBytes}`] : []),
    ...(Mode > 0 ? [`mode=${Mode.toString(8)}`] : []),
    ...Options.map(([name = ""]) => name),
  ];
  return { ...common, type: "tmpfs", source: "", propagation: "", options };
}

function imageMount(mount: Mount, common: Common, failing: Failing): WantedMount {
  if (!mount.Source) throw bad(failing("field Source must not be empty"));
  const subpath = checkSubpath(mount.ImageOptions?.Subpath ?? "", failing);
  return {
    ...common,
    type: "image",
    source: "",
    image: mount.Source,
    propagation: "rprivate",
    readOnly: true,
    ...(subpath === "" ? {} : { subpath }),
  };
}

const makers = { bind: bindMount, volume: volumeMount, tmpfs: tmpfsMount, image: imageMount };

function isMountable(type: string): type is keyof typeof makers {
  return Object.hasOwn(makers, type);
}

function fromMount(mount: Mount): WantedMount {
  const { Type = "volume", Target = "" } = mount;
  const failing: Failing = (reason) => `invalid mount config for type "${Type}": ${reason}`;
  if (Target === "") throw bad(failing("field Target must not be empty"));
  if (!isMountable(Type)) throw bad(failing("mount type unknown"));
  const target = checkTarget(Target, failing, Type === "bind" ? mount.Source : undefined);
  for (const options of foreign[Type] ?? [])
    if (mount[options] !== undefined) throw bad(failing(`field ${options} must not be specified`));
  const common: Common = {
    target,
    readOnly: mount.ReadOnly === true,
    mode: "",
    recursive: true,
    copyUp: false,
    makeSource: false,
  };
  return makers[Type](mount, common, failing);
}

const tmpfsWord =
  /^(ro|rw|exec|noexec|suid|nosuid|dev|nodev|size=\d+[bkmgBKMG%]?|mode=[0-7]+|uid=\d+|gid=\d+|nr_inodes=\d+[kmgKMG]?|noatime|relatime|strictatime)$/;

/** As Go prints a list of strings with %q. */
function quotedParts(word: string): string {
  const parts = word.split(/=(.*)/s).slice(0, word.includes("=") ? 2 : 1);
  return `[${parts.map((part) => JSON.stringify(part)).join(" ")}]`;
}

function fromTmpfs(target: string, options: string): WantedMount {
  const words = options.split(",").filter(Boolean);
  for (const word of words)
    if (!tmpfsWord.test(word)) throw bad(`invalid tmpfs option ${quotedParts(word)}`);
  return {
    type: "tmpfs",
    source: "",
    target: checkTarget(target, (reason) => reason),
    readOnly: false,
    mode: "",
    propagation: "",
    recursive: true,
    copyUp: false,
    makeSource: false,
    options: words,
  };
}

/** "CONTAINER[:ro|:rw]": what a container mounts, for another. `mountsOf` throws when there is no such container. */
export function inheritedMounts(
  volumesFrom: readonly string[],
  mountsOf: (reference: string) => readonly MountRecord[],
): WantedMount[] {
  return volumesFrom.flatMap((spec) => {
    const colon = spec.indexOf(":");
    const [reference, mode] =
      colon < 0 ? [spec, ""] : [spec.slice(0, colon), spec.slice(colon + 1)];
    if (reference === "") throw bad("volumes-from specification cannot be an empty string");
    if (!["", "ro", "rw", "z", "Z"].includes(mode)) throw bad(`invalid mode: ${mode}`);
    return mountsOf(reference)
      .filter(({ type }) => type !== "tmpfs")
      .map(({ volume, driver: _driver, ...mount }) => ({
        ...mount,
        ...(volume === undefined ? {} : { volumeName: volume }),
        readOnly: mount.readOnly || mode === "ro",
        mode: "",
        copyUp: false,
        makeSource: mount.makeSource === true,
      }));
  });
}

/** Every mount that is wanted. Identical binds are one; two sources for one target are an error in Docker's words. */
export function wantedMounts(
  config: ContainerConfig,
  hostConfig: HostConfig,
  inherited: readonly WantedMount[] = [],
): WantedMount[] {
  const driver = hostConfig.VolumeDriver ?? "";
  const explicit = [
    ...[...new Set(hostConfig.Binds ?? [])].map((spec) => parseBind(spec, driver)),
    ...(hostConfig.Mounts ?? []).map(fromMount),
    ...Object.entries(hostConfig.Tmpfs ?? {}).map(([target, options]) =>
      fromTmpfs(target, options),
    ),
  ];
  const seen = new Set<string>();
  for (const { target } of explicit) {
    if (seen.has(target)) throw bad(`Duplicate mount point: ${target}`);
    seen.add(target);
  }
  // What the user names comes before what another container has, and that before the image's wishes.
  const others = new Map(inherited.map((mount) => [mount.target, mount]));
  for (const target of seen) others.delete(target);
  const anonymous = Object.keys(config.Volumes ?? {})
    .map((target) => ({ ...parseBind(target, driver), mode: "" }))
    .filter(({ target }) => !seen.has(target) && !others.has(target));
  return [...others.values(), ...explicit, ...anonymous];
}
