/**
 * A container's files and changes as archives.
 */
import type { ByteStream } from "../base/compression.ts";
import type { TarEntry } from "../base/tar.ts";
import { tarEnd } from "../base/tar-writer.ts";
import { Packer, type Privileged, walkMerged } from "../tree/index.ts";
import type { Change } from "./changes.ts";
import type { Found } from "./view.ts";

/** An archive of what a path means, under another name. */
export async function* packFound(kernel: Privileged, found: Found, name: string): ByteStream {
  const packer = new Packer(kernel);
  const prefix = name === "/" ? "/" : `${name}/`;
  if (found.place !== undefined) yield* packer.entry(name, found.place);
  for await (const { path, place } of walkMerged(kernel, found.directories, found.mounts))
    yield* packer.entry(`${prefix}${path}`, place);
  yield tarEnd();
}

/** What changes have left there, below a directory of an archive ("" is its root), without the archive's end: others may follow. */
export async function* packPlaces(
  kernel: Privileged,
  changes: AsyncIterable<Change>,
  prefix: string,
  change?: (entry: TarEntry) => TarEntry,
): ByteStream {
  const packer = new Packer(kernel, false, change);
  for await (const { path, place } of changes)
    if (place !== undefined) yield* packer.entry(`${prefix}${path}`, place);
}

/** An archive of changes as a layer of an image (OCI image-spec, layer.md). `change`: what entries say instead. */
export async function* packChanges(
  kernel: Privileged,
  changes: AsyncIterable<Change>,
  exactTimes = false,
  change?: (entry: TarEntry) => TarEntry,
): ByteStream {
  const packer = new Packer(kernel, exactTimes, change);
  for await (const { path, place } of changes) {
    if (place !== undefined) yield* packer.entry(path, place);
    else {
      const slash = path.lastIndexOf("/") + 1;
      yield packer.mark(`${path.slice(0, slash)}.wh.${path.slice(slash)}`);
    }
  }
  yield tarEnd();
}
