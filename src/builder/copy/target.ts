/**
 * Where COPY, ADD and WORKDIR put things: a path in a stage's file system, its links followed, and the directories on the way.
 */
import type { Stats } from "node:fs";
import { posix } from "node:path";
import { fault } from "../../base/errors.ts";
import type { TarEntry } from "../../base/tar.ts";
import type { ContainerView, Found } from "../../storage/index.ts";
import { Packer, type Privileged } from "../../tree/index.ts";

/** A destination that was looked up. */
export interface Target {
  /** Resolved, without a leading slash; "" is the root. */
  readonly path: string;
  /** What is there now. */
  readonly there: "directory" | "other" | undefined;
  /** The directories on the way that are not there yet, the uppermost first; without the destination itself. */
  readonly missing: readonly string[];
}

const LINKS_MAX = 40;

/** Looks a destination up. What is missing is taken by its name. Throws a Fault "invalid" when a file is on the way. */
export async function lookUp(view: ContainerView, path: string): Promise<Target> {
  const rest = posix.resolve("/", path).split("/").filter(Boolean);
  const at: string[] = [];
  const missing: string[] = [];
  let there: Target["there"] = "directory";
  for (let links = 0; rest.length > 0; ) {
    const name = rest.shift() ?? "";
    if (name === "..") {
      at.pop();
      continue;
    }
    const here = posix.join("/", ...at, name);
    if (there === undefined) missing.push(at.join("/"));
    const found: Found | undefined = there === undefined ? undefined : await view.find(here, false);
    const info: Stats | undefined = found?.place?.info;
    const link: string | undefined = info?.isSymbolicLink() ? found?.place?.readLink() : undefined;
    found?.close();
    if (there === "other") throw notADirectory(posix.join("/", ...at));
    if (link === undefined) {
      at.push(name);
      there = info === undefined ? undefined : info.isDirectory() ? "directory" : "other";
      continue;
    }
    if (++links > LINKS_MAX)
      throw fault("invalid", "copy-target", `too many levels of symbolic links: ${path}`);
    if (link.startsWith("/")) at.length = 0;
    rest.unshift(...link.split("/").filter((part) => part !== "" && part !== "."));
  }
  return { path: at.join("/"), there, missing };
}

function notADirectory(path: string): Error {
  return fault("invalid", "copy-target", `cannot copy to non-directory: ${path}`);
}

/** Directories on the way that are there already, as entries: a layer that names them must not change them. */
export async function* directoriesTo(
  kernel: Privileged,
  view: ContainerView,
  path: string,
  seen: Set<string>,
  latest = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array> {
  const packer = new Packer(kernel, false, (entry) => ({
    ...entry,
    mtime: Math.min(entry.mtime, latest),
  }));
  const names = path.split("/").filter(Boolean);
  for (const [index] of names.entries()) {
    const directory = names.slice(0, index + 1).join("/");
    if (seen.has(directory)) continue;
    const found = await view.find(`/${directory}`, false);
    try {
      if (found?.place === undefined || !found.place.info.isDirectory()) return;
      seen.add(directory);
      yield* packer.entry(directory, found.place);
    } finally {
      found?.close();
    }
  }
}

/** A new directory. */
export function newDirectory(
  path: string,
  owner: { readonly uid: number; readonly gid: number },
  mtime: number,
): TarEntry {
  return {
    path,
    type: "directory",
    mode: 0o755,
    ...owner,
    size: 0,
    mtime,
    linkPath: "",
    major: 0,
    minor: 0,
    xattrs: new Map(),
  };
}

/** Throws a Fault "invalid" when something other than a directory stands where a directory is to be copied. */
export async function checkDirectory(view: ContainerView, path: string): Promise<void> {
  const found = await view.find(`/${path}`, false);
  const info = found?.place?.info;
  found?.close();
  if (info !== undefined && !info.isDirectory()) throw notADirectory(`/${path}`);
}
