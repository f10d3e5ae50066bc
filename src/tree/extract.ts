/**
 * Unpacking an archive into a directory: a layer's into one that is its own, a user's into a container that may be running.
 * No link is followed out of the tree, and every path is walked component by component inside it.
 */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import { bytesOfName, systemPath } from "../base/names.ts";
import type { TarEntry, TarReader } from "../base/tar.ts";
import { hasOwner, inUserNamespace } from "../base/user-namespace.ts";
import { isOverlayMark, opaqueMarks } from "./overlay-marks.ts";
import { components, type Owner, TargetTree } from "./target.ts";
import { type Privileged, pathForOthers, pathIn, placeIn } from "./walk.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
/** O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC */
const NEW_FILE = 0o1 | 0o100 | 0o200 | 0o400000 | 0o2000000;
const MAX_PATH = 4096;

/** How an archive is taken. */
export interface ExtractOptions {
  /** What the archive's whiteouts become: marks of the overlay, removals, or files like any other. */
  readonly whiteouts: "overlay" | "apply" | "keep";
  /** The directory in the tree that the archive is unpacked into: a plain path as TargetTree.resolve gives it. */
  readonly base?: string;
  /** Owns everything, instead of whom the archive names. */
  readonly owner?: Owner | undefined;
  /** Whom an owner is written down as, where the tree is seen through a user namespace. */
  readonly onHost?: (owner: Owner) => Owner;
  /** What an entry's path, and the path that a hard link names, is to become. */
  readonly rename?: (path: string) => string;
  /** Refuse to put a directory in the place of something else, and the other way round. */
  readonly keepKinds?: boolean;
  /** Let the tree's root become what the archive says of it, whatever its whiteouts become. */
  readonly takeRoot?: boolean;
}

function refuse(entry: TarEntry, why: string): Error {
  return fault(
    "invalid",
    "archive-entry",
    `archive entry ${JSON.stringify(entry.path)} is refused: ${why}`,
  );
}

/** Seconds as futimes and its like take them: a number before 1970 would become the present. */
export function fileTime(seconds: number): number | Date {
  return seconds < 0 ? new Date(seconds * 1000) : seconds;
}

/** Writes what there is of a file with holes. */
async function writeSparse(fd: number, size: number, reader: TarReader): Promise<void> {
  ftruncateSync(fd, size);
  for await (const { offset, piece } of reader.pieces())
    for (let at = 0; at < piece.length; )
      at += writeSync(fd, piece, at, piece.length - at, offset + at);
}

/** Where an entry goes: an open directory and a name in it. */
interface Spot {
  readonly parent: string;
  readonly directory: number;
  readonly name: string;
}

/** Unpacks into one tree. */
export class Extractor {
  /** What directories are given once everything is in them. */
  private readonly directories = new Map<string, { mtime: number; mode: number | undefined }>();
  private readonly base: readonly string[];
  /** Bytes of file content. */
  size = 0;

  /** The tree stays the caller's. */
  constructor(
    private readonly tree: TargetTree,
    private readonly kernel: Privileged,
    private readonly options: ExtractOptions,
  ) {
    this.base = components(options.base ?? "");
  }

