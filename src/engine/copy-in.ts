/**
 * Copying into a container. A running one is reached through its init process, so that files land where it sees them; a
 * stopped one through a mount of its layers that no namespace has, which nothing survives.
 */
import { closeSync, readFileSync, realpathSync } from "node:fs";
import { type ByteStream, decompress } from "../base/compression.ts";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import { overlayParams } from "../runtime/index.ts";
import {
  Extractor,
  namesOf,
  type Owner,
  openRoot,
  TargetTree,
  type TreeMount,
} from "../tree/index.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { MountRecord } from "./container-record.ts";
import { noSuchPath } from "./copying.ts";
import type { EngineDeps } from "./deps.ts";
import { userInImage, userInRunning } from "./host.ts";
import { isMissing } from "./mount-wishes.ts";
import { isFirstProcess } from "./own-processes.ts";
import { layerOf } from "./places.ts";
import { noSuchContainer } from "./registry.ts";
import { ownerOnHost } from "./user-namespaces.ts";
import { holdVolumes } from "./volume-mounts.ts";

/** What the engine mounts over files of every container: they are not to be replaced. */
const ownFiles = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/** How soon to look again at a container that is ending. */
const DYING_MS = 10;

/** How an archive is copied in. */
export interface CopyInRequest {
  /** A directory in the container. */
  readonly path: string;
  /** The container as the user has called it. */
  readonly asked: string;
  /** Refuse to put a directory in the place of something else, and the other way round. */
  readonly noOverwriteDirNonDir: boolean;
  /** Everything belongs to the container's user afterwards, not to whom the archive names. */
  readonly copyUIDGID: boolean;
}

