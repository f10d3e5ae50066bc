/**
 * The files of a kept context (kept-contexts.ts): compared with a client's list, and brought up to date with what it sends.
 */
import { closeSync, futimesSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path/posix";
import { type ByteStream, decompress } from "../base/compression.ts";
import { errnoOf, fault } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import {
  changedFiles,
  isDirectoryMode,
  LIST_ENTRY,
  LIST_MAX,
  type ListedFile,
  parseContextList,
  sameType,
} from "../spec/context-list.ts";
import { Extractor, openRoot, type Privileged, placeIn, TargetTree } from "../tree/index.ts";

/** What is to be brought up to date. */
export interface ContextUpdate {
  /** Where the files are. */
  readonly root: string;
  /** The list of what is there, and where the new one is to be written. */
  readonly before: string | undefined;
  readonly after: string;
  /** The file of digests. */
  readonly digests: string;
}

/** What is there now. */
export interface UpdatedContext {
  /** The digest of the list that was sent, if all is as it says and will be known again. */
  readonly list: string | undefined;
  /** Bytes on the disk, about. */
  readonly bytes: number;
}

const BLOCK = 4096;
/** Digests of files that are gone are forgotten when they are more than those that are there: bytes of one, and some to spare. */
const DIGEST_BYTES = 120;
const SPARE_DIGESTS = 1000;

function badList(): Error {
  return fault("invalid", "build-context", "invalid list of a context's files");
}

async function textOf(pieces: ByteStream): Promise<Buffer> {
  const all: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    length += piece.length;
    if (length > LIST_MAX)
      throw fault("invalid", "build-context", `a context's list is larger than ${LIST_MAX} bytes`);
    all.push(Uint8Array.from(piece));
  }
  return Buffer.concat(all, length);
}

/** A list that this daemon has written; nothing when it is gone. */
function readList(path: string | undefined): readonly ListedFile[] {
  if (path === undefined) return [];
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ListedFile[];
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Which files of a list that is sent are not as they are here; places in the list. */
export async function compareFiles(
  before: string | undefined,
  body: ByteStream,
): Promise<readonly number[]> {
  const listed = parseContextList((await textOf(body)).toString("utf8"));
  if (listed === undefined) throw badList();
  return changedFiles(readList(before), listed);
}

/** The list that an archive begins with, and its digest. */
async function listIn(reader: TarReader): Promise<{ listed: readonly ListedFile[]; sum: string }> {
  const entry = await reader.next();
  if (entry?.path !== LIST_ENTRY || entry.size > LIST_MAX)
    throw fault("invalid", "build-context", "a context that is kept begins with its list");
  const text = await textOf(reader.data());
  const listed = parseContextList(text.toString("utf8"));
  if (listed === undefined) throw badList();
  return { listed, sum: new Bun.CryptoHasher("sha256").update(text).digest("hex") };
}

/** Does something in the directory that a path is in, unless that is not there. */
function inParent(path: string, act: (parent: string) => void): void {
  const parent = dirname(path);
  try {
    act(parent === "." ? "" : parent);
  } catch (error) {
    if (!["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) throw error;
  }
}

const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** Takes away what is not in the list any more, and what comes anew. */
function removeOld(
  tree: TargetTree,
  before: readonly ListedFile[],
  now: readonly ListedFile[],
  changed: ReadonlySet<number>,
): void {
  const stays = new Map<string, ListedFile>();
  for (const [index, file] of now.entries())
    if (!changed.has(index) || isDirectoryMode(file[1])) stays.set(file[0], file);
  for (const [path, mode] of before.toReversed()) {
    const next = stays.get(path);
    if (next !== undefined && sameType(next[1], mode)) continue;
    inParent(path, (parent) => tree.remove(parent, nameOf(path)));
  }
}

/** The files that are there as the list says; directories get their times, which work in them has changed. */
function settle(
  tree: TargetTree,
  listed: readonly ListedFile[],
  changed: ReadonlySet<number>,
): ListedFile[] {
  const there: ListedFile[] = [];
  for (const [index, file] of listed.entries()) {
    const [path, mode, size, mtime] = file;
    if (!changed.has(index) && !isDirectoryMode(mode)) {
      there.push(file);
      continue;
    }
    inParent(path, (parent) => {
      const info = placeIn(tree.directory(parent), nameOf(path))?.info;
      if (info === undefined || !sameType(info.mode, mode)) return;
      if (info.isDirectory())
        futimesSync(tree.directory(path), Math.floor(mtime / 1000), Math.floor(mtime / 1000));
      // It changed while it was sent: it is asked for again.
      if (info.isFile() && info.size !== size) return;
      there.push(file);
    });
  }
  return there;
}

function forgetOldDigests(path: string, files: number): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > DIGEST_BYTES * (2 * files + SPARE_DIGESTS)) rmSync(path);
}

/** Makes files what a list says that an archive begins with; the rest of it is what of them has changed. */
export async function updateFiles(
  { root, before, after, digests }: ContextUpdate,
  archive: ByteStream,
  kernel: Privileged,
): Promise<UpdatedContext> {
  const reader = new TarReader(await decompress(archive));
  const { listed, sum } = await listIn(reader);
  const old = readList(before);
  const changed = new Set(changedFiles(old, listed));
  const descriptor = openRoot(root);
  const tree = new TargetTree(descriptor);
  try {
    removeOld(tree, old, listed, changed);
    const options = { whiteouts: "keep", owner: { uid: 0, gid: 0 } } as const;
    await new Extractor(tree, kernel, options).extract(reader);
    await reader.drain();
    const there = settle(tree, listed, changed);
    writeFileSync(after, JSON.stringify(there), { mode: 0o600 });
    forgetOldDigests(digests, there.length);
    const certain =
      there.length === listed.length && listed.every(([, , , , stamp]) => stamp !== "");
    const blocks = (size: number) => Math.max(1, Math.ceil(size / BLOCK)) * BLOCK;
    return {
      list: certain ? sum : undefined,
      bytes: there.reduce((total, [, , size]) => total + blocks(size), 0),
    };
  } finally {
    tree.close();
    closeSync(descriptor);
  }
}
