/**
 * An image as the suite compares it: its configuration, its history and the files that it changes, read from what
 * `GET /images/NAME/get` gives.
 */
import { posix } from "node:path";
import { type ByteStream, decompress } from "../../src/base/compression.ts";
import { type TarEntry, TarReader } from "../../src/base/tar.ts";
import { tarEnd, tarHeader, tarPadding } from "../../src/base/tar-writer.ts";
import type { ContextFile, Files } from "./case.ts";

/** Files by their paths, each described in one line. */
export type Tree = Map<string, string>;

/** What a build gave. */
export interface Outcome {
  readonly config: Readonly<Record<string, unknown>>;
  readonly history: readonly string[];
  readonly tree: Tree;
  /** Of the entries of its layers; seconds since 1970. */
  readonly times: ReadonlyMap<string, number>;
}

interface Document {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly history?: readonly { readonly created_by?: string }[];
}

async function* once(bytes: Uint8Array): ByteStream {
  yield bytes;
}

async function bytesOf(stream: ByteStream): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** The files of an archive by their paths. */
async function members(archive: Uint8Array): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  const reader = new TarReader(once(archive));
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    if (entry.type === "file") found.set(entry.path, await bytesOf(reader.data()));
    // Older archives have a layer that two images share once, and a link to it.
    if (entry.type === "symlink") {
      const target = posix.join(posix.dirname(entry.path), entry.linkPath);
      const known = found.get(target);
      if (known !== undefined) found.set(entry.path, known);
    }
  }
  return found;
}

function shown(content: Uint8Array): string {
  const text = Buffer.from(content).toString("latin1");
  if (text.length <= 200) return text;
  return `sha256:${new Bun.CryptoHasher("sha256").update(content).digest("hex")}`;
}

function describe(entry: TarEntry, content: Uint8Array): string {
  if (entry.type === "symlink") return `-> ${entry.linkPath}`;
  if (entry.type === "hardlink") return `= ${posix.normalize(entry.linkPath)}`;
  const xattrs = [...entry.xattrs]
    .map(([name, value]) => ` ${name}=${Buffer.from(value).toString("latin1")}`)
    .sort();
  const what = { directory: "/", file: shown(content) }[entry.type as string] ?? entry.type;
  const mode = (entry.mode & 0o7777).toString(8);
  return `${mode} ${entry.uid}:${entry.gid}${xattrs.join("")} ${what}`;
}

async function applyLayer(
  tree: Tree,
  times: Map<string, number>,
  layer: Uint8Array,
): Promise<void> {
  const reader = new TarReader(await decompress(once(layer)));
  const remove = (path: string) => {
    for (const one of tree.keys()) if (one === path || one.startsWith(`${path}/`)) tree.delete(one);
  };
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    const path = posix.normalize(entry.path).replace(/^\/+|\/+$/g, "");
    const name = posix.basename(path);
    const content = entry.type === "file" ? await bytesOf(reader.data()) : new Uint8Array();
    if (name === ".wh..wh..opq") {
      const inside = `${posix.dirname(path)}/`;
      for (const one of tree.keys()) if (one.startsWith(inside)) tree.delete(one);
    } else if (name.startsWith(".wh.")) remove(posix.join(posix.dirname(path), name.slice(4)));
    else if (path !== "." && path !== "") {
      if (entry.type !== "directory" && tree.has(path)) remove(path);
      tree.set(path, describe(entry, content));
      times.set(path, entry.mtime);
    }
  }
}

/** Reads a saved image. */
export async function readImage(archive: Uint8Array): Promise<Outcome> {
  const files = await members(archive);
  const read = (path: string) => files.get(path) ?? new Uint8Array();
  const parsed = (path: string): unknown => JSON.parse(new TextDecoder().decode(read(path)));
  const [manifest] = parsed("manifest.json") as { Config: string; Layers: string[] | null }[];
  const { config = {}, history = [] } = parsed(manifest?.Config ?? "") as Document;
  const tree: Tree = new Map();
  const times = new Map<string, number>();
  for (const path of manifest?.Layers ?? []) await applyLayer(tree, times, read(path));
  return { config, history: history.map((entry) => entry.created_by ?? ""), tree, times };
}

/** What is not as it was in the base. */
export function changesOf(base: Tree, tree: Tree): Record<string, string> {
  const changes: Record<string, string> = {};
  for (const [path, line] of tree) if (base.get(path) !== line) changes[path] = line;
  for (const path of base.keys()) if (!tree.has(path)) changes[path] = "gone";
  return changes;
}

function entryOf(path: string, file: Exclude<ContextFile, string>, size: number): TarEntry {
  const { type = "file", mtime = 1_500_000_000, link = "", uid = 0, xattrs = {} } = file;
  return {
    path,
    type,
    mode: file.mode ?? (type === "directory" ? 0o755 : 0o644),
    uid,
    gid: uid,
    size,
    mtime,
    linkPath: link,
    major: 0,
    minor: 0,
    xattrs: new Map(
      Object.entries(xattrs).map(([name, value]) => [name, new TextEncoder().encode(value)]),
    ),
  };
}

/** Files as an archive. */
export function archiveOf(files: Files): Buffer {
  const pieces = Object.entries(files).flatMap(([path, given]) => {
    const file = typeof given === "string" ? { content: given } : given;
    const content = Buffer.from(file.content ?? "");
    return [tarHeader(entryOf(path, file, content.length)), content, tarPadding(content.length)];
  });
  return Buffer.concat([...pieces, tarEnd()]);
}
