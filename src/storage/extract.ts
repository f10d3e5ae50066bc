/**
 * Unpacking one layer's archive into a directory. No link of the archive is followed out of it: every path is resolved
 * component by component inside the target, by this process alone, before anything is made there.
 */
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import type { TarEntry, TarReader } from "../base/tar.ts";
import type { Privileged } from "./driver.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
/** O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC */
const NEW_FILE = 0o1 | 0o100 | 0o200 | 0o400000 | 0o2000000;
const MAX_LINKS = 40;
const MAX_PATH = 4096;

/** How a driver represents what a layer takes away. */
export type Whiteouts = "overlay" | "apply";

function refuse(entry: TarEntry, why: string): Error {
  return fault(
    "invalid",
    "layer-entry",
    `archive entry ${JSON.stringify(entry.path)} is refused: ${why}`,
  );
}

/** The components of a path; ".." goes up but never above the root. */
function components(path: string): string[] {
  const out: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") out.pop();
    else out.push(name);
  }
  return out;
}

/** Unpacks into one directory. */
export class Extractor {
  /** Directories inside the target that are known to be real ones. */
  private readonly known = new Set<string>([""]);
  private readonly directoryTimes: [string, number][] = [];
  /** Bytes of file content. */
  size = 0;

  constructor(
    private readonly target: string,
    private readonly kernel: Privileged,
    private readonly whiteouts: Whiteouts,
  ) {}