  /** Unpacks every entry. Throws a Fault "invalid" that names the entry when one is not to be unpacked. */
  async extract(reader: TarReader): Promise<void> {
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
      try {
        await this.add(entry, reader);
      } catch (error) {
        const code = errnoOf(error);
        if (error instanceof Error && "kind" in error) throw error;
        if (code === "ENOSPC" || code === "EDQUOT" || code === "EIO" || code === "EROFS")
          throw fault(
            "failed",
            "layer-write",
            `cannot unpack ${JSON.stringify(entry.path)}: ${messageOf(error)}`,
            error,
          );
        throw refuse(entry, messageOf(error));
      }
    }
    for (const [path, last] of [...this.directories].reverse()) this.finish(path, last);
  }

  private finish(path: string, last: { mtime: number; mode: number | undefined }): void {
    try {
      const time = fileTime(last.mtime);
      const directory = this.tree.directory(path);
      futimesSync(directory, time, time);
      if (last.mode !== undefined) fchmodSync(directory, last.mode);
    } catch (error) {
      // A later entry, or the container that is unpacked into, has replaced it.
      if (!["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) throw error;
    }
  }

  private ownerOf(entry: TarEntry): Owner {
    const { owner = entry, onHost } = this.options;
    const found = onHost === undefined ? owner : onHost(owner);
    if (hasOwner(found.uid, found.gid)) return found;
    throw refuse(
      entry,
      `its owner ${found.uid}:${found.gid} is beyond the ids that this daemon's user has in /etc/subuid and /etc/subgid`,
    );
  }

  private names(path: string): string[] {
    return components(this.options.rename?.(path) ?? path);
  }

  private async add(entry: TarEntry, reader: TarReader): Promise<void> {
    if (
      entry.path.includes("\0") ||
      entry.path.length > MAX_PATH ||
      entry.linkPath.length > MAX_PATH
    )
      throw refuse(entry, "its name is too long or has a NUL byte");
    const names = this.names(entry.path);
    const name = names.pop();
    if (name === undefined) {
      // A layer says what its root is like; what a user copies leaves the place as it is.
      const isRoot = entry.type === "directory";
      if (isRoot && this.options.whiteouts !== "keep")
        fchmodSync(this.tree.directory(this.base.join("/")), entry.mode);
      if (isRoot && this.options.takeRoot) {
        const { uid, gid } = this.ownerOf(entry);
        const root = this.tree.directory("");
        fchownSync(root, uid, gid);
        fchmodSync(root, entry.mode);
        this.directories.set("", { mtime: entry.mtime, mode: undefined });
      }
      return;
    }
    if (bytesOfName(name).length > 255) throw refuse(entry, "its name is too long");
    const parent = this.tree.resolve(this.base, names, true);
    const spot = { parent, directory: this.tree.directory(parent), name };
    if (this.options.whiteouts !== "keep") {
      if (name === OPAQUE) return this.opaque(spot);
      if (name.startsWith(WHITEOUT)) return this.whiteout(spot, entry);
    }
    // A directory in the place of what this layer has taken away has nothing of what was below.
    const hides =
      entry.type === "directory" &&
      this.options.whiteouts === "overlay" &&
      placeIn(spot.directory, name)?.isWhiteout === true;
    // A file finds out by itself whether something is in its place: there seldom is.
    if (entry.type !== "file") this.clear(entry, spot);
    await this.make(entry, spot, reader);
    if (hides) await this.markOpaque(parent === "" ? name : `${parent}/${name}`);
  }

  private async make(entry: TarEntry, spot: Spot, reader: TarReader): Promise<void> {
    const path = pathIn(spot.directory, spot.name);
    const { uid, gid } = this.ownerOf(entry);
    const time = fileTime(entry.mtime);
    switch (entry.type) {
      case "file":
        await this.file(entry, spot, reader);
        break;
      case "directory":
        this.directory(entry, spot);
        break;
      case "symlink":
        symlinkSync(systemPath(entry.linkPath), systemPath(path));
        // As Docker counts: what a link says is its content.
        this.size += Buffer.byteLength(entry.linkPath);
        lchownSync(systemPath(path), uid, gid);
        lutimesSync(systemPath(path), time, time);
        break;
      case "hardlink":
        this.hardlink(entry, spot);
        return;
      default: {
        // None can be made there; Docker leaves them out as well.
        const isDevice = entry.type !== "fifo" && (entry.major !== 0 || entry.minor !== 0);
        if (isDevice && inUserNamespace()) return;
        const kind = { char: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO }[entry.type];
        const mode = kind | (entry.mode & 0o7777);
        const node = pathForOthers(spot.directory, spot.name);
        await this.kernel.mknod(node, mode, entry.major, entry.minor);
        lchownSync(systemPath(path), uid, gid);
        lutimesSync(systemPath(path), time, time);
      }
    }
    for (const [name, value] of entry.xattrs) {
      // The engine's own marks are never taken from an archive.
      if (!isOverlayMark(name))
        await this.kernel.setXattr(pathForOthers(spot.directory, spot.name), name, value);
    }
  }

  /** Makes a new file; gives its descriptor. */
  private create(entry: TarEntry, spot: Spot): number {
    const path = pathIn(spot.directory, spot.name);
    const inTree = spot.parent === "" ? spot.name : `${spot.parent}/${spot.name}`;
    if (!this.tree.isMounted(inTree))
      try {
        return openSync(systemPath(path), NEW_FILE, 0o600);
      } catch (error) {
        if (errnoOf(error) !== "EEXIST") throw error;
      }
    this.clear(entry, spot);
    return openSync(systemPath(path), NEW_FILE, 0o600);
  }

  private async file(entry: TarEntry, spot: Spot, reader: TarReader): Promise<void> {
    const { uid, gid } = this.ownerOf(entry);
    const time = fileTime(entry.mtime);
    const fd = this.create(entry, spot);
    try {
      // At once: what breaks off then leaves a part to the owner, and not to the daemon, who may be nobody in there.
      fchownSync(fd, uid, gid);
      const write = (piece: Uint8Array) => {
        for (let at = 0; at < piece.length; ) at += writeSync(fd, piece, at);
      };
      for (let piece = reader.ready(); piece !== undefined; piece = reader.ready()) write(piece);
      if (entry.sparse === undefined) for await (const piece of reader.data()) write(piece);
      else await writeSparse(fd, entry.size, reader);
      fchmodSync(fd, entry.mode);
      futimesSync(fd, time, time);
    } finally {
      closeSync(fd);
    }
    this.size += entry.size;
  }

  private directory(entry: TarEntry, { parent, directory, name }: Spot): void {
    const { uid, gid } = this.ownerOf(entry);
    const path = parent === "" ? name : `${parent}/${name}`;
    if (placeIn(directory, name) === undefined && !this.tree.isMounted(path))
      mkdirSync(systemPath(pathIn(directory, name)), 0o700);
    const made = this.tree.directory(path);
    fchownSync(made, uid, gid);
    // Whoever is not root puts nothing into a directory that he may not write to.
    const isLater = this.options.owner !== undefined && (entry.mode & 0o700) !== 0o700;
    fchmodSync(made, isLater ? entry.mode | 0o700 : entry.mode);
    this.directories.set(path, { mtime: entry.mtime, mode: isLater ? entry.mode : undefined });
  }

  private hardlink(entry: TarEntry, spot: Spot): void {
    const names = this.names(entry.linkPath);
    const name = names.pop();
    if (name === undefined) throw refuse(entry, "it links to nothing");
    const parent = this.tree.resolve(this.base, names, false);
    const source = placeIn(this.tree.directory(parent), name);
    if (source === undefined)
      throw refuse(entry, `its target ${JSON.stringify(entry.linkPath)} is not in the archive`);
    if (source.info.isDirectory()) throw refuse(entry, "it links to a directory");
    linkSync(
      systemPath(source.path),
      systemPath(pathIn(this.tree.directory(spot.parent), spot.name)),
    );
  }

  /** Makes room for an entry that an earlier one, or what was there before, has in its place. */
  private clear(entry: TarEntry, { parent, directory, name }: Spot): void {
    const isDirectory = entry.type === "directory";
    const path = parent === "" ? name : `${parent}/${name}`;
    if (!isDirectory && this.tree.isMounted(path)) throw refuse(entry, "device or resource busy");
    const before = placeIn(directory, name);
    if (before === undefined) return;
    const wasDirectory = before.info.isDirectory();
    if (wasDirectory && isDirectory) return;
    if (this.options.keepKinds && wasDirectory !== isDirectory)
      throw fault(
        "invalid",
        "overwrite-kind",
        isDirectory
          ? `cannot overwrite non-directory "/${path}" with directory "${entry.path}"`
          : `cannot overwrite directory "/${path}" with non-directory "${entry.path}"`,
      );
    this.tree.remove(parent, name);
  }

  private markOpaque(path: string): Promise<void> {
    const value = new TextEncoder().encode("y");
    const place = pathForOthers(this.tree.directory(path), ".");
    return this.kernel.setXattr(place, opaqueMarks()[0], value);
  }

  private async opaque({ parent }: Spot): Promise<void> {
    if (this.options.whiteouts === "overlay") return this.markOpaque(parent);
    // What this layer itself has put there comes after its opaque mark by the specification's own advice.
    this.tree.empty(parent);
  }

  private async whiteout({ parent, directory, name }: Spot, entry: TarEntry): Promise<void> {
    const gone = name.slice(WHITEOUT.length);
    if (gone === "" || gone === "." || gone === "..") throw refuse(entry, "it takes away nothing");
    this.tree.remove(parent, gone);
    if (this.options.whiteouts === "overlay")
      await this.kernel.mknod(pathForOthers(directory, gone), S_IFCHR, 0, 0);
  }
}

/** Unpacks a layer into a directory of its own; gives the bytes of its files' contents. */
export async function extractLayer(
  reader: TarReader,
  root: number,
  kernel: Privileged,
  whiteouts: "overlay" | "apply",
): Promise<number> {
  const tree = new TargetTree(root);
  try {
    const extractor = new Extractor(tree, kernel, { whiteouts });
    await extractor.extract(reader);
    return extractor.size;
  } finally {
    tree.close();
  }
}
