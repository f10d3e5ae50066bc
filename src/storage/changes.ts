/**
 * What a container has changed: its writable directory beside the layers below.
 */
import type { Stats } from "node:fs";
import type { Privileged } from "../tree/index.ts";
import {
  closeAll,
  isOpaque,
  mergedIn,
  namesIn,
  openMerged,
  type Place,
  placeIn,
} from "../tree/index.ts";

/** One change. */
export interface Change {
  /** From the root, without a leading slash. */
  readonly path: string;
  readonly kind: "modified" | "added" | "deleted";
  /** What is there now; undefined for what is deleted. */
  readonly place: Place | undefined;
}

/** What is compared, and how. */
interface Level {
  readonly upper: number;
  /** The uppermost first. */
  readonly lowers: readonly number[];
  readonly path: string;
  /** The upper directory holds everything that is to be seen, not only what differs. */
  readonly whole: boolean;
}

function same(a: Stats, b: Stats): boolean {
  const always = a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.rdev === b.rdev;
  return always && a.mtimeMs === b.mtimeMs && (a.isDirectory() || a.size === b.size);
}

/** The changes of a directory and below it, in order; a directory comes before what is in it when something in it changed. */
export async function* changesOf(kernel: Privileged, level: Level): AsyncGenerator<Change> {
  const { upper, lowers, path, whole } = level;
  for (const name of namesIn(whole ? [upper, ...lowers] : [upper])) {
    const place = placeIn(upper, name);
    const below = mergedIn(lowers, name);
    const at = path === "" ? name : `${path}/${name}`;
    if (place === undefined || place.isWhiteout) {
      if (below !== undefined) yield { path: at, kind: "deleted", place: undefined };
      continue;
    }
    if (below === undefined) {
      yield { path: at, kind: "added", place };
      if (place.info.isDirectory()) yield* inside(kernel, place, [], at, whole);
      continue;
    }
    const bothDirectories = place.info.isDirectory() && below.top.info.isDirectory();
    if (!bothDirectories) {
      if (whole && same(place.info, below.top.info)) continue;
      yield { path: at, kind: "modified", place };
      if (place.info.isDirectory()) yield* inside(kernel, place, [], at, whole);
      continue;
    }
    yield* directory(kernel, place, await openMerged(kernel, below), at, level, below.top.info);
  }
}

/** A directory that was there before: itself a change when it differs, or when something in it does. */
async function* directory(
  kernel: Privileged,
  place: Place,
  lowers: readonly number[],
  path: string,
  level: Level,
  before: Stats,
): AsyncGenerator<Change> {
  try {
    let told = !same(place.info, before);
    if (told) yield { path, kind: "modified", place };
    for await (const change of inside(kernel, place, lowers, path, level.whole)) {
      if (!told) yield { path, kind: "modified", place };
      told = true;
      yield change;
    }
  } finally {
    closeAll(lowers);
  }
}

async function* inside(
  kernel: Privileged,
  place: Place,
  lowers: readonly number[],
  path: string,
  whole: boolean,
): AsyncGenerator<Change> {
  const upper = place.openDirectory();
  try {
    const opaque = !whole && lowers.length > 0 && (await isOpaque(kernel, upper));
    yield* changesOf(kernel, { upper, lowers, path, whole: whole || opaque });
  } finally {
    closeAll([upper]);
  }
}
