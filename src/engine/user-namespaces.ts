/**
 * Which user namespace a container is in: what was asked for, what must be the host's, and making it at the start.
 */
import { existsSync, readFileSync } from "node:fs";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Handle, Kernel } from "../kernel/index.ts";
import { idMapText } from "../runtime/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import { parseSubordinateIds } from "../spec/subordinate-ids.ts";
import type { ContainerRecord, MountRecord, UserNamespaceRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import {
  defaultPool,
  freeIds,
  hostIdOf,
  ownersThrough,
  poolOf,
  RANGE,
  remapIds,
  type SubordinateFiles,
  type UserIds,
} from "./user-ids.ts";

/** "host", "auto", or "remap:NAME[:GROUP]". */
export type UserNamespaceMode = string;

/** What the daemon was told, and what it has found. */
export interface UserNamespaceSettings {
  /** The mode of containers that name none. */
  readonly standard: UserNamespaceMode;
  /** The standard is Docker's userns-remap, which refuses what does not go together with it. */
  readonly dockers: boolean;
  /** Why there are none here; undefined: there are. */
  readonly missing: string | undefined;
}

const MODE = /^(|host|auto|remap:[^:]+(:[^:]+)?)$/;

/** Throws a Fault "invalid" in Docker's words for a mode that there is not. */
export function checkUserNamespaceMode(mode: string): void {
  if (!MODE.test(mode)) throw fault("invalid", "namespace-mode", `invalid userns mode: ${mode}`);
}

/** Whose ids "default" stands for, as with dockerd. */
const DEFAULT_USER = "dockremap";

function listed(path: string) {
  return existsSync(path) ? parseSubordinateIds(readFileSync(path, "utf8")) : [];
}

function subordinateFiles(): SubordinateFiles {
  return { uids: listed("/etc/subuid"), gids: listed("/etc/subgid") };
}

/** A name and the number that goes with it, since both files may have either. */
function aliases(file: string, name: string): string[] {
  const rows = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
  const row = rows
    .map((line) => line.split(":"))
    .find(([own, , id]) => own === name || id === name);
  return row === undefined ? [name] : [name, row[0] ?? name, row[2] ?? name];
}

/** The ids of "remap:USER[:GROUP]". Throws a Fault "invalid" for whom no ranges are listed for. */
export function idsOfRemap(mode: UserNamespaceMode): UserIds {
  const [, given = "", group] = mode.split(":");
  const user = given === "default" ? DEFAULT_USER : given;
  return remapIds(
    subordinateFiles(),
    aliases("/etc/passwd", user),
    group === undefined ? aliases("/etc/passwd", user) : aliases("/etc/group", group),
  );
}

/** What only the host's user namespace has: a reason in words, and how Docker refuses it beside userns-remap. */
function needsHost(
  deps: Pick<EngineDeps, "settings" | "driver">,
  hostConfig: HostConfig,
  mounts: readonly Pick<MountRecord, "propagation" | "target">[],
): { readonly reason: string; readonly refusal?: string } | undefined {
  const { Privileged, NetworkMode, PidMode, IpcMode, CgroupnsMode } = hostConfig;
  const Runtime = hostConfig.Runtime ?? "";
  if (Privileged)
    return {
      reason: "--privileged",
      refusal:
        "privileged mode is incompatible with user namespaces. You must run the container in the host namespace when running privileged mode",
    };
  if (NetworkMode === "host")
    return {
      reason: "--network=host",
      refusal: "cannot share the host's network namespace when user namespaces are enabled",
    };
  if (PidMode === "host")
    return {
      reason: "--pid=host",
      refusal: "cannot share the host PID namespace when user namespaces are enabled",
    };
  if (IpcMode === "host") return { reason: "--ipc=host" };
  if (CgroupnsMode === "host") return { reason: "--cgroupns=host" };
  if (deps.settings.runtimes.has(Runtime)) return { reason: `--runtime=${Runtime}` };
  const shared = mounts.find(({ propagation }) => /shared/.test(propagation));
  if (shared !== undefined) return { reason: `the mounts of ${shared.target} are shared` };
  if (deps.driver.name === "fuse-overlayfs") return { reason: "the storage driver fuse-overlayfs" };
  return undefined;
}

/** The mode that a container has, and why it is another one than was asked for. */
export interface ChosenUserNamespace {
  readonly mode: UserNamespaceMode;
  readonly reason?: string;
}

/**
 * Chooses at creation. Throws Faults "invalid" in Docker's words for what does not go together, and "unsupported" for what
 * this host has not.
 */
export function chooseUserNamespace(
  deps: Pick<EngineDeps, "settings" | "driver">,
  hostConfig: HostConfig,
  mounts: readonly Pick<MountRecord, "propagation" | "target">[],
): ChosenUserNamespace {
  const { standard, dockers, missing } = deps.settings.userNamespaces;
  const asked = hostConfig.UsernsMode ?? "";
  const mode = asked === "" ? standard : asked;
  if (mode === "host") return { mode };
  const host = needsHost(deps, hostConfig, mounts);
  if (host !== undefined) {
    const strict = mode !== "auto" && (dockers || asked !== "");
    if (strict) throw fault("invalid", "userns-conflict", host.refusal ?? conflictOf(host.reason));
    return { mode: "host", reason: host.reason };
  }
  if (missing !== undefined) {
    if (asked === "") return { mode: "host", reason: missing };
    throw fault("unsupported", "userns", `--userns=${asked} is not supported here: ${missing}`);
  }
  if (mode !== "auto") idsOfRemap(mode);
  return { mode };
}

function conflictOf(reason: string): string {
  return `${reason} is incompatible with user namespaces: add --userns=host`;
}

/** What inspect is to show of what was asked for. */
export function withUserNamespace(
  hostConfig: HostConfig,
  { mode, reason }: ChosenUserNamespace,
): HostConfig {
  return hostConfig.UsernsMode && reason !== undefined
    ? { ...hostConfig, UsernsMode: mode }
    : hostConfig;
}

/** What a record says of the choice. */
export function userNamespaceFields({ mode, reason }: ChosenUserNamespace) {
  return { usernsMode: mode, ...(reason === undefined ? {} : { usernsReason: reason }) };
}

/** The warning for a container that gets the host's namespace though another was asked for. */
export function userNamespaceWarnings(
  asked: string | undefined,
  chosen: ChosenUserNamespace,
): string[] {
  if (!asked || chosen.reason === undefined) return [];
  return [
    `--userns=${asked} is discarded: ${chosen.reason} needs the host's user namespace, in which root in the container is root on the host`,
  ];
}

/** Whose namespaces a container joins. */
function joinedRecords(deps: EngineDeps, { hostConfig }: ContainerRecord): ContainerRecord[] {
  const { NetworkMode, PidMode, IpcMode } = hostConfig;
  return [NetworkMode, PidMode, IpcMode].flatMap((mode) =>
    mode?.startsWith("container:") ? [deps.registry.get(mode.slice(10)).record] : [],
  );
}

function idsFor(deps: EngineDeps, mode: UserNamespaceMode): UserIds {
  if (mode !== "auto") return idsOfRemap(mode);
  const taken = deps.registry
    .all()
    .flatMap(({ record }) => record.userNamespace?.uidMap.map(({ hostID }) => hostID) ?? []);
  return freeIds(poolOf(subordinateFiles()), new Set(taken));
}

/**
 * Settles at a start which ids a container has, and notes it in the record. One that joins another's namespaces is in that
 * one's user namespace, which owns them. `joined`: the process in whose namespace it is.
 */
export function settleUserNamespace(
  deps: EngineDeps,
  record: ContainerRecord,
): { readonly ids: UserNamespaceRecord; readonly joined: number | undefined } | undefined {
  const mode = record.usernsMode ?? "host";
  if (mode === "host") return undefined;
  const [other, ...more] = joinedRecords(deps, record);
  if (other !== undefined) {
    const text = (one: ContainerRecord) => idMapText(one.userNamespace?.uidMap);
    if (more.some((one) => text(one) !== text(other)))
      throw fault(
        "conflict",
        "userns-join",
        `cannot join namespaces of containers that are in different user namespaces: ${[other, ...more].map(({ id }) => id).join(", ")}`,
      );
    record.userNamespace = other.userNamespace && { ...other.userNamespace, unmapped: [] };
    return record.userNamespace && { ids: record.userNamespace, joined: other.state.pid };
  }
  // What it once had it keeps: files on file systems that cannot map owners are its own.
  const ids = record.userNamespace ?? { ...idsFor(deps, mode), unmapped: [] };
  record.userNamespace = { ...ids, unmapped: [] };
  return { ids: record.userNamespace, joined: undefined };
}

/** Handles of what has been made for a start. */
export interface MadeUserNamespace {
  readonly ids: UserNamespaceRecord;
  /** The namespace that the container is born in. */
  readonly handle: Handle;
  /** One whose maps owners are seen through. */
  readonly owners: Handle;
}

/** Makes a container's user namespace, or opens the one that it joins; nothing is left when this rejects. */
export async function makeUserNamespace(
  deps: EngineDeps,
  record: ContainerRecord,
): Promise<MadeUserNamespace | undefined> {
  const settled = settleUserNamespace(deps, record);
  if (settled === undefined) return undefined;
  const { ids, joined } = settled;
  const { kernel } = deps;
  const make = ({ uidMap, gidMap }: UserIds) =>
    kernel.newUserNamespace(idMapText(uidMap), idMapText(gidMap));
  const handle =
    joined === undefined ? await make(ids) : await kernel.openNetns(`/proc/${joined}/ns/user`);
  try {
    return { ids, handle, owners: await make(ownersThrough(ids)) };
  } catch (error) {
    await kernel.close(handle).catch(() => {});
    throw error;
  }
}

/** Notes which mounts' file systems cannot show owners through the namespace: there owners are the host's. */
export async function noteUnmapped(
  deps: EngineDeps,
  record: ContainerRecord,
  { owners, ids }: MadeUserNamespace,
): Promise<void> {
  const unmapped: string[] = [];
  for (const { type, source, target, recursive } of record.mounts) {
    if (type !== "bind" && type !== "volume") continue;
    try {
      await deps.kernel.probeOwners(source, owners, recursive);
    } catch (error) {
      log.debug("owners are not mapped", { source, error });
      unmapped.push(target);
    }
  }
  record.userNamespace = { ...ids, unmapped };
}

/** The host's id of a container's user; undefined: the container is in the host's user namespace. */
export function mappedUid(record: ContainerRecord, uid: number): number | undefined {
  if (record.userNamespace === undefined) return undefined;
  return hostIdOf(record.userNamespace.uidMap, uid) ?? 65534;
}

/** What the host has for an owner in a container that runs; the same where it is in the host's user namespace. */
export function ownerOnHost(
  { userNamespace }: ContainerRecord,
  { uid, gid }: { readonly uid: number; readonly gid: number },
): { readonly uid: number; readonly gid: number } {
  if (userNamespace === undefined) return { uid, gid };
  const [user, group] = [hostIdOf(userNamespace.uidMap, uid), hostIdOf(userNamespace.gidMap, gid)];
  if (user === undefined || group === undefined)
    throw fault(
      "invalid",
      "userns-owner",
      `the owner ${uid}:${gid} has no number in the container's user namespace`,
    );
  return { uid: user, gid: group };
}

/** Throws a Fault "invalid" when nobody has such ids. */
export function checkRemap(mode: UserNamespaceMode): void {
  idsOfRemap(mode);
}

/** Why containers can have no user namespaces with the data root there, found by trying; undefined: they can. */
export async function userNamespacesMissing(
  kernel: Pick<Kernel, "newUserNamespace" | "probeOwners" | "close">,
  dataRoot: string,
): Promise<string | undefined> {
  const map = idMapText([{ containerID: 0, hostID: defaultPool.start, size: RANGE }]);
  let handle: Handle;
  try {
    handle = await kernel.newUserNamespace(map, map);
  } catch (error) {
    return `the kernel makes no user namespaces (${messageOf(error)})`;
  }
  try {
    await kernel.probeOwners(dataRoot, handle, false);
    return undefined;
  } catch (error) {
    return `the file system of ${dataRoot} cannot show owners through user namespaces (${messageOf(error)})`;
  } finally {
    await kernel.close(handle);
  }
}
