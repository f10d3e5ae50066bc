/**
 * A container's mounts: from binds, --mount, --tmpfs and the image's volumes to records, with Docker's checks.
 */
import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { normalize } from "node:path/posix";
import { fault } from "../base/errors.ts";
import type { ContainerConfig, HostConfig, Mount } from "../spec/engine-api.ts";
import { resolveMerged } from "../storage/index.ts";
import type { VolumeStore } from "../volumes/index.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import { mountsOf } from "./pending.ts";

function bad(message: string): Error {
  return fault("invalid", "mount", message);
}

/** A mount before its volume has been made. */
export type WantedMount = Omit<MountRecord, "source" | "volume"> & {
  readonly source: string;
  /** undefined for a bind; empty for an anonymous volume. */
  readonly volumeName?: string;
  /** Make the host's directory when it is missing, as -v does. */
  readonly makeSource: boolean;
  readonly labels?: Readonly<Record<string, string>>;
};

const propagations = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);

/** A path without "..", doubled slashes and a slash at its end. */
export function plainPath(path: string): string {
  return normalize(path).replace(/(.)\/$/, "$1");
}

function checkTarget(target: string, spec: string): string {
  if (!target.startsWith("/"))
    throw bad(
      `invalid mount config for type "volume": invalid mount path: '${target}' mount path must be absolute`,
    );
  const clean = plainPath(target);
  if (clean === "/")
    throw bad(
      `invalid volume specification: '${spec}': invalid mount config for type "volume": invalid specification: destination can't be '/'`,
    );
  if (target.includes("\0")) throw bad("a mount path has a NUL byte");
  // Nothing may stand between the container and the kernel's own files.
  if (/^\/(proc|sys)(\/|$)/.test(clean) && clean !== "/sys/fs/cgroup") {
    if (clean === "/proc" || clean === "/sys")
      throw bad(`invalid mount path: '${target}' is the kernel's own`);
  }
  return clean;
}

/** "source:target:options", "name:target", "target". */
export function parseBind(spec: string): WantedMount {
  const parts = spec.split(":");
  if (parts.length > 3 || parts.some((part) => part === ""))
    throw bad(`invalid volume specification: '${spec}'`);
  const [first = "", second, mode = ""] = parts;
  const [source, target] = second === undefined ? ["", first] : [first, second];
  const words = mode.split(",").filter(Boolean);
  for (const word of words)
    if (
      !["ro", "rw", "z", "Z", "nocopy", "consistent", "cached", "delegated"].includes(word) &&
      !propagations.has(word)
    )
      throw bad(`invalid mode: ${mode}`);
  const isBind = source.startsWith("/");
  if (source.includes("\0")) throw bad("a mount path has a NUL byte");
  return {
    type: isBind ? "bind" : "volume",
    source: isBind ? plainPath(source) : "",
    ...(isBind ? {} : { volumeName: source }),
    target: checkTarget(target, spec),
    readOnly: words.includes("ro"),
    mode,
    propagation: words.find((word) => propagations.has(word)) ?? (isBind ? "rprivate" : ""),
    recursive: true,
    copyUp: !isBind && !words.includes("nocopy"),
    makeSource: true,
  };
}

function fromMount(mount: Mount): WantedMount {
  const { Type = "volume", Source = "", Target = "" } = mount;
  if (Target === "")
    throw bad(`invalid mount config for type "${Type}": field Target must not be empty`);
  const target = checkTarget(Target, Target);
  const common = {
    target,
    readOnly: mount.ReadOnly === true,
    mode: "",
    recursive: mount.BindOptions?.NonRecursive !== true,
    copyUp: false,
    makeSource: false,
  };
  if (Type === "bind") {
    if (!Source.startsWith("/"))
      throw bad(
        Source === ""
          ? `invalid mount config for type "bind": field Source must not be empty`
          : `invalid mount config for type "bind": invalid mount path: '${Source}' mount path must be absolute`,
      );
    if (!existsSync(Source) && !mount.BindOptions?.CreateMountpoint)
      throw bad(`invalid mount config for type "bind": bind source path does not exist: ${Source}`);
    return {
      ...common,
      type: "bind",
      source: normalize(Source),
      propagation: mount.BindOptions?.Propagation ?? "rprivate",
      makeSource: true,
    };
  }
  if (Type === "volume")
    return {
      ...common,
      type: "volume",
      source: "",
      volumeName: Source,
      propagation: "",
      copyUp: mount.VolumeOptions?.NoCopy !== true,
      ...(mount.VolumeOptions?.Labels ? { labels: mount.VolumeOptions.Labels } : {}),
    };
  if (Type === "tmpfs") {
    if (Source !== "")
      throw bad('invalid mount config for type "tmpfs": field Source must not be specified');
    const { SizeBytes = 0, Mode = 0 } = mount.TmpfsOptions ?? {};
    const options = [
      ...(SizeBytes > 0 ? [`size=${SizeBytes}`] : []),
      `mode=${(Mode || 0o1777).toString(8)}`,
    ];
    return { ...common, type: "tmpfs", source: "", propagation: "", options };
  }
  throw fault("unsupported", "mount-type", `mounts of type "${Type}" are not supported`);
}

