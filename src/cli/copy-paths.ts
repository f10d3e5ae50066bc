/**
 * What `cp` means by its two paths, as Docker has it: whether a name is copied into a directory, over a file or to a new
 * name depends on trailing slashes, on "/." and on what is there.
 */
import { lstatSync, readlinkSync, realpathSync, type Stats, statSync } from "node:fs";
import { isAbsolute, join, normalize } from "node:path/posix";
import { errnoOf } from "../base/errors.ts";

/** One side of a copy. */
export interface CopyInfo {
  readonly path: string;
  readonly exists: boolean;
  readonly isDirectory: boolean;
  /** What the archive's entries are to begin with, when a link was followed to another name; "" otherwise. */
  readonly rebase: string;
}

/** Where an archive goes, and the change to the first part of its names. */
export interface CopyPlan {
  readonly directory: string;
  readonly rename?: { readonly from: string; readonly to: string };
}

/** "container:path" or a path of this machine. */
export function splitArgument(argument: string): { container: string; path: string } {
  const colon = argument.indexOf(":");
  // "./a:b" and "/a:b" name files.
  if (isAbsolute(argument) || colon < 0 || argument.startsWith("."))
    return { container: "", path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}

function namesItself(path: string): boolean {
  return path.split("/").at(-1) === ".";
}

function trimmed(path: string): string {
  return path.replace(/(.)\/+$/, "$1");
}

/** `to` with the "/." or the "/" that `from` ends with: they mean something. */
function keepEnd(from: string, to: string): string {
  if (namesItself(from) && !namesItself(to)) return to === "/" ? "/." : `${to}/.`;
  return from.endsWith("/") && !to.endsWith("/") ? `${to}/` : to;
}

/** A path of this machine as an absolute one, what its end means kept. */
export function absolute(path: string): string {
  const whole = isAbsolute(path) ? path : `${process.cwd()}/${path}`;
  return keepEnd(path, trimmed(normalize(whole)));
}

/** The directory and the last name; "." for a path that names a directory's content. */
export function splitEntry(path: string): { directory: string; name: string } {
  const plain = trimmed(normalize(path));
  const whole = namesItself(path) ? keepEnd(path, plain) : plain;
  const slash = whole.lastIndexOf("/");
  return { directory: whole.slice(0, slash + 1), name: whole.slice(slash + 1) };
}

/** The name that a followed link's content keeps, with the path that has it. */
export function rebaseOf(path: string, resolved: string): { path: string; rebase: string } {
  const full = keepEnd(path, resolved);
  const last = (of: string) => trimmed(of).split("/").at(-1) ?? "";
  return { path: full, rebase: last(path) === last(full) ? "" : last(path) };
}

function resolveSource(path: string, followLink: boolean): { path: string; rebase: string } {
  if (followLink) return rebaseOf(path, realpathSync(path));
  const { directory, name } = splitEntry(path);
  const real = realpathSync(directory);
  return { path: name === "." ? keepEnd(path, real) : join(real, name), rebase: "" };
}

/** What is to be copied from this machine. Throws when there is nothing. */
export function localSource(path: string, followLink: boolean): CopyInfo {
  try {
    const resolved = resolveSource(path, followLink);
    const isDirectory = lstatSync(resolved.path).isDirectory();
    return { ...resolved, exists: true, isDirectory };
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new Error(`lstat ${path}: no such file or directory`);
  }
}

function lookAt(path: string): Stats | undefined {
  return lstatSync(trimmed(path), { throwIfNoEntry: false });
}

/** What is at the place on this machine that is copied to; links are followed. */
export function localDestination(path: string): CopyInfo {
  let at = path;
  let info = lookAt(at);
  for (let links = 0; info?.isSymbolicLink(); links++) {
    if (links > 10) throw new Error(`too many symbolic links in ${path}`);
    const link = readlinkSync(trimmed(at));
    at = isAbsolute(link) ? link : join(splitEntry(at).directory, link);
    info = lookAt(at);
  }
  if (info !== undefined && !info.isDirectory() && !info.isFile())
    throw new Error(`invalid output path: "${path}" must be a directory or a regular file`);
  if (info === undefined) {
    const { directory } = splitEntry(at);
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
      throw new Error(
        `invalid output path: directory ${JSON.stringify(trimmed(directory))} does not exist`,
      );
  }
  return {
    path: at,
    exists: info !== undefined,
    isDirectory: info?.isDirectory() === true,
    rebase: "",
  };
}

/** Where to unpack an archive of `source`, so that it becomes `destination`. Throws what Docker says when it cannot. */
export function planCopy(source: CopyInfo, destination: CopyInfo): CopyPlan {
  if (destination.exists && destination.isDirectory) return { directory: destination.path };
  if (destination.exists && source.isDirectory) throw new Error("cannot copy directory");
  const { path } = destination;
  if (
    !destination.exists &&
    !source.isDirectory &&
    (path === "" || path.endsWith("/") || namesItself(path))
  )
    throw new Error("no such directory");
  const from = source.rebase || splitEntry(source.path).name;
  const { directory, name } = splitEntry(path);
  return { directory: trimmed(directory) || ".", rename: { from, to: name } };
}

/** An entry's name with its beginning changed. */
export function renamed(path: string, rename: CopyPlan["rename"]): string {
  if (rename === undefined) return path;
  const { from, to } = rename;
  if (from === "" || from === "/") return join(to, path);
  return path === from || path.startsWith(`${from}/`) ? `${to}${path.slice(from.length)}` : path;
}
