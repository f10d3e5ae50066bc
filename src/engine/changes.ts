/**
 * Changes to a container's configuration on paper: labels, environment, the process, mounts. Pure, but for looking whether
 * the sources of binds are there.
 */
import { fault } from "../base/errors.ts";
import type { ContainerConfig, HostConfig } from "../spec/engine-api.ts";
import type { ContainerChanges } from "../spec/extensions.ts";
import { parseBind, plainPath, type WantedMount, wantedMounts } from "./mount-wishes.ts";
import type { Configuration } from "./pending.ts";

/** With labels set and removed. */
export function withLabels(config: ContainerConfig, changes: ContainerChanges): ContainerConfig {
  const { Labels, LabelsRemove = [] } = changes;
  if (Labels === undefined && LabelsRemove.length === 0) return config;
  const gone = new Set(LabelsRemove);
  const kept = Object.entries(config.Labels ?? {}).filter(([key]) => !gone.has(key));
  return { ...config, Labels: { ...Object.fromEntries(kept), ...Labels } };
}

function nameOf(variable: string): string {
  return variable.split("=", 1)[0] ?? "";
}

/** A variable that is set again keeps its place. */
function changedEnvironment(
  current: readonly string[],
  { Env = [], EnvRemove = [] }: ContainerChanges,
) {
  const given = new Map(Env.map((variable) => [nameOf(variable), variable]));
  const gone = new Set(EnvRemove.filter((name) => !given.has(name)));
  const before = new Set(current.map(nameOf));
  return [
    ...current
      .filter((variable) => !gone.has(nameOf(variable)))
      .map((variable) => given.get(nameOf(variable)) ?? variable),
    ...[...given].flatMap(([name, variable]) => (before.has(name) ? [] : [variable])),
  ];
}

/** With another environment, command, entrypoint, user, working directory or hostname. */
export function withProcess(config: ContainerConfig, changes: ContainerChanges): ContainerConfig {
  const { Env, EnvRemove, Cmd, Entrypoint, User, WorkingDir, Hostname } = changes;
  const environment = (Env ?? EnvRemove) && changedEnvironment(config.Env ?? [], changes);
  const given = {
    Env: environment,
    Cmd: Cmd && [...Cmd],
    // [""] stands for none, as in a creation.
    Entrypoint: Entrypoint && (Entrypoint.join("") === "" ? [] : [...Entrypoint]),
    User,
    WorkingDir: WorkingDir && plainPath(WorkingDir),
    Hostname,
  };
  const said = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...config, ...Object.fromEntries(said) };
}

/** The mounts of a request that the container does not have just so. */
function freshMounts(changes: ContainerChanges, { config, hostConfig, mounts }: Configuration) {
  const explicit = new Set(targetsOf(hostConfig));
  const isAnonymous = (target: string) =>
    target in (config.Volumes ?? {}) &&
    !explicit.has(plainPath(target)) &&
    mounts.some((mount) => mount.target === plainPath(target));
  return {
    Binds: (changes.Binds ?? []).filter((spec) => !hostConfig.Binds?.includes(spec)),
    Mounts: (changes.Mounts ?? []).filter(
      (mount) => !hostConfig.Mounts?.some((other) => Bun.deepEquals(mount, other)),
    ),
    Tmpfs: Object.fromEntries(
      Object.entries(changes.Tmpfs ?? {}).filter(
        ([at, options]) => hostConfig.Tmpfs?.[at] !== options,
      ),
    ),
    Volumes: Object.fromEntries(
      Object.entries(changes.Volumes ?? {}).filter(([at]) => !isAnonymous(at)),
    ),
  };
}

function targetsOf({ Binds, Mounts, Tmpfs }: HostConfig): string[] {
  return [
    ...(Binds ?? []).map((spec) => parseBind(spec).target),
    ...(Mounts ?? []).map(({ Target = "" }) => plainPath(Target)),
    ...Object.keys(Tmpfs ?? {}).map(plainPath),
  ];
}

function withoutTargets(hostConfig: HostConfig, gone: ReadonlySet<string>): HostConfig {
  const stays = (target: string) => !gone.has(plainPath(target));
  const { Binds, Mounts, Tmpfs } = hostConfig;
  return {
    ...hostConfig,
    Binds: Binds?.filter((spec) => stays(parseBind(spec).target)),
    Mounts: Mounts?.filter(({ Target = "" }) => stays(Target)),
    Tmpfs: Tmpfs && Object.fromEntries(Object.entries(Tmpfs).filter(([target]) => stays(target))),
  };
}

/** One list after the other; what is absent stays so when nothing comes to it. */
function joined<T>(list: T[] | undefined, more: readonly T[]): T[] | undefined {
  return more.length === 0 ? list : [...(list ?? []), ...more];
}

function joinedMap<T>(map: Record<string, T> | undefined, more: Readonly<Record<string, T>>) {
  return Object.keys(more).length === 0 ? map : { ...map, ...more };
}

/** Throws a Fault "conflict" when nothing is mounted where it is to be taken away. */
function removedTargets({ MountsRemove = [] }: ContainerChanges, { mounts }: Configuration) {
  const removed = new Set(MountsRemove.map(plainPath));
  for (const target of removed)
    if (!mounts.some((mount) => mount.target === target))
      throw fault("conflict", "not-mounted", `nothing is mounted at ${target} in the container`);
  return removed;
}

/** Mounts as they are to be; `wanted` have yet to be made. */
export interface MountChange extends Configuration {
  readonly wanted: readonly WantedMount[];
}

/**
 * With other mounts. One for a target that has another takes its place; what is there just so already stays, with its volume.
 * Throws Faults: "invalid" in Docker's words, "conflict" when nothing is mounted where it is to be taken away.
 */
export function withMounts(current: Configuration, changes: ContainerChanges): MountChange {
  const { Volumes: declared } = current.config;
  const { VolumeDriver } = current.hostConfig;
  const { Binds, Mounts, Tmpfs } = changes;
  // Two for one target contradict each other, also when one of them is there already.
  wantedMounts({ Volumes: changes.Volumes }, { Binds, Mounts, Tmpfs, VolumeDriver });
  const removed = removedTargets(changes, current);
  const bare: Configuration = {
    config: current.config,
    hostConfig: withoutTargets(current.hostConfig, removed),
    mounts: current.mounts.filter(({ target }) => !removed.has(target)),
  };
  const { Volumes, ...fresh } = freshMounts(changes, bare);
  const wanted = wantedMounts({ Volumes }, { VolumeDriver, ...fresh });
  const replaced = new Set(wanted.map(({ target }) => target));
  const left = withoutTargets(bare.hostConfig, replaced);
  const volumes = Object.entries(declared ?? {}).filter(([at]) => !removed.has(plainPath(at)));
  return {
    config: {
      ...bare.config,
      Volumes: joinedMap(declared && Object.fromEntries(volumes), Volumes),
    },
    hostConfig: {
      ...left,
      Binds: joined(left.Binds, fresh.Binds),
      Mounts: joined(left.Mounts, fresh.Mounts),
      Tmpfs: joinedMap(left.Tmpfs, fresh.Tmpfs),
    },
    mounts: bare.mounts.filter(({ target }) => !replaced.has(target)),
    wanted,
  };
}
