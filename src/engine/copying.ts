/**
 * Copying out of a container, running or not.
 */
import { existsSync, realpathSync, type Stats } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import type { ContainerView, Found } from "../storage/index.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { layerOf } from "./places.ts";
import { holdVolumes } from "./volume-mounts.ts";

/** What is at a path, as the header X-Docker-Container-Path-Stat has it. */
export interface PathStat {
  readonly name: string;
  readonly size: number;
  /** Go's os.FileMode. */
  readonly mode: number;
  /** RFC 3339. */
  readonly mtime: string;
  readonly linkTarget: string;
}

/** A mode in the bits of Go's os.FileMode. */
export function goFileMode(info: Stats): number {
  const bit = (holds: boolean, at: number) => (holds ? 2 ** at : 0);
  return (
    (info.mode & 0o777) +
    bit(info.isDirectory(), 31) +
    bit(info.isSymbolicLink(), 27) +
    bit(info.isBlockDevice() || info.isCharacterDevice(), 26) +
    bit(info.isFIFO(), 25) +
    bit(info.isSocket(), 24) +
    bit((info.mode & 0o4000) !== 0, 23) +
    bit((info.mode & 0o2000) !== 0, 22) +
    bit(info.isCharacterDevice(), 21) +
    bit((info.mode & 0o1000) !== 0, 20)
  );
}

/** The last component as Go's filepath.Base has it: "." for "/etc/.", "/" for the root. */
export function baseOf(path: string): string {
  const plain = path.replace(/\/+$/, "");
  return plain === "" ? "/" : plain.slice(plain.lastIndexOf("/") + 1);
}

/** The container's file system with its volumes, for looking into it from outside. */
export function viewOf(deps: EngineDeps, { record }: Container): ContainerView {
  const mounts = record.mounts.flatMap(({ type, target, source, subpath, chain }) => {
    if (type === "image")
      return [{ target, sources: deps.driver.layerDirectories(chain ?? []), subpath }];
    if (type === "tmpfs" || !existsSync(source)) return [];
    return [{ target, sources: [realpathSync(source)], subpath }];
  });
  return deps.driver.view(layerOf(record), mounts);
}

async function findOrThrow(view: ContainerView, path: string, asked: string): Promise<Found> {
  const found = await view.find(path, false);
  if (found === undefined) throw noSuchPath(path, asked);
  return found;
}

/** `asked`: the container as the user has called it. */
export function noSuchPath(path: string, asked: string): Error {
  return fault(
    "not-found",
    "no-such-path",
    `Could not find the file ${path} in container ${asked}`,
  );
}

/** What has been looked up. */
export async function statOf(view: ContainerView, found: Found, path: string): Promise<PathStat> {
  const info = found.place?.info;
  // The root has no entry anywhere; it is a directory like any other.
  if (info === undefined)
    return {
      name: "/",
      size: 4096,
      mode: 2 ** 31 + 0o755,
      mtime: new Date(0).toISOString(),
      linkTarget: "",
    };
  let linkTarget = "";
  if (info.isSymbolicLink()) {
    const target = await view.find(path, true);
    linkTarget = target?.path ?? found.place?.readLink() ?? "";
    target?.close();
  }
  return {
    name: baseOf(path),
    size: info.size,
    mode: goFileMode(info),
    mtime: info.mtime.toISOString(),
    linkTarget,
  };
}

/** What is at a path; a link in its last component is told of, not followed. Throws a Fault "not-found". */
export async function statPath(
  deps: EngineDeps,
  container: Container,
  path: string,
  asked: string,
): Promise<PathStat> {
  const letGo = await holdVolumes(deps, container);
  try {
    const view = viewOf(deps, container);
    const found = await findOrThrow(view, path, asked);
    try {
      return await statOf(view, found, path);
    } finally {
      found.close();
    }
  } finally {
    await letGo();
  }
}

/** What is at a path as an archive whose entries begin with the path's last component. Throws a Fault "not-found". */
export async function copyOut(
  deps: EngineDeps,
  container: Container,
  path: string,
  asked: string,
): Promise<{ stat: PathStat; archive: ByteStream }> {
  const letGo = await holdVolumes(deps, container);
  let found: Found | undefined;
  const close = async () => {
    found?.close();
    await letGo();
  };
  try {
    const view = viewOf(deps, container);
    const what = await findOrThrow(view, path, asked);
    found = what;
    const stat = await statOf(view, what, path);
    const archive = async function* () {
      try {
        yield* deps.driver.packFound(what, baseOf(path));
      } finally {
        await close();
      }
      const more = { path };
      deps.events.emit(
        "container",
        "archive-path",
        container.id,
        attributesOf(container.record, more),
      );
    };
    return { stat, archive: archive() };
  } catch (error) {
    await close();
    throw error;
  }
}
