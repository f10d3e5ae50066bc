/**
 * Directory trees as tar archives.
 */
import { closeSync, fstatSync, readSync } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { deviceNumbers } from "../base/device-number.ts";
import { errnoOf } from "../base/errors.ts";
import type { TarEntry, TarType } from "../base/tar.ts";
import { tarEnd, tarHeader, tarPadding } from "../base/tar-writer.ts";
import { isOverlayMark } from "./overlay-marks.ts";
import type { Place, Privileged, TreeEntry } from "./walk.ts";

const CHUNK = 1 << 20;
const SMALL = 1 << 16;

function typeOf({ info }: Place): TarType | undefined {
  if (info.isFile()) return "file";
  if (info.isDirectory()) return "directory";
  if (info.isSymbolicLink()) return "symlink";
  if (info.isCharacterDevice()) return "char";
  if (info.isBlockDevice()) return "block";
  // A socket means nothing to anybody else.
  return info.isFIFO() ? "fifo" : undefined;
}

/** Writes entries one after the other. */
export class Packer {
  /** The first path of each file that has several. */
  private readonly linked = new Map<string, string>();

  /**
   * `exactTimes`: with fractions of seconds, which layers of images do not have. `change`: what entries say may be another
   * than what the files say; a link's target is not asked about.
   */
  constructor(
    private readonly kernel: Privileged,
    private readonly exactTimes = false,
    private readonly change: (entry: TarEntry) => TarEntry = (entry) => entry,
  ) {}

  /** One entry with its data; nothing for what has gone in between or is no entry of an archive. */
  async *entry(path: string, place: Place): ByteStream {
    const type = typeOf(place);
    if (type === undefined) return;
    try {
      if (type === "file") yield* this.file(path, place);
      else yield this.header(await this.describe(path, place, type, 0));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ELOOP") throw error;
    }
  }

  /** An empty file by name, as whiteouts are. */
  mark(path: string): Uint8Array {
    const none = { mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, linkPath: "", major: 0, minor: 0 };
    return tarHeader({ ...none, path, type: "file", xattrs: new Map() });
  }

  private header(entry: TarEntry): Uint8Array {
    return tarHeader(entry, this.exactTimes);
  }

  private async describe(
    path: string,
    place: Place,
    type: TarType,
    size: number,
  ): Promise<TarEntry> {
    const { info } = place;
    const device = type === "char" || type === "block";
    const xattrs = await this.kernel.xattrs(place.pathForOthers);
    return this.change({
      path,
      type,
      mode: info.mode & 0o7777,
      uid: info.uid,
      gid: info.gid,
      size,
      mtime: this.exactTimes ? info.mtimeMs / 1000 : Math.floor(info.mtimeMs / 1000),
      linkPath: type === "symlink" ? place.readLink() : "",
      ...(device ? deviceNumbers(info.rdev) : { major: 0, minor: 0 }),
      // What the overlay notes for itself is nobody else's.
      xattrs: new Map([...xattrs].filter(([name]) => !isOverlayMark(name))),
    });
  }

  private async *file(path: string, place: Place): ByteStream {
    const key = `${place.info.dev}:${place.info.ino}`;
    const first = this.linked.get(key);
    if (first !== undefined) {
      const entry = await this.describe(path, place, "file", 0);
      yield this.header({ ...entry, type: "hardlink", linkPath: first });
      return;
    }
    const fd = place.open();
    try {
      const info = fstatSync(fd);
      if (!info.isFile()) return;
      if (info.nlink > 1) this.linked.set(key, path);
      const header = this.header(await this.describe(path, place, "file", info.size));
      // Most files are small: one piece each, and no turn of a generator more.
      if (info.size <= SMALL) {
        yield wholeEntry(header, fd, info.size);
        return;
      }
      yield header;
      yield* contents(fd, info.size);
      yield tarPadding(info.size);
    } finally {
      closeSync(fd);
    }
  }
}

/** A header, and exactly so many bytes of a file with their padding: what is cut off meanwhile is zeros. */
function wholeEntry(header: Uint8Array, fd: number, size: number): Uint8Array {
  const piece = new Uint8Array(header.length + size + tarPadding(size).length);
  piece.set(header);
  for (let at = 0; at < size; ) {
    const length = readSync(fd, piece, header.length + at, size - at, null);
    if (length === 0) break;
    at += length;
  }
  return piece;
}

/** Exactly so many bytes, whatever happens to the file meanwhile: what is cut off becomes zeros. */
async function* contents(fd: number, size: number): ByteStream {
  for (let left = size; left > 0; ) {
    const chunk = new Uint8Array(Math.min(left, CHUNK));
    const length = readSync(fd, chunk);
    yield length === 0 ? chunk : chunk.subarray(0, length);
    left -= length === 0 ? chunk.length : length;
  }
}

/** An archive of a tree. */
export async function* packTree(kernel: Privileged, entries: AsyncIterable<TreeEntry>): ByteStream {
  const packer = new Packer(kernel);
  for await (const { path, place } of entries) yield* packer.entry(path, place);
  yield tarEnd();
}
