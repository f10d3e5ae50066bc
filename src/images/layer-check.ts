/**
 * Whether an unpacked layer is what its archive says: every entry there, of its kind, with its rights and its content, and
 * nothing besides.
 */
import { readlinkSync } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { errnoOf } from "../base/errors.ts";
import { type TarEntry, TarReader } from "../base/tar.ts";
import { type ArchiveFiles, contentDigest, type Place, visitTree } from "../tree/index.ts";

const WHITEOUT = ".wh.";
/** A layer that is all wrong need not be told of file by file. */
const TOLD_MAX = 5;

interface Expected {
  readonly entry: TarEntry;
  /** Of a file's content. */
  readonly digest: string | undefined;
}

async function dataDigest(reader: TarReader): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const piece of reader.data()) hash.update(piece);
  return hash.digest("hex");
}

/** What an archive leaves behind, by the places that its paths lead to in the unpacked layer. */
async function expectations(
  tar: ByteStream,
  files: ArchiveFiles,
): Promise<{ readonly expected: Map<string, Expected>; readonly missing: string[] }> {
  const expected = new Map<string, Expected>();
  const missing: string[] = [];
  const reader = new TarReader(tar);
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    const digest = entry.type === "file" ? await dataDigest(reader) : undefined;
    const place = files.placeOf(entry.path);
    if (place === undefined) missing.push(entry.path);
    else if (place.name.startsWith(WHITEOUT)) {
      // What it takes away may have come with the same archive.
      const gone = `${place.parent}${place.name.slice(WHITEOUT.length)}`;
      const before = expected.get(gone);
      expected.delete(gone);
      if (before?.entry.type !== "directory") continue;
      for (const path of expected.keys()) if (path.startsWith(`${gone}/`)) expected.delete(path);
    } else if (place.name !== "") expected.set(`${place.parent}${place.name}`, { entry, digest });
  }
  await reader.drain();
  return { expected, missing };
}

/** How an entry differs from its place; undefined when it does not. */
async function difference({ entry, digest }: Expected, place: Place): Promise<string | undefined> {
  const { info } = place;
  if (entry.type === "hardlink") return info.isDirectory() ? "is a directory" : undefined;
  const kinds = {
    file: info.isFile(),
    directory: info.isDirectory(),
    symlink: info.isSymbolicLink(),
    char: info.isCharacterDevice(),
    block: info.isBlockDevice(),
    fifo: info.isFIFO(),
  };
  if (!kinds[entry.type]) return `is no ${entry.type}`;
  if (info.uid !== entry.uid || info.gid !== entry.gid)
    return `belongs to ${info.uid}:${info.gid} instead of ${entry.uid}:${entry.gid}`;
  if (entry.type === "symlink")
    return readlinkSync(place.path) === entry.linkPath ? undefined : "leads elsewhere";
  if ((info.mode & 0o7777) !== entry.mode)
    return `has the mode ${(info.mode & 0o7777).toString(8)} instead of ${entry.mode.toString(8)}`;
  if (entry.type !== "file") return undefined;
  if (info.size !== entry.size) return `has ${info.size} bytes instead of ${entry.size}`;
  return (await contentDigest(place)) === digest ? undefined : "has another content";
}

/**
 * What is wrong with an unpacked layer, in words; empty when nothing is. `whole`: the directory has what is below the layer
 * too, so that more than the archive's entries is right.
 */
export async function checkLayer(
  tar: ByteStream,
  files: ArchiveFiles,
  whole: boolean,
): Promise<string[]> {
  const { expected, missing } = await expectations(tar, files);
  const wrong = missing.map((path) => `${JSON.stringify(path)} is missing`);
  const compare = async (path: string, wanted: Expected, place: Place): Promise<void> => {
    try {
      const why = await difference(wanted, place);
      if (why !== undefined) wrong.push(`${JSON.stringify(path)} ${why}`);
    } catch (error) {
      wrong.push(`${JSON.stringify(path)} cannot be read (${errnoOf(error) ?? "unknown"})`);
    }
  };
  const parents = new Set<string>();
  const seen = new Set<string>();
  const extra: string[] = [];
  for (const path of expected.keys())
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1))
      parents.add(path.slice(0, at));
  await visitTree(files.path, (path, place) => {
    const wanted = expected.get(path);
    if (wanted === undefined) {
      if (!whole && !place.isWhiteout && !parents.has(path)) extra.push(path);
      return true;
    }
    seen.add(path);
    return compare(path, wanted, place);
  });
  for (const path of expected.keys())
    if (!seen.has(path)) wrong.push(`${JSON.stringify(path)} is missing`);
  for (const path of extra) wrong.push(`${JSON.stringify(path)} is not from the archive`);
  const told = wrong.slice(0, TOLD_MAX);
  return wrong.length > TOLD_MAX ? [...told, `${wrong.length - TOLD_MAX} more`] : told;
}