  /** Unpacks every entry. Throws a Fault "invalid" that names the entry when one is not to be unpacked. */
  async extract(reader: TarReader): Promise<void> {
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
      try {
        await this.add(entry, reader);
      } catch (error) {
        const code = errnoOf(error);
        if (error instanceof Error && "kind" in error) throw error;
        if (code === "ENOSPC" || code === "EDQUOT" || code === "EIO")
          throw fault(
            "failed",
            "layer-write",
            `cannot unpack ${JSON.stringify(entry.path)}: ${messageOf(error)}`,
            error,
          );
        throw refuse(entry, messageOf(error));
      }
    }
    for (const [path, mtime] of this.directoryTimes.reverse()) lutimesSync(path, mtime, mtime);
  }

  private async add(entry: TarEntry, reader: TarReader): Promise<void> {
    if (
      entry.path.includes("\0") ||
      entry.path.length > MAX_PATH ||
      entry.linkPath.length > MAX_PATH
    )
      throw refuse(entry, "its name is too long or has a NUL byte");
    const names = components(entry.path);
    const name = names.pop();
    if (name === undefined) {
      if (entry.type === "directory") chmodSync(this.target, entry.mode);
      return;
    }
    if (Buffer.byteLength(name) > 255) throw refuse(entry, "its name is too long");
    const parent = this.directory(names, entry);
    const directory = parent === "" ? this.target : `${this.target}/${parent}`;
    if (name === OPAQUE) return this.opaque(directory);
    if (name.startsWith(WHITEOUT))
      return this.whiteout(directory, name.slice(WHITEOUT.length), entry);
    const path = `${directory}/${name}`;
    const relative = parent === "" ? name : `${parent}/${name}`;
    this.clear(path, relative, entry.type === "directory");
    await this.make(entry, path, relative, reader);
  }

  private async make(
    entry: TarEntry,
    path: string,
    relative: string,
    reader: TarReader,
  ): Promise<void> {
    switch (entry.type) {
      case "file":
        await this.file(entry, path, reader);
        break;
      case "directory":
        if (!this.known.has(relative)) mkdirSync(path, 0o700);
        this.known.add(relative);
        lchownSync(path, entry.uid, entry.gid);
        chmodSync(path, entry.mode);
        this.directoryTimes.push([path, entry.mtime]);
        break;
      case "symlink":
        symlinkSync(entry.linkPath, path);
        lchownSync(path, entry.uid, entry.gid);
        lutimesSync(path, entry.mtime, entry.mtime);
        break;
      case "hardlink":
        this.hardlink(entry, path);
        return;
      default: {
        const kind = { char: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO }[entry.type];
        await this.kernel.mknod(path, kind | (entry.mode & 0o7777), entry.major, entry.minor);
        lchownSync(path, entry.uid, entry.gid);
        lutimesSync(path, entry.mtime, entry.mtime);
      }
    }
    for (const [name, value] of entry.xattrs) {
      // The engine's own marks are never taken from an archive.
      if (!name.startsWith("trusted.")) await this.kernel.setXattr(path, name, value);
    }
  }

  private async file(entry: TarEntry, path: string, reader: TarReader): Promise<void> {
    const fd = openSync(path, NEW_FILE, 0o600);
    try {
      const write = (piece: Uint8Array) => {
        for (let at = 0; at < piece.length; ) at += writeSync(fd, piece, at);
      };
      for (let piece = reader.ready(); piece !== undefined; piece = reader.ready()) write(piece);
      for await (const piece of reader.data()) write(piece);
      fchownSync(fd, entry.uid, entry.gid);
      fchmodSync(fd, entry.mode);
      futimesSync(fd, entry.mtime, entry.mtime);
    } finally {
      closeSync(fd);
    }
    this.size += entry.size;
  }

  private hardlink(entry: TarEntry, path: string): void {
    const names = components(entry.linkPath);
    const name = names.pop();
    if (name === undefined) throw refuse(entry, "it links to nothing");
    const parent = this.directory(names, entry, false);
    const source = parent === "" ? `${this.target}/${name}` : `${this.target}/${parent}/${name}`;
    const info = lstatSync(source, { throwIfNoEntry: false });
    if (info === undefined)
      throw refuse(entry, `its target ${JSON.stringify(entry.linkPath)} is not in the archive`);
    if (info.isDirectory()) throw refuse(entry, "it links to a directory");
    linkSync(source, path);
  }

  /** The real directory (relative to the target) that a list of names leads to; makes what is missing. */
  private directory(names: readonly string[], entry: TarEntry, make = true): string {
    const whole = names.join("/");
    if (this.known.has(whole)) return whole;
    const rest = [...names];
    let at = "";
    for (let links = 0; rest.length > 0; ) {
      const name = rest.shift() ?? "";
      const next = at === "" ? name : `${at}/${name}`;
      if (this.known.has(next)) {
        at = next;
        continue;
      }
      const path = `${this.target}/${next}`;
      const info = lstatSync(path, { throwIfNoEntry: false });
      if (info?.isSymbolicLink()) {
        if (++links > MAX_LINKS) throw refuse(entry, "too many levels of symbolic links");
        const link = readlinkSync(path);
        const base = link.startsWith("/") ? [] : at.split("/").filter(Boolean);
        rest.unshift(...components([...base, link].join("/")));
        at = "";
        continue;
      }
      if (info === undefined) {
        if (!make) throw refuse(entry, `there is no ${JSON.stringify(next)}`);
        mkdirSync(path, 0o755);
      } else if (!info.isDirectory())
        throw refuse(entry, `${JSON.stringify(next)} is not a directory`);
      this.known.add(next);
      at = next;
    }
    return at;
  }

  /** Makes room for an entry that an earlier one of the archive (or, with vfs, a lower layer) has in its place. */
  private clear(path: string, relative: string, keepDirectory: boolean): void {
    const info = lstatSync(path, { throwIfNoEntry: false });
    if (info === undefined) return;
    if (info.isDirectory() && keepDirectory) {
      this.known.add(relative);
      return;
    }
    rmSync(path, { recursive: true });
    for (const known of this.known)
      if (known === relative || known.startsWith(`${relative}/`)) this.known.delete(known);
  }

  private async opaque(directory: string): Promise<void> {
    if (this.whiteouts === "overlay") {
      await this.kernel.setXattr(
        directory,
        "trusted.overlay.opaque",
        new TextEncoder().encode("y"),
      );
      return;
    }
    // What this layer itself has put there comes after its opaque mark by the specification's own advice.
    rmSync(directory, { recursive: true });
    mkdirSync(directory, 0o755);
  }

  private async whiteout(directory: string, name: string, entry: TarEntry): Promise<void> {
    if (name === "" || name === "." || name === "..") throw refuse(entry, "it takes away nothing");
    const path = `${directory}/${name}`;
    rmSync(path, { recursive: true, force: true });
    this.known.clear();
    this.known.add("");
    if (this.whiteouts === "overlay") await this.kernel.mknod(path, S_IFCHR, 0, 0);
  }
}
