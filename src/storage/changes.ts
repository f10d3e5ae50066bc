/**
 * What a container has changed: its writable directory beside the layers below.
 */
import { existsSync, readSync } from "node:fs";
import type { Privileged } from "../tree/index.ts";
import {
  closeAll,
  isOpaque,
  mergedIn,
  namesIn,
  openMerged,
  openRoot,
  type Place,
  placeIn,
} from "../tree/index.ts";

const PIECE = 1 << 20;

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
  readonly same: Sameness;
}

/** How it is told that something has not changed. */
export type SamenessName = "attributes" | "snapshots" | "content";

/** What tells changes, as plain data: a thread shares no objects. `whole`: `upper` is everything, not only the difference. */
export interface Comparison {
  readonly upper: string;
  /** The uppermost first. */
  readonly lowers: readonly string[];
  readonly whole: boolean;
  readonly same: SamenessName;
}

/** Whether what is there now is what was there before. */
export type Sameness = (now: Place, before: Place) => boolean | Promise<boolean>;

/** By what is said of it: whoever changes a file and gives it its old time and size is not noticed. */
function sameByAttributes(now: Place, before: Place): boolean {
  const [a, b] = [now.info, before.info];
  const always = a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.rdev === b.rdev;
  return always && a.mtimeMs === b.mtimeMs && (a.isDirectory() || a.size === b.size);
}

/** In snapshots nothing but a change gives a file another inode or time of change. */
function sameInSnapshots(now: Place, before: Place): boolean {
  return now.info.ino === before.info.ino && now.info.ctimeMs === before.info.ctimeMs;
}

/** By everything that a copy has to bring along. */
export function sameByContent(kernel: Privileged): Sameness {
  return async (now, before) => {
    if (!sameByAttributes(now, before)) return false;
    if (now.info.isSymbolicLink() && now.readLink() !== before.readLink()) return false;
    const [a, b] = await Promise.all(
      [now, before].map(async ({ pathForOthers }) => [...(await kernel.xattrs(pathForOthers))]),
    );
    if (!Bun.deepEquals(a, b)) return false;
    return !now.info.isFile() || sameBytes(now, before);
  };
}

function sameBytes(now: Place, before: Place): boolean {
  const open: number[] = [];
  try {
    for (const place of [now, before]) open.push(place.open());
    const [a = -1, b = -1] = open;
    const pieces = [Buffer.alloc(PIECE), Buffer.alloc(PIECE)] as const;
    for (;;) {
      const [length, other] = [readSync(a, pieces[0]), readSync(b, pieces[1])];
      if (length !== other || pieces[0].compare(pieces[1], 0, other, 0, length) !== 0) return false;
      if (length === 0) return true;
    }
  } finally {
    closeAll(open);
  }
}

function samenessOf(kernel: Privileged, name: SamenessName): Sameness {
  if (name === "content") return sameByContent(kernel);
  return name === "snapshots" ? sameInSnapshots : sameByAttributes;
}

/** The changes that a comparison tells, in order. */
export async function* changesIn(
  kernel: Privileged,
  { upper, lowers, whole, same }: Comparison,
): AsyncGenerator<Change> {
  const open: number[] = [];
  try {
    for (const path of [upper, ...lowers]) if (existsSync(path)) open.push(openRoot(path));
    const [first, ...rest] = open;
    if (first === undefined) return;
    const level = { upper: first, lowers: rest, path: "", whole, same: samenessOf(kernel, same) };
    yield* changesOf(kernel, level);
  } finally {
    closeAll(open);
  }
}

/** The changes of a directory and below it, in order; a directory comes before what is in it when something in it changed. */
async function* changesOf(kernel: Privileged, level: Level): AsyncGenerator<Change> {
  const { upper, lowers, path, whole, same } = level;
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
      if (place.info.isDirectory())
        yield* inside(kernel, place, { ...level, lowers: [], path: at });
      continue;
    }
    const bothDirectories = place.info.isDirectory() && below.top.info.isDirectory();
    if (!bothDirectories) {
      if (whole && (await same(place, below.top))) continue;
      yield { path: at, kind: "modified", place };
      if (place.info.isDirectory())
        yield* inside(kernel, place, { ...level, lowers: [], path: at });
      continue;
    }
    const lower = await openMerged(kernel, below);
    yield* directory(kernel, place, { ...level, lowers: lower, path: at }, below.top);
  }
}

/** A directory that was there before: itself a change when it differs, or when something in it does. Closes the lowers. */
async function* directory(
  kernel: Privileged,
  place: Place,
  level: Omit<Level, "upper">,
  before: Place,
): AsyncGenerator<Change> {
  const { path } = level;
  try {
    let told = !(await level.same(place, before));
    if (told) yield { path, kind: "modified", place };
    for await (const change of inside(kernel, place, level)) {
      if (!told) yield { path, kind: "modified", place };
      told = true;
      yield change;
    }
  } finally {
    closeAll(level.lowers);
  }
}

async function* inside(
  kernel: Privileged,
  place: Place,
  level: Omit<Level, "upper">,
): AsyncGenerator<Change> {
  const upper = place.openDirectory();
  try {
    const opaque = !level.whole && level.lowers.length > 0 && (await isOpaque(kernel, upper));
    yield* changesOf(kernel, { ...level, upper, whole: level.whole || opaque });
  } finally {
    closeAll([upper]);
  }
}
