/**
 * A build's context as a list: what berth's command line tells of a directory's files before it sends any, so that only those
 * are sent that the daemon does not have from the build before.
 */

/** One file: its path, mode with type, bytes, time of its contents in milliseconds, what else tells its versions apart, link. */
export type ListedFile = readonly [
  path: string,
  mode: number,
  size: number,
  mtime: number,
  stamp: string,
  link: string,
];

/** What the daemon answers. */
export interface ContextAnswer {
  /** Which state of its own the daemon compared with. */
  readonly generation: string;
  /** Places in the list. */
  readonly wanted: readonly number[];
  /** Asked for a list by its digest: whether it is the very one that the daemon has. */
  readonly unchanged?: boolean;
}

/** The entry of an archive that is the list itself; it comes first. */
export const LIST_ENTRY = ".berth-context-list";
/** Bytes of a list at most: that of half a million files. */
export const LIST_MAX = 64 << 20;

const S_IFMT = 0o170000;

/** Whether modes are of the same type, S_IFDIR and the like. */
export function sameType(a: number, b: number): boolean {
  return (a & S_IFMT) === (b & S_IFMT);
}

/** Whether a mode is a directory's. */
export function isDirectoryMode(mode: number): boolean {
  return (mode & S_IFMT) === 0o040000;
}

function isListed(value: unknown): value is ListedFile {
  if (!Array.isArray(value) || value.length !== 6) return false;
  const [path, mode, size, mtime, stamp, link] = value as unknown[];
  const numbers = [mode, size, mtime].every((one) => Number.isFinite(one));
  if (!numbers || typeof stamp !== "string" || typeof link !== "string") return false;
  return typeof path === "string" && path.split("/").every((name) => !/^\.{0,2}$/.test(name));
}

/** Reads a list; undefined when it is none, or has a path that is not plain. */
export function parseContextList(text: string): readonly ListedFile[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every(isListed) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Which files are not what they were, as places in the list. Without a stamp a file is never known again. */
export function changedFiles(before: readonly ListedFile[], now: readonly ListedFile[]): number[] {
  const known = new Map(before.map((file) => [file[0], file]));
  return now.flatMap((file, index) => {
    const old = known.get(file[0]);
    const same = old !== undefined && file[4] !== "" && file.every((one, at) => one === old[at]);
    return same ? [] : [index];
  });
}
