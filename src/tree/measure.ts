/**
 * Measuring trees: every entry below a directory, as `du` sees them, without keeping the process from its other work.
 */
import { closeSync, lstatSync, readSync, type Stats } from "node:fs";
import { errnoOf } from "../base/errors.ts";
import { namesIn, openRoot, type Place, placeIn } from "./walk.ts";

/** So many entries, and everybody else has a turn. */
const TURN = 500;
/** A directory that is deeper inside is counted, but not what is in it: each level holds a descriptor. */
const DEPTH_MAX = 500;
const SECTOR = 512;

/** Hears of an entry: its path below the root, without a leading slash; false: what is in it is not looked at. */
export type Visitor = (path: string, place: Place) => boolean | undefined | Promise<void>;

/** Something may be gone before it is looked at. */
function gone(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "ELOOP", "EACCES"].includes(errnoOf(error) ?? "");
}

/** Visits every entry below a directory, each directory before what is in it. What goes meanwhile is passed over. */
export async function visitTree(root: string, visit: Visitor): Promise<void> {
  let entries = 0;
  const walk = async (directory: number, path: string, depth: number): Promise<void> => {
    for (const name of namesIn([directory])) {
      if (++entries % TURN === 0) await new Promise(setImmediate);
      const place = placeIn(directory, name);
      if (place === undefined) continue;
      const inner = path === "" ? name : `${path}/${name}`;
      const answer = visit(inner, place);
      const deeper = answer instanceof Promise ? await answer : answer;
      if (deeper === false || !place.info.isDirectory() || depth >= DEPTH_MAX) continue;
      await within(
        () => place.openDirectory(),
        (below) => walk(below, inner, depth + 1),
      );
    }
  };
  await within(
    () => openRoot(root),
    (directory) => walk(directory, "", 0),
  );
}

async function within(open: () => number, work: (directory: number) => Promise<void>) {
  let directory: number;
  try {
    directory = open();
  } catch (error) {
    if (gone(error)) return;
    throw error;
  }
  try {
    await work(directory);
  } finally {
    closeSync(directory);
  }
}

/** Bytes that files take on the disk, each once however many names it has. */
export class DiskMeter {
  private readonly seen = new Set<string>();

  /** The bytes of an entry; 0 for another name of one that has been counted. */
  bytesOf(
    info: Pick<Stats, "dev" | "ino" | "nlink" | "blocks"> & { isDirectory(): boolean },
  ): number {
    if (info.nlink > 1 && !info.isDirectory()) {
      const key = `${info.dev}:${info.ino}`;
      if (this.seen.has(key)) return 0;
      this.seen.add(key);
    }
    return info.blocks * SECTOR;
  }
}

/** What trees and files take on the disk together, themselves included: the same as `du -sc --block-size=1`. */
export async function diskBytes(paths: readonly string[]): Promise<number> {
  const meter = new DiskMeter();
  let bytes = 0;
  for (const path of paths) {
    const info = lstatSync(path, { throwIfNoEntry: false });
    if (info === undefined) continue;
    bytes += meter.bytesOf(info);
    await visitTree(path, (_path, { info }) => {
      bytes += meter.bytesOf(info);
      return true;
    });
  }
  return bytes;
}

const CHUNK = 1 << 20;

/** The digest of a regular file's content, in hexadecimal digits. A large one leaves others their turns. */
export async function contentDigest(place: Place): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  const fd = place.open();
  try {
    const chunk = new Uint8Array(CHUNK);
    for (let at = 0; ; ) {
      const length = readSync(fd, chunk, 0, CHUNK, at);
      if (length === 0) return hash.digest("hex");
      hash.update(chunk.subarray(0, length));
      at += length;
      if (length === CHUNK) await new Promise(setImmediate);
    }
  } finally {
    closeSync(fd);
  }
}
