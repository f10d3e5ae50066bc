/**
 * A layer's archive as an EROFS image: in one pass, without a file or directory being made for any entry. What the archive
 * says of paths means what it would on a disk: links are followed inside the layer, a later entry takes an earlier one's
 * place, and whiteouts become the marks of the overlay.
 */
import { closeSync, openSync } from "node:fs";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import type { TarEntry, TarReader } from "../base/tar.ts";
import { components, namesOf } from "../tree/index.ts";
import { type Attributes, type DirectoryEntry, ErofsWriter } from "./erofs-image.ts";

const MAX_LINKS = 40;
const MAX_PATH = 4096;
const MAX_NAME = 255;
const ID_MAX = 0xffffffff;
const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const OPAQUE_MARK = "trusted.overlay.opaque";
const S_IFDIR = 0o040000;
const kinds = {
  file: 0o100000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
} as const;

/** A file, link or device that has been written; its names count. */
interface Leaf {
  readonly nid: number;
  readonly mode: number;
  names: number;
  /** Where a symbolic link leads. */
  readonly target: string | undefined;
  /** It takes away what is below. */
  readonly whiteout?: boolean;
}

interface Directory {
  about: Attributes;
  opaque: boolean;
  readonly children: Map<string, Node>;
}

type Node = Leaf | Directory;

function isDirectory(node: Node): node is Directory {
  return "children" in node;
}

function newDirectory(): Directory {
  const about = { mode: S_IFDIR | 0o755, uid: 0, gid: 0, mtime: 0, xattrs: new Map() };
  return { about, opaque: false, children: new Map() };
}

function refuse(entry: TarEntry, why: string): Error {
  return fault(
    "invalid",
    "archive-entry",
    `archive entry ${JSON.stringify(entry.path)} is refused: ${why}`,
  );
}

/** What no file system would take. */
function checkEntry(entry: TarEntry): void {
  const { path, linkPath, uid, gid } = entry;
  const isLong = path.length > MAX_PATH || Buffer.byteLength(linkPath) >= MAX_PATH;
  if (isLong || path.includes("\0") || linkPath.includes("\0"))
    throw refuse(entry, "its name is too long or has a NUL byte");
  if (Math.max(uid, gid) > ID_MAX) throw refuse(entry, "its owner has an impossible number");
}

function attributesOf(entry: TarEntry, kind: number): Attributes {
  const { uid, gid, mtime } = entry;
  // The engine's own marks are never taken from an archive.
  const xattrs = new Map([...entry.xattrs].filter(([name]) => !name.startsWith("trusted.")));
  return { mode: kind | (entry.mode & 0o7777), uid, gid, mtime, xattrs };
}

/** The tree that an archive describes; contents go to the image at once. */
class LayerTree {
  private readonly root = newDirectory();
  /** Files with several names: how many is known at the end. */
  private readonly shared = new Set<Leaf>();
  /** Bytes of file content. */
  size = 0;

  constructor(private readonly image: ErofsWriter) {}

  async add(entry: TarEntry, reader: TarReader): Promise<void> {
    checkEntry(entry);
    const { path } = entry;
    const names = components(path);
    const name = names.pop();
    if (name === undefined) {
      if (entry.type === "directory") {
        const { mode } = attributesOf(entry, S_IFDIR);
        this.root.about = { ...this.root.about, mode };
      }
      return;
    }
    if (Buffer.byteLength(name) > MAX_NAME) throw refuse(entry, "its name is too long");
    const parent = this.directory(entry, names, true);
    if (name === OPAQUE) parent.opaque = true;
    else if (name.startsWith(WHITEOUT)) this.whiteout(entry, parent, name.slice(WHITEOUT.length));
    else await this.make(entry, parent, name, reader);
  }

  /** The directory that names lead to; links are followed, and never above the root. */
  private directory(entry: TarEntry, names: readonly string[], make: boolean): Directory {
    const rest = [...names];
    const trail: Directory[] = [];
    let at = this.root;
    for (let links = 0; rest.length > 0; ) {
      const name = rest.shift() ?? "";
      if (name === "..") {
        at = trail.pop() ?? this.root;
        continue;
      }
      let next = at.children.get(name);
      if (next === undefined) {
        if (!make) throw refuse(entry, `${JSON.stringify(name)} is not in the archive`);
        if (Buffer.byteLength(name) > MAX_NAME) throw refuse(entry, "its name is too long");
        next = newDirectory();
        at.children.set(name, next);
      }
      if (isDirectory(next)) {
        trail.push(at);
        at = next;
        continue;
      }
      if (next.target === undefined) throw refuse(entry, `${JSON.stringify(name)} is no directory`);
      if (++links > MAX_LINKS) throw refuse(entry, "too many levels of symbolic links");
      if (next.target.startsWith("/")) {
        at = this.root;
        trail.length = 0;
      }
      rest.unshift(...namesOf(next.target));
    }
    return at;
  }

