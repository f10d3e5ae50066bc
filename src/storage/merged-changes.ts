/**
 * What several layers have changed together: the file system with them beside the one without.
 */
import {
  closeAll,
  type Merged,
  mergedIn,
  namesIn,
  openMerged,
  openRoot,
  type Place,
  type Privileged,
} from "../tree/index.ts";
import { type Change, type Sameness, sameByContent } from "./changes.ts";

/** A directory as it was and as it is, each of what it is merged from, the uppermost first. */
interface Pair {
  readonly now: readonly number[];
  readonly before: readonly number[];
}

/** One file of one layer, which both file systems have. */
const isOne = (a: Place, b: Place) => a.info.ino === b.info.ino && a.info.dev === b.info.dev;

/**
 * The changes in order, a directory before what is in it. By content: what a layer has written again as it was is no
 * change, and every driver gives the same. `now`, `before`: layers' directories, the uppermost first.
 */
export async function* mergedChanges(
  kernel: Privileged,
  now: readonly string[],
  before: readonly string[],
): AsyncGenerator<Change> {
  const byContent = sameByContent(kernel);
  const same: Sameness = (a, b) => isOne(a, b) || byContent(a, b);
  const open: number[] = [];
  const opened = (paths: readonly string[]) =>
    paths.map((path) => {
      const descriptor = openRoot(path);
      open.push(descriptor);
      return descriptor;
    });
  try {
    yield* inside(kernel, { now: opened(now), before: opened(before) }, same, "");
  } finally {
    closeAll(open);
  }
}

async function* inside(
  kernel: Privileged,
  { now, before }: Pair,
  same: Sameness,
  path: string,
): AsyncGenerator<Change> {
  for (const name of namesIn([...now, ...before])) {
    const [found, old] = [mergedIn(now, name), mergedIn(before, name)];
    const at = path === "" ? name : `${path}/${name}`;
    if (found === undefined) {
      if (old !== undefined) yield { path: at, kind: "deleted", place: undefined };
    } else if (old === undefined) {
      yield { path: at, kind: "added", place: found.top };
      yield* below(kernel, found, undefined, same, at);
    } else yield* both(kernel, found, old, same, at);
  }
}

/** What there was before, too. */
async function* both(
  kernel: Privileged,
  found: Merged,
  old: Merged,
  same: Sameness,
  path: string,
): AsyncGenerator<Change> {
  const { top: place } = found;
  const areDirectories = place.info.isDirectory() && old.top.info.isDirectory();
  // A directory of which the upper layers have nothing.
  if (areDirectories && isOne(place, old.top)) return;
  let told = !(await same(place, old.top));
  if (told) yield { path, kind: "modified", place };
  const parent = areDirectories ? old : undefined;
  for await (const change of below(kernel, found, parent, same, path)) {
    if (!told) yield { path, kind: "modified", place };
    told = true;
    yield change;
  }
}

/** What is in a directory; nothing for what is none. */
async function* below(
  kernel: Privileged,
  found: Merged,
  old: Merged | undefined,
  same: Sameness,
  path: string,
): AsyncGenerator<Change> {
  if (!found.top.info.isDirectory()) return;
  const open: number[] = [];
  try {
    const now = await openMerged(kernel, found);
    open.push(...now);
    const before = old === undefined ? [] : await openMerged(kernel, old);
    open.push(...before);
    yield* inside(kernel, { now, before }, same, path);
  } finally {
    closeAll(open);
  }
}
