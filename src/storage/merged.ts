/**
 * Looking into a stopped container's file system without mounting it: a path is resolved through the layers' directories,
 * the uppermost first, and inside them only.
 */
import {
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  type Stats,
} from "node:fs";

const MAX_LINKS = 40;
/** O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC: a fifo in an image blocks nobody. */
const SAFE_READ = 0o400000 | 0o4000 | 0o2000000;

function isWhiteout(info: Stats): boolean {
  return info.isCharacterDevice() && info.rdev === 0;
}

/** The uppermost entry of a name under directories that have been merged, and the directories it is merged from. */
function step(
  directories: readonly string[],
  name: string,
): { info: Stats; path: string; merged: string[] } | undefined {
  const merged: string[] = [];
  let top: { info: Stats; path: string } | undefined;
  for (const directory of directories) {
    const path = `${directory}/${name}`;
    const info = lstatSync(path, { throwIfNoEntry: false });
    if (info === undefined) continue;
    if (isWhiteout(info)) break;
    top ??= { info, path };
    if (!info.isDirectory()) break;
    merged.push(path);
  }
  return top === undefined ? undefined : { ...top, merged };
}

/** Resolves a path; gives the entry's place on the host, and for a directory all the places it is merged from. */
export function resolveMerged(
  layers: readonly string[],
  path: string,
): { info: Stats; path: string; merged: string[] } | undefined {
  const rest = path.split("/").filter((name) => name !== "" && name !== ".");
  const trail: string[] = [];
  for (let links = 0; ; ) {
    let directories = [...layers];
    let found: ReturnType<typeof step>;
    for (const name of trail) {
      found = step(directories, name);
      if (found === undefined) return undefined;
      directories = found.merged;
    }
    const name = rest.shift();
    if (name === undefined) {
      const root = layers[0];
      return (
        found ??
        (root === undefined
          ? undefined
          : { info: lstatSync(root), path: root, merged: [...layers] })
      );
    }
    if (name === "..") {
      trail.pop();
      continue;
    }
    const next = step(directories, name);
    if (next === undefined) return undefined;
    if (!next.info.isSymbolicLink()) {
      trail.push(name);
      continue;
    }
    if (++links > MAX_LINKS) return undefined;
    const link = readlinkSync(next.path);
    if (link.startsWith("/")) trail.length = 0;
    rest.unshift(...link.split("/").filter((part) => part !== "" && part !== "."));
  }
}

/** Reads a regular file of at most `max` bytes; undefined when there is no such. */
export function readMerged(
  layers: readonly string[],
  path: string,
  max: number,
): Uint8Array | undefined {
  const found = resolveMerged(layers, path);
  if (found === undefined || !found.info.isFile() || found.info.size > max) return undefined;
  const fd = openSync(found.path, SAFE_READ);
  try {
    return fstatSync(fd).isFile() ? readFileSync(fd) : undefined;
  } finally {
    closeSync(fd);
  }
}