function fromTmpfs(target: string, options: string): WantedMount {
  const words = options.split(",").filter(Boolean);
  for (const word of words)
    if (
      !/^(ro|rw|exec|noexec|suid|nosuid|dev|nodev|size=\d+[bkmgBKMG%]?|mode=[0-7]+|uid=\d+|gid=\d+|nr_inodes=\d+[kmgKMG]?|noatime|relatime|strictatime)$/.test(
        word,
      )
    )
      throw bad(`invalid tmpfs option ["${word}"]`);
  const withMode = words.some((word) => word.startsWith("mode=")) ? words : [...words, "mode=1777"];
  return {
    type: "tmpfs",
    source: "",
    target: checkTarget(target, target),
    readOnly: false,
    mode: "",
    propagation: "",
    recursive: true,
    copyUp: false,
    makeSource: false,
    options: withMode,
  };
}

/** "CONTAINER[:ro|:rw]": what a container mounts, for another. `mountsOf` throws when there is no such container. */
export function inheritedMounts(
  volumesFrom: readonly string[],
  mountsOf: (reference: string) => readonly MountRecord[],
): WantedMount[] {
  return volumesFrom.flatMap((spec) => {
    const [reference = "", mode = "", ...rest] = spec.split(":");
    if (reference === "" || rest.length > 0) throw bad(`invalid volumes-from: ${spec}`);
    if (!["", "ro", "rw", "z", "Z"].includes(mode))
      throw bad(`invalid mode: "${mode}" in volumes-from ${spec}`);
    return mountsOf(reference)
      .filter(({ type }) => type !== "tmpfs")
      .map(({ volume, ...mount }) => ({
        ...mount,
        ...(volume === undefined ? {} : { volumeName: volume }),
        readOnly: mount.readOnly || mode === "ro",
        copyUp: false,
        makeSource: false,
      }));
  });
}

/** Every mount that is wanted. Identical binds are one; two sources for one target are an error in Docker's words. */
export function wantedMounts(
  config: ContainerConfig,
  hostConfig: HostConfig,
  inherited: readonly WantedMount[] = [],
): WantedMount[] {
  const explicit = [
    ...[...new Set(hostConfig.Binds ?? [])].map(parseBind),
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
    .map((target) => parseBind(target))
    .filter(({ target }) => !seen.has(target) && !others.has(target));
  return [...others.values(), ...explicit, ...anonymous];
}

/** Makes what the mounts need on the host and gives their records; notes the container as user of its volumes. */
export function makeMounts(
  wanted: readonly WantedMount[],
  volumes: VolumeStore,
  container: string,
): MountRecord[] {
  return wanted.map(({ volumeName, makeSource, labels, ...mount }): MountRecord => {
    if (mount.type === "volume") {
      const volume = volumes.create({ name: volumeName, labels, user: container });
      return { ...mount, source: volume.mountpoint, volume: volume.name };
    }
    if (mount.type === "bind" && makeSource && !existsSync(mount.source))
      mkdirSync(mount.source, { recursive: true });
    return mount;
  });
}

/** The names of a container's volumes. */
export function volumesOf(record: ContainerRecord): ReadonlySet<string> {
  return new Set(mountsOf(record).flatMap(({ volume }) => volume ?? []));
}

/** Copies what the image has at a volume's target into the volume, while that is empty; owners and all. */
export function copyUp(mount: MountRecord, layers: readonly string[]): void {
  const found = resolveMerged(layers, mount.target);
  if (found === undefined || !found.info.isDirectory()) return;
  // From the lowest layer to the uppermost, each over what came before.
  for (const directory of found.merged.toReversed()) {
    if (!lstatSync(directory).isDirectory()) continue;
    const done = Bun.spawnSync(["cp", "-a", `${directory}/.`, mount.source]);
    if (done.exitCode !== 0)
      throw fault(
        "failed",
        "copy-up",
        `cannot copy the image's ${mount.target} into its volume: ${done.stderr.toString().trim()}`,
      );
  }
}