  private async make(
    entry: TarEntry,
    parent: Directory,
    name: string,
    reader: TarReader,
  ): Promise<void> {
    if (entry.type === "directory") {
      const before = parent.children.get(name);
      const directory = before !== undefined && isDirectory(before) ? before : newDirectory();
      if (directory !== before) this.forget(parent, name);
      // A directory in the place of what this layer has taken away has nothing of what was below.
      if (before !== undefined && !isDirectory(before) && before.whiteout) directory.opaque = true;
      directory.about = attributesOf(entry, S_IFDIR);
      parent.children.set(name, directory);
      return;
    }
    // What was there goes first: a link to itself is a link to nothing.
    this.forget(parent, name);
    const leaf = entry.type === "hardlink" ? this.linked(entry) : await this.leaf(entry, reader);
    leaf.names++;
    if (leaf.names > 1) this.shared.add(leaf);
    parent.children.set(name, leaf);
  }

  private async leaf(entry: TarEntry, reader: TarReader): Promise<Leaf> {
    if (entry.type === "directory" || entry.type === "hardlink") throw refuse(entry, entry.type);
    const about = attributesOf(entry, kinds[entry.type]);
    const { mode } = about;
    if (entry.type === "file") {
      const nid = await this.file(entry, about, reader);
      return { nid, mode, names: 0, target: undefined };
    }
    if (entry.type === "symlink") {
      if (entry.linkPath === "") throw refuse(entry, "it links to nothing");
      // The permissions of a link mean nothing, and are the same everywhere.
      // As Docker counts: what a link says is its content.
      this.size += Buffer.byteLength(entry.linkPath);
      const nid = this.image.link({ ...about, mode: kinds.symlink | 0o777 }, entry.linkPath);
      return { nid, mode, names: 0, target: entry.linkPath };
    }
    const nid = this.image.node(about, entry.major, entry.minor);
    return { nid, mode, names: 0, target: undefined };
  }

  private async file(entry: TarEntry, about: Attributes, reader: TarReader): Promise<number> {
    const sink = this.image.file(entry.size);
    for (let piece = reader.ready(); piece !== undefined; piece = reader.ready()) sink.write(piece);
    // Holes stay holes, in the image's file too: nobody fills a disk by naming a size.
    if (entry.sparse === undefined) for await (const piece of reader.data()) sink.write(piece);
    else for await (const { offset, piece } of reader.pieces()) sink.write(piece, offset);
    this.size += entry.size;
    return sink.end(about);
  }

  private linked(entry: TarEntry): Leaf {
    const names = components(entry.linkPath);
    const name = names.pop();
    if (name === undefined) throw refuse(entry, "it links to nothing");
    const target = this.directory(entry, names, false).children.get(name);
    if (target === undefined)
      throw refuse(entry, `its target ${JSON.stringify(entry.linkPath)} is not in the archive`);
    if (isDirectory(target)) throw refuse(entry, "it links to a directory");
    return target;
  }

  private whiteout(entry: TarEntry, parent: Directory, name: string): void {
    if (name === "" || name === "." || name === "..") throw refuse(entry, "it takes away nothing");
    this.forget(parent, name);
    const about = { mode: kinds.char, uid: 0, gid: 0, mtime: 0, xattrs: new Map() };
    const mark = { nid: this.image.node(about, 0, 0), mode: kinds.char, target: undefined };
    parent.children.set(name, { ...mark, names: 1, whiteout: true });
  }

  /** Takes a name away, and everything below it. */
  private forget(parent: Directory, name: string): void {
    const node = parent.children.get(name);
    parent.children.delete(name);
    if (node === undefined) return;
    if (!isDirectory(node)) node.names--;
    else for (const below of [...node.children.keys()]) this.forget(node, below);
  }

  /** Writes the directories, and with them the whole image. */
  finish(): void {
    for (const { nid, names } of this.shared) if (names > 0) this.image.setLinks(nid, names);
    const inside = (directory: Directory, nid: number): DirectoryEntry[] =>
      Array.from(directory.children, ([name, node]) => {
        if (!isDirectory(node)) return { name, nid: node.nid, mode: node.mode };
        const below = (own: number) => inside(node, own);
        return { name, mode: S_IFDIR, nid: this.image.directory(marked(node), nid, below) };
      });
    this.image.finish(marked(this.root), (nid) => inside(this.root, nid));
  }
}

function marked({ about, opaque }: Directory): Attributes {
  if (!opaque) return about;
  const mark = new TextEncoder().encode("y");
  return { ...about, xattrs: new Map([...about.xattrs, [OPAQUE_MARK, mark]]) };
}

/** Says which entry it was that the disk did not take. */
async function telling(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw fault(
      "failed",
      "layer-write",
      `cannot unpack ${JSON.stringify(path)}: ${messageOf(error)}`,
      error,
    );
  }
}

/** Writes a layer's archive as an image to a new file; gives the bytes of its files' contents. */
export async function writeErofsLayer(reader: TarReader, path: string): Promise<number> {
  const fd = openSync(path, "wx", 0o600);
  try {
    const tree = new LayerTree(new ErofsWriter(fd));
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next())
      await telling(entry.path, () => tree.add(entry, reader));
    await telling("", async () => tree.finish());
    return tree.size;
  } finally {
    closeSync(fd);
  }
}