/** Opens the root of a container that runs; undefined when it has just ended. */
function openRunning(deps: EngineDeps, container: Container): number | undefined {
  const { record } = container;
  try {
    const process = openRoot(`/proc/${record.state.pid}`);
    try {
      // The descriptor stays with this process, so that whoever gets its number next is not taken for it.
      const directory = `/proc/self/fd/${process}`;
      const isOwn = deps.cgroups.there
        ? readFileSync(`${directory}/cgroup`, "utf8").includes(record.id)
        : isFirstProcess(directory, container);
      if (!isOwn) return undefined;
      return openRoot(`/proc/self/fd/${process}/root/.`);
    } finally {
      closeSync(process);
    }
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

async function withStopped<T>(
  deps: EngineDeps,
  { record }: Container,
  work: (root: number) => Promise<T>,
): Promise<T> {
  // Between the two runs of a restart, a container with --rm has a layer that the kernel mounts as volatile only.
  const volatile = record.hostConfig.AutoRemove === true;
  const mount = deps.driver.mountOf({ ...layerOf(record), volatile });
  // What fuse-overlayfs merges, the kernel merges alike, for as long as nobody else does.
  const params =
    mount.kind === "bind"
      ? undefined
      : overlayParams(
          { volatile: false, ...mount, kind: "overlay" },
          deps.features.lowerdirPlus,
          deps.features.inUserNamespace,
        );
  const handle = params && (await deps.kernel.mountDetached("overlay", params));
  try {
    const root = openRoot(
      mount.kind === "bind" ? mount.path : `/proc/${deps.kernel.pid}/fd/${handle}/.`,
    );
    try {
      return await work(root);
    } finally {
      closeSync(root);
    }
  } finally {
    if (handle !== undefined) await deps.kernel.close(handle);
  }
}

/** The part of a volume that is mounted, opened without following a link out of the volume; undefined for a file. */
function openPart(source: string, subpath: string): number | undefined {
  const root = openRoot(source);
  const volume = new TargetTree(root);
  try {
    const path = volume.resolve([], namesOf(subpath), false);
    return openRoot(`/proc/self/fd/${volume.directory(path)}/.`);
  } catch (error) {
    if (errnoOf(error) === "ENOTDIR") return undefined;
    throw fault("invalid", "mount", `cannot access path ${subpath}: ${messageOf(error)}`, error);
  } finally {
    volume.close();
    closeSync(root);
  }
}

/**
 * What stands over the container's files. A running container's tree leads there by itself. `open` gets descriptors that
 * are to be closed when the mounts are of no more use.
 */
function mountsOf(
  deps: EngineDeps,
  { record }: Container,
  running: boolean,
  open: number[],
): TreeMount[] {
  const sourceOf = ({ type, source, subpath, chain }: MountRecord) => {
    if (running || source === "") return undefined;
    if (type === "image") return deps.driver.layerDirectories(chain ?? [])[0];
    if (isMissing(source))
      throw fault("invalid", "mount", `bind source path does not exist: ${source}`);
    const real = realpathSync(source);
    if (subpath === undefined) return real;
    const part = openPart(real, subpath);
    if (part === undefined) return undefined;
    open.push(part);
    return `/proc/self/fd/${part}/.`;
  };
  return [
    ...record.mounts.map((mount) => ({ target: mount.target, source: sourceOf(mount) })),
    ...ownFiles.map((target) => ({ target, source: undefined })),
  ];
}

/** Refuses what the user has made read-only. `path`: plain, without a leading slash. */
function checkWritable({ record }: Container, path: string): void {
  const over = record.mounts
    .filter(({ target }) => `/${path}/`.startsWith(`${target}/`))
    .sort((a, b) => b.target.length - a.target.length)[0];
  if (over?.readOnly)
    throw fault("forbidden", "read-only-volume", "mounted volume is marked read-only");
  if (over === undefined && record.hostConfig.ReadonlyRootfs)
    throw fault("forbidden", "read-only-root", "container rootfs is marked read-only");
}

function resolveDirectory(
  tree: TargetTree,
  container: Container,
  { path, asked }: CopyInRequest,
): string {
  try {
    return tree.resolve([], namesOf(path), false);
  } catch (error) {
    const code = errnoOf(error);
    // What may not be written need not be looked at.
    if (code === "EACCES") checkWritable(container, namesOf(path).join("/"));
    if (code === "ENOENT") throw noSuchPath(path, asked);
    if (code === "ENOTDIR")
      throw fault("invalid", "not-a-directory", "extraction point is not a directory");
    if (code === "ELOOP") throw fault("invalid", "not-a-directory", `${path}: too many links`);
    throw error;
  }
}

/** Copies into what the container is at the moment; false when that has changed before anything was read. */
async function copyOnce(
  deps: EngineDeps,
  container: Container,
  asked: string,
  into: (root: number, running: boolean) => Promise<void>,
): Promise<boolean> {
  if (container.removed) throw noSuchContainer(asked);
  if (container.running) {
    const root = openRunning(deps, container);
    if (root === undefined) return false;
    await into(root, true).finally(() => closeSync(root));
    return true;
  }
  // Its layers must not be mounted twice: no start comes in between.
  return container.exclusively(async () => {
    await container.cleaned;
    if (container.running || container.removed) return false;
    const letGo = await holdVolumes(deps, container);
    await withStopped(deps, container, (root) => into(root, false)).finally(letGo);
    return true;
  });
}

/**
 * Unpacks an archive (plain or compressed) into a directory of a container. Throws Faults "not-found" when there is no such
 * directory, "invalid" for a damaged archive or what may not be replaced, "forbidden" for what is read-only.
 */
export async function copyIn(
  deps: EngineDeps,
  container: Container,
  request: CopyInRequest,
  archive: ByteStream,
): Promise<void> {
  const into = async (root: number, running: boolean): Promise<void> => {
    const open: number[] = [];
    let tree: TargetTree | undefined;
    try {
      const { record } = container;
      // What runs is seen with the owners that its processes have on the host.
      const onHost = (owner: Owner) => (running ? ownerOnHost(record, owner) : owner);
      const maker = onHost({ uid: 0, gid: 0 });
      tree = new TargetTree(root, mountsOf(deps, container, running, open), maker);
      const base = resolveDirectory(tree, container, request);
      checkWritable(container, base);
      const { User = "" } = record.config;
      const user = () =>
        running ? userInRunning(deps, container, User) : userInImage(deps, container);
      const owner = request.copyUIDGID ? await user() : undefined;
      const reader = new TarReader(await decompress(archive));
      const keepKinds = request.noOverwriteDirNonDir;
      const options = { whiteouts: "keep", base, owner, onHost, keepKinds } as const;
      await new Extractor(tree, deps.kernel, options).extract(reader);
      await reader.drain();
    } finally {
      tree?.close();
      for (const descriptor of open) closeSync(descriptor);
    }
  };
  while (!(await copyOnce(deps, container, request.asked, into))) await Bun.sleep(DYING_MS);
  const more = { path: request.path };
  deps.events.emit(
    "container",
    "extract-to-dir",
    container.id,
    attributesOf(container.record, more),
  );
}
