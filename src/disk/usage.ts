/**
 * What the data root takes on the disk, by what it is for; together it is what `du` says.
 */
import { lstatSync } from "node:fs";
import { DiskMeter, visitTree } from "../tree/index.ts";
import { mountPoints } from "../volumes/index.ts";
import type { DiskParts } from "./parts.ts";
import { type DataKind, type DataPlace, dataKinds, placeOf } from "./places.ts";

/** One kind of what takes room. */
export interface DiskPart {
  readonly Kind: DataKind;
  /** How many there are: layers, blobs, containers, volumes; files, where nothing owns them. */
  readonly Count: number;
  /** Bytes on the disk. */
  readonly Bytes: number;
  /** Bytes of those that no record explains: `berth system check` says more. */
  readonly Orphaned: number;
}

/** The whole data root. */
export interface DataRootUsage {
  readonly Path: string;
  readonly Bytes: number;
  readonly Parts: readonly DiskPart[];
  /** Blobs that were to be dropped, and cannot be rebuilt: they stay. */
  readonly KeptBlobs: readonly { readonly Digest: string; readonly Why: string }[];
}

/** Says whether a record explains a place. */
export function explainer(parts: DiskParts): (place: DataPlace) => boolean {
  const { images, registry, volumes } = parts;
  const blobs = images.upkeep.neededBlobs();
  const layers = new Set([
    ...parts.imageUsers().chains,
    ...images.list().flatMap(({ chain }) => chain),
  ]);
  const known = new Set(volumes.list().map(({ name }) => name));
  return ({ kind, owner = "" }) => {
    switch (kind) {
      case "downloads":
        // What has no digest for a name is being written just now, by this daemon.
        return owner.startsWith(`${process.pid}-`) || blobs.has(owner);
      case "blobs":
      case "recipes":
        return blobs.has(owner) || images.upkeep.isHeld(owner);
      case "layers":
        return layers.has(owner) || images.upkeep.isHeld(owner);
      case "writable":
      case "container-files":
      case "logs":
        return registry.find(owner) !== undefined || parts.builds().has(owner);
      case "volumes":
        return known.has(owner);
      default:
        return kind !== "unknown";
    }
  };
}

/** Measures the data root. */
export async function dataRootUsage(parts: DiskParts): Promise<DataRootUsage> {
  const isExplained = explainer(parts);
  const meter = new DiskMeter();
  const sums = new Map(
    dataKinds.map((kind) => [kind, { owners: new Set<string>(), Bytes: 0, Orphaned: 0 }]),
  );
  const add = (path: string, bytes: number) => {
    const place = placeOf(path, parts.driver.name);
    const sum = sums.get(place.kind);
    if (sum === undefined) return;
    sum.owners.add(place.owner ?? path);
    sum.Bytes += bytes;
    if (!isExplained(place)) sum.Orphaned += bytes;
  };
  add("content", meter.bytesOf(lstatSync(parts.dataRoot)));
  const mounted = new Set(mountPoints());
  await visitTree(parts.dataRoot, (path, { info }) => {
    // What is mounted below is on no disk of ours, or elsewhere on it.
    if (mounted.has(`${parts.dataRoot}/${path}`)) return false;
    add(path, meter.bytesOf(info));
    return true;
  });
  const Parts = Array.from(sums, ([Kind, { owners, Bytes, Orphaned }]) => ({
    Kind,
    Count: owners.size,
    Bytes,
    Orphaned,
  }));
  return {
    Path: parts.dataRoot,
    Bytes: Parts.reduce((sum, { Bytes }) => sum + Bytes, 0),
    Parts,
    KeptBlobs: parts.images.upkeep.keptBlobs().map(({ digest, why }) => ({
      Digest: digest,
      Why: why,
    })),
  };
}
