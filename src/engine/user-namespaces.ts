/**
 * Which user namespace a container is in: what was asked for, what must be the host's, and making it at the start.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { inUserNamespace } from "../base/user-namespace.ts";
import type { Handle, Kernel } from "../kernel/index.ts";
import type { PreparedNamespace } from "../network/index.ts";
import { idMapText } from "../runtime/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { ResolvedUser } from "../spec/users.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { checkGuard } from "./guard-limits.ts";
import { needAtStart, needOfWishes } from "./host-needs.ts";
import { idsOfRemap, subordinateFiles } from "./listed-ids.ts";
import { namespaceKindOf } from "./networking.ts";
import { seesSelinux } from "./selinux-labels.ts";
import { defaultPool, hostIdOf, poolOf, RANGE } from "./user-ids.ts";
import { makeNamespaces, openNamespaces, type UserNamespaceHandles } from "./user-stock.ts";

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
        "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
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
  if (seesSelinux(hostConfig)) return { reason: "--security-opt label=nested" };
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
  mounts: readonly Pick<MountRecord, "propagation" | "target" | "type" | "source" | "readOnly">[],
): ChosenUserNamespace {
  const { standard, dockers, missing } = deps.settings.userNamespaces;
  const { guard } = deps.settings;
  const asked = hostConfig.UsernsMode ?? "";
  const mode = asked === "" ? standard : asked;
  const host = needsHost(deps, hostConfig, mounts);
  if (guard !== undefined) {
    const reason = host?.reason ?? (mode === "host" ? "--userns=host" : undefined);
    checkGuard(guard, deps.settings.cgroupParent, hostConfig, mounts, reason);
  }
  if (mode === "host") return { mode };
  if (host !== undefined) {
    const strict = mode !== "auto" && (dockers || asked !== "");
    if (strict) throw fault("invalid", "userns-conflict", host.refusal ?? conflictOf(host.reason));
    return { mode: "host", reason: host.reason };
  }
  // The daemon's own user namespace gives nothing of that.
  const may = asked === "" && mode === "auto" && guard === undefined;
  const need = may ? needOfWishes(hostConfig) : undefined;
  if (need !== undefined) return { mode: "host", reason: need };
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

/** What a start needs of user namespaces; whoever has it closes it. */
export interface MadeUserNamespace extends UserNamespaceHandles {
  /** A network namespace that belongs to it and is ready. */
  readonly network?: PreparedNamespace;
}

/** It has not asked for a user namespace: what does not work in one of its own gets the host's. */
function yields(
  { settings }: Pick<EngineDeps, "settings">,
  { hostConfig, usernsMode }: ContainerRecord,
): boolean {
  return settings.guard === undefined && usernsMode === "auto" && !hostConfig.UsernsMode;
}

function idsText(record: ContainerRecord): string {
  return idMapText(record.userNamespace?.uidMap);
}

function joinsSeveral([other, ...more]: readonly ContainerRecord[]): boolean {
  return other !== undefined && more.some((one) => idsText(one) !== idsText(other));
}

/** What only works in the host's, as a start finds it; undefined: nothing. */
function needOf(deps: EngineDeps, record: ContainerRecord, user: ResolvedUser): string | undefined {
  if (!yields(deps, record)) return undefined;
  const joined = joinedRecords(deps, record);
  if (joinsSeveral(joined))
    return "it joins the namespaces of containers that are in different ones";
  const host = joined.find((one) => one.userNamespace === undefined);
  if (host !== undefined) return `it joins the namespaces of ${host.name}, which has the host's`;
  return needAtStart(record, user, RANGE);
}

/**
 * Gives a container its user namespace at a start, and notes its ids in the record: one that is ready, one that is made, or
 * that of the container whose namespaces it joins, which owns them. Undefined: the host's. Nothing is left when this rejects.
 */
