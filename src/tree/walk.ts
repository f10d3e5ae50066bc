/**
 * Walking directories that are merged, as the kernel's overlay merges them, without mounting anything.
 *
 * A container may be running and changing what is walked. Every step is taken from an open directory to a name in it and
 * follows no link, so that no change can lead the walk out of the tree.
 */
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, type Stats } from "node:fs";
import { errnoOf } from "../base/errors.ts";
import { bytesOfName, nameOfBytes, nameOr, systemPath } from "../base/names.ts";
import { opaqueMarks } from "./overlay-marks.ts";

/** The calls that a JavaScript runtime cannot make. Paths are never followed in their last component. */
export interface Privileged {
  mknod(path: string, mode: number, major: number, minor: number): Promise<void>;
  setXattr(path: string, name: string, value: Uint8Array): Promise<void>;
  xattrs(path: string): Promise<ReadonlyMap<string, Uint8Array>>;
}

const O_NOFOLLOW = 0o400000;
const O_DIRECTORY = 0o200000;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const OWN_MARKS = ".wh..wh.";

/** The names that a path is made of, ".." among them. */
export function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

/** The path of a name in an open directory, for calls that do not follow a link in the last component. */
export function pathIn(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`;
}

/** The same for another process, while this one lives. */
export function pathForOthers(directory: number, name: string): string {
  return `/proc/${process.pid}/fd/${directory}/${name}`;
}

/** Opens a directory in an open directory; ENOTDIR or ELOOP when it is something else. The caller closes it. */
export function openDirectoryIn(directory: number, name: string): number {
  return openSync(systemPath(pathIn(directory, name)), O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
}

/** A name in an open directory. */
export class Place {
  constructor(
    readonly directory: number,
    readonly name: string,
    readonly info: Stats,
  ) {}

  /** For calls that do not follow a link in the last component. */
  get path(): string {
    return pathIn(this.directory, this.name);
  }

  /** The same for another process, while this one lives. */
  get pathForOthers(): string {
    return pathForOthers(this.directory, this.name);
  }

  get isWhiteout(): boolean {
    return this.info.isCharacterDevice() && this.info.rdev === 0;
  }

  /** Opens the file for reading; the caller closes it. */
  open(): number {
    return openSync(systemPath(this.path), O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  }

  openDirectory(): number {
    return openDirectoryIn(this.directory, this.name);
  }

  readLink(): string {
    const path = systemPath(this.path);
    return nameOr(readlinkSync(path), () => readlinkSync(path, { encoding: "buffer" }));
  }
}

/** Looks a name up in an open directory; undefined when it is not there. */
export function placeIn(directory: number, name: string): Place | undefined {
  const info = lstatSync(systemPath(pathIn(directory, name)), { throwIfNoEntry: false });
  return info && new Place(directory, name, info);
}

/** Opens a directory by its path on the host. */
export function openRoot(path: string): number {
  return openSync(systemPath(path), O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
}

/** The names in an open directory. */
export function readNames(directory: number): string[] {
  const path = `/proc/self/fd/${directory}`;
  try {
    const names = readdirSync(path);
    // Some have lost bytes, or look like it.
    if (!names.some((name) => name.includes("\ufffd"))) return names;
    return readdirSync(path, { encoding: "buffer" }).map(nameOfBytes);
  } catch (error) {
    // It has been removed since it was opened: then there is nothing in it.
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** The names in open directories and more, each once, sorted by their bytes. */
export function namesIn(directories: readonly number[], more: readonly string[] = []): string[] {
  const names = new Set(directories.flatMap(readNames));
  for (const name of more) names.add(name);
  // The merging program's own; in an archive such a name would be a mark.
  for (const name of names) if (name.startsWith(OWN_MARKS)) names.delete(name);
  return sortNames([...names]);
}

/** Code units in this range are not in the order of their UTF-8 bytes. */
const OUT_OF_ORDER = /[\ud800-\uffff]/;

/** Sorts names by their bytes, in their place. */
export function sortNames(names: string[]): string[] {
  // Looking at the bytes costs ten times as much, and hardly any names need it.
  if (!names.some((name) => OUT_OF_ORDER.test(name))) return names.sort();
  return names.sort((a, b) => Buffer.compare(bytesOfName(a), bytesOfName(b)));
}

/** True when an open directory hides what is below it in lower layers. */
export async function isOpaque(kernel: Privileged, directory: number): Promise<boolean> {
  const xattrs = await kernel.xattrs(`/proc/${process.pid}/fd/${directory}/.`);
  return opaqueMarks().some((mark) => xattrs.get(mark)?.[0] === 0x79);
}

/** A name under merged directories. */
export interface Merged {
  readonly top: Place;
  /** For a directory: every place that it is merged from, the uppermost first. */
  readonly all: readonly Place[];
}

/** What a name means under directories, the uppermost first; undefined when it is not there or taken away. */
export function mergedIn(directories: readonly number[], name: string): Merged | undefined {
  const all: Place[] = [];
  for (const directory of directories) {
    const place = placeIn(directory, name);
    if (place === undefined) continue;
    if (place.isWhiteout) break;
    if (!place.info.isDirectory()) return all.length === 0 ? { top: place, all: [] } : merged(all);
    all.push(place);
  }
  return merged(all);
}

function merged(all: readonly Place[]): Merged | undefined {
  const [top] = all;
  return top && { top, all };
}

/** Opens what a directory is merged from, down to the first that is opaque. The caller closes the descriptors. */
export async function openMerged(kernel: Privileged, { all }: Merged): Promise<number[]> {
  const open: number[] = [];
  try {
    for (const [index, place] of all.entries()) {
      const directory = place.openDirectory();
      open.push(directory);
      if (index < all.length - 1 && (await isOpaque(kernel, directory))) break;
    }
    return open;
  } catch (error) {
    closeAll(open);
    throw error;
  }
}

/** Closes descriptors. */
export function closeAll(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) closeSync(descriptor);
}

/** An entry of a walk. */
export interface TreeEntry {
  /** From the root of the walk, without a leading slash. */
  readonly path: string;
  readonly place: Place;
}

/** What is mounted over a tree that is walked. */
export interface WalkMounts {
  /** The names in a directory of the walk that something is mounted at. */
  namesIn(path: string): readonly string[];
  /** What is mounted at a path of the walk; whoever asks closes it. */
  at(path: string): Promise<{ readonly found: Merged; close(): void } | undefined>;
}

/**
 * Everything below merged directories, each directory before what is in it, names in the order of their bytes. `path`:
 * where in the walk the directories are, without a leading slash.
 */
export async function* walkMerged(
  kernel: Privileged,
  directories: readonly number[],
  mounts?: WalkMounts,
  path = "",
): AsyncGenerator<TreeEntry> {
  for (const name of namesIn(directories, mounts?.namesIn(path))) {
    const inner = path === "" ? name : `${path}/${name}`;
    const mount = await mounts?.at(inner);
    try {
      const found = mount?.found ?? mergedIn(directories, name);
      if (found === undefined) continue;
      yield { path: inner, place: found.top };
      if (found.top.info.isDirectory()) yield* walkInto(kernel, found, mounts, inner);
    } finally {
      mount?.close();
    }
  }
}

async function* walkInto(
  kernel: Privileged,
  found: Merged,
  mounts: WalkMounts | undefined,
  path: string,
): AsyncGenerator<TreeEntry> {
  let below: number[];
  try {
    below = await openMerged(kernel, found);
  } catch (error) {
    // A running container has removed it in between.
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return;
    throw error;
  }
  try {
    yield* walkMerged(kernel, below, mounts, path);
  } finally {
    closeAll(below);
  }
}
