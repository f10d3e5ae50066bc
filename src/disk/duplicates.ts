/**
 * Which contents lie in unpacked layers more than once, file by file: what sharing them would save. Reads everything that has
 * another of its size, so it is only done when somebody asks.
 */
import { errnoOf } from "../base/errors.ts";
import { contentDigest, type Place, visitTree } from "../tree/index.ts";
import type { DiskParts } from "./parts.ts";

/** So many of the worst are told of. */
const TOLD_MAX = 20;
/** So many places of each. */
const PLACES_MAX = 5;

/** A content that is there more than once. */
export interface Duplicate {
  /** Bytes of one of them. */
  readonly Size: number;
  readonly Count: number;
  /** Bytes of all but one. */
  readonly Wasted: number;
  /** Some of them: the layer and the path in it. */
  readonly Places: readonly { readonly Layer: string; readonly Path: string }[];
}

/** The report. */
export interface DuplicateReport {
  /** Files with content in all layers, and their bytes; hard links count once. */
  readonly Files: number;
  readonly Bytes: number;
  /** Bytes that are there already in another file. */
  readonly Wasted: number;
  /** Those that waste most. */
  readonly Worst: readonly Duplicate[];
}

interface Found {
  readonly size: number;
  count: number;
  readonly places: { Layer: string; Path: string }[];
}

/** Every file with content in every layer that is in use, hard links once. */
async function eachFile(
  { driver }: DiskParts,
  layers: Iterable<string>,
  visit: (layer: string, path: string, place: Place) => Promise<void>,
): Promise<void> {
  for (const layer of layers) {
    const seen = new Set<number>();
    const [directory] = driver.layerDirectories([layer]);
    if (directory === undefined || !driver.hasLayer(layer)) continue;
    await visitTree(directory, (path, place) => {
      const { info } = place;
      if (!info.isFile() || info.size === 0 || seen.has(info.ino)) return true;
      if (info.nlink > 1) seen.add(info.ino);
      return visit(layer, path, place);
    });
  }
}

/** Finds out. Rejects when the signal says so. */
export async function findDuplicates(
  parts: DiskParts,
  signal: AbortSignal,
): Promise<DuplicateReport> {
  const layers = new Set(parts.images.list().flatMap(({ chain }) => chain));
  const sizes = new Map<number, number>();
  let [Files, Bytes] = [0, 0];
  await eachFile(parts, layers, async (_layer, _path, { info: { size } }) => {
    signal.throwIfAborted();
    Files++;
    Bytes += size;
    sizes.set(size, (sizes.get(size) ?? 0) + 1);
  });
  const contents = new Map<string, Found>();
  await eachFile(parts, layers, async (Layer, Path, place) => {
    signal.throwIfAborted();
    const { size } = place.info;
    if ((sizes.get(size) ?? 0) < 2) return;
    try {
      const digest = await contentDigest(place);
      const found = contents.get(digest) ?? { size, count: 0, places: [] };
      contents.set(digest, found);
      found.count++;
      if (found.places.length < PLACES_MAX) found.places.push({ Layer, Path });
    } catch (error) {
      // Its image has been removed meanwhile.
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  });
  const twice = [...contents.values()].filter(({ count }) => count > 1);
  const wasted = ({ size, count }: Found) => size * (count - 1);
  return {
    Files,
    Bytes,
    Wasted: twice.reduce((sum, one) => sum + wasted(one), 0),
    Worst: twice
      .sort((a, b) => wasted(b) - wasted(a))
      .slice(0, TOLD_MAX)
      .map((one) => ({
        Size: one.size,
        Count: one.count,
        Wasted: wasted(one),
        Places: one.places,
      })),
  };
}