export async function makeUserNamespace(
  deps: EngineDeps,
  record: ContainerRecord,
  user: ResolvedUser,
): Promise<MadeUserNamespace | undefined> {
  if ((record.usernsMode ?? "host") === "host") return undefined;
  record.usernsReason = needOf(deps, record, user);
  const made = record.usernsReason === undefined ? await makeOrOpen(deps, record) : undefined;
  if (made === undefined) {
    record.userNamespace = undefined;
    return undefined;
  }
  const unmapped = await unmappedMounts(deps, record, made);
  if (unmapped.length === 0 || !yields(deps, record)) {
    record.userNamespace = { ...made.ids, unmapped };
    return made;
  }
  record.usernsReason = `the file system of ${unmapped[0]} cannot map owners`;
  record.userNamespace = undefined;
  await letGo(deps, [made.handle, made.owners], made.network);
  return undefined;
}

/** Lets go of what a start has got: handles, and a network namespace that was made ready with them. */
export async function letGo(
  { kernel, networks }: EngineDeps,
  handles: readonly Handle[],
  network: MadeUserNamespace["network"],
): Promise<void> {
  if (network !== undefined) await networks.namespaces.discard(network);
  await Promise.all(handles.map((one) => kernel.close(one).catch(() => {})));
}

async function makeOrOpen(
  deps: EngineDeps,
  record: ContainerRecord,
): Promise<MadeUserNamespace | undefined> {
  const { kernel, userStock } = deps;
  const joined = joinedRecords(deps, record);
  const [other] = joined;
  if (joinsSeveral(joined))
    throw fault(
      "conflict",
      "userns-join",
      `cannot join namespaces of containers that are in different user namespaces: ${joined.map(({ id }) => id).join(", ")}`,
    );
  if (other !== undefined) {
    const ids = other.userNamespace;
    return ids && openNamespaces(kernel, ids, `/proc/${other.state.pid}/ns/user`);
  }
  const before = record.userNamespace;
  const mode = record.usernsMode ?? "host";
  // What it once had it keeps where it may have files on file systems that cannot map owners.
  const fresh = before === undefined || yields(deps, record);
  const ready = fresh ? userStock.take(mode, namespaceKindOf(deps, record)) : undefined;
  const { uidMap, gidMap } = ready?.ids ?? before ?? userStock.ids(mode);
  // Noted at once: nobody else is to get the same.
  record.userNamespace = { uidMap, gidMap, unmapped: [] };
  return ready ?? makeNamespaces(kernel, { uidMap, gidMap });
}

/** Targets of mounts whose file systems cannot show owners through the namespace: there owners are the host's. */
async function unmappedMounts(
  deps: EngineDeps,
  record: ContainerRecord,
  { owners }: UserNamespaceHandles,
): Promise<string[]> {
  const unmapped: string[] = [];
  for (const { type, source, target, recursive } of record.mounts) {
    if (type !== "bind" && type !== "volume") continue;
    // The guard shows these itself, or refuses.
    if (type === "bind" && deps.settings.guard !== undefined) continue;
    try {
      await deps.kernel.probeOwners(source, owners, recursive);
    } catch (error) {
      log.debug("owners are not mapped", { source, error });
      unmapped.push(target);
    }
  }
  return unmapped;
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
  kernel: Pick<Kernel, "newUserNamespace" | "newOwners" | "guarded" | "probeOwners" | "close">,
  dataRoot: string,
): Promise<string | undefined> {
  if (inUserNamespace() && !kernel.guarded)
    return "this daemon is in a user namespace itself, and may not show owners through others";
  const map = idMapText([{ containerID: 0, hostID: defaultPool.start, size: RANGE }]);
  let handle: Handle;
  try {
    const [[uid, gid] = [0, 0]] = kernel.guarded ? poolOf(subordinateFiles()) : [];
    handle = await (kernel.guarded
      ? kernel.newOwners(uid, gid)
      : kernel.newUserNamespace(map, map));
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
