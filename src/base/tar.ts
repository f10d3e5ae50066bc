/**
 * Reading tar archives (POSIX.1-2001 pax, ustar, GNU long names) entry by entry from a stream, with bounded memory.
 */
import type { ByteStream } from "./compression.ts";
import { fault } from "./errors.ts";
import { nameOfBytes } from "./names.ts";
import { checkRuns, runsIn, runsOf, type SparseRun } from "./tar-sparse.ts";

/** What an entry is. */
export type TarType = "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";

/** One entry's header. `path` and `linkPath` are as the archive has them: nothing is cleaned. */
export interface TarEntry {
  readonly path: string;
  readonly type: TarType;
  /** Permission bits with set-user-ID and the like. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of the file; as many follow, unless it has holes. */
  readonly size: number;
  /** What of a file with holes is in the archive. */
  readonly sparse?: readonly SparseRun[];
  /** Seconds since 1970, with fractions. */
  readonly mtime: number;
  readonly linkPath: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** Bytes of a header; data is padded to a multiple of them. */
export const TAR_BLOCK = 512;
const BLOCK = TAR_BLOCK;
const LONG_NAME_MAX = 1 << 20;
const decoder = new TextDecoder();
const types: Readonly<Record<string, TarType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  S: "file",
};
/** Zeros to stand for holes. */
const HOLE = new Uint8Array(64 << 10);

function damaged(what: string): Error {
  return fault("invalid", "tar", `the archive is damaged: ${what}`);
}

function text(block: Uint8Array, at: number, length: number): string {
  const end = block.subarray(at, at + length).indexOf(0);
  return nameOfBytes(block.subarray(at, at + (end < 0 ? length : end)));
}

/** A number in octal, or in GNU's base 256 when the first bit is set. */
function number(block: Uint8Array, at: number, length: number): number {
  const first = block[at] ?? 0;
  if (first & 0x80) {
    let value = first & 0x40 ? -1 : first & 0x3f;
    for (let i = 1; i < length; i++) value = value * 256 + (block[at + i] ?? 0);
    return value;
  }
  const digits = text(block, at, length).trim();
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw damaged(`"${digits}" is no octal number`);
  return Number.parseInt(digits, 8);
}

function checksumHolds(block: Uint8Array): boolean {
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  try {
    return sum === number(block, 148, 8);
  } catch {
    return false;
  }
}

/** True when an archive may begin with these bytes: a whole header. */
export function looksLikeTar(head: Uint8Array): boolean {
  return head.length >= BLOCK && head[0] !== 0 && checksumHolds(head.subarray(0, BLOCK));
}

/** The records of a pax header: "LENGTH KEY=VALUE\n". */
function paxRecords(data: Uint8Array): Map<string, Uint8Array> {
  const records = new Map<string, Uint8Array>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = Number(decoder.decode(data.subarray(at, Math.max(space, at))));
    if (
      space < 0 ||
      !Number.isInteger(length) ||
      length < space - at + 3 ||
      at + length > data.length
    )
      throw damaged("a pax record does not fit its header");
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= at + length) throw damaged("a pax record without a key");
    records.set(
      decoder.decode(data.subarray(space + 1, equals)),
      data.slice(equals + 1, at + length - 1),
    );
    at += length;
  }
  return records;
}

/** Reads entries in order. The data of an entry is read, or is skipped by the next call of next(). */
export class TarReader {
  private readonly iterator: AsyncIterator<Uint8Array>;
  private chunk: Uint8Array = new Uint8Array(0);
  private at = 0;
  private remaining = 0;
  private padding = 0;
  private entries = 0;
  private holes: { readonly size: number; readonly runs: readonly SparseRun[] } | undefined;

  constructor(source: ByteStream) {
    this.iterator = source[Symbol.asyncIterator]();
  }

  /** The next entry, or undefined at the end. Throws a Fault "invalid" when the archive is damaged or cut short. */
  async next(): Promise<TarEntry | undefined> {
    let global: Map<string, Uint8Array> = new Map();
    let pax = new Map<string, Uint8Array>();
    let [longName, longLink]: (string | undefined)[] = [];
    for (;;) {
      await this.skip();
      const block = await this.exactly(BLOCK, this.entries === 0);
      if (block === undefined || block.every((byte) => byte === 0)) return undefined;
      if (!checksumHolds(block)) {
        if (this.entries === 0) throw fault("invalid", "tar", "this is no tar archive");
        throw damaged("a header's checksum is wrong");
      }
      this.entries++;
      const kind = String.fromCharCode(block[156] ?? 0);
      this.expectData(number(block, 124, 12));
      if (kind === "x") pax = paxRecords(await this.small(text(block, 0, 100)));
      else if (kind === "g") global = paxRecords(await this.small("global header"));
      else if (kind === "L") longName = text(await this.small("long name"), 0, LONG_NAME_MAX);
      else if (kind === "K") longLink = text(await this.small("long link"), 0, LONG_NAME_MAX);
      else {
        const all = new Map([...global, ...pax]);
        const entry = this.entryOf(block, kind, all, longName, longLink);
        return this.withHoles(entry, block, kind, all);
      }
    }
  }

  private entryOf(
    block: Uint8Array,
    kind: string,
    pax: Map<string, Uint8Array>,
    longName: string | undefined,
    longLink: string | undefined,
  ): TarEntry {
    const own = (key: string) => {
      const value = pax.get(key);
      return value === undefined ? undefined : nameOfBytes(value);
    };
    const prefix =
      text(block, 257, 6).startsWith("ustar") && block[262] === 0 ? text(block, 345, 155) : "";
    const plain = text(block, 0, 100);
    const path =
      own("GNU.sparse.name") ??
      own("path") ??
      longName ??
      (prefix === "" ? plain : `${prefix}/${plain}`);
    let type = types[kind];
    // The form 0.0 repeats its keys; nothing has written it since 2006.
    if (type === undefined || pax.has("GNU.sparse.offset"))
      throw fault(
        "invalid",
        "tar-type",
        `archive entry ${JSON.stringify(path)} has type ${JSON.stringify(kind)}, which is not supported`,
      );
    // Old archives mark directories by a slash only.
    if (type === "file" && path.endsWith("/")) type = "directory";
    const numeric = (key: string, fallback: number) => {
      const value = own(key);
      const parsed = value === undefined ? fallback : Number(value);
      if (!Number.isFinite(parsed) || (key !== "mtime" && parsed < 0))
        throw damaged(`${key} of ${JSON.stringify(path)}`);
      return parsed;
    };
    const size = numeric("size", number(block, 124, 12));
    // Links and devices have no data, whatever their size says.
    this.expectData(type === "file" ? size : 0);
    const xattrs = new Map<string, Uint8Array>();
    for (const [key, value] of pax)
      if (key.startsWith("SCHILY.xattr.")) xattrs.set(key.slice(13), value);
    return {
      path,
      type,
      mode: number(block, 100, 8) & 0o7777,
      uid: numeric("uid", number(block, 108, 8)),
      gid: numeric("gid", number(block, 116, 8)),
      size: type === "file" ? size : 0,
      mtime: numeric("mtime", number(block, 136, 12)),
      linkPath: own("linkpath") ?? longLink ?? text(block, 157, 100),
      major: type === "char" || type === "block" ? number(block, 329, 8) : 0,
      minor: type === "char" || type === "block" ? number(block, 337, 8) : 0,
      xattrs,
    };
  }

  /** Finds out where the data of a file with holes belongs. */
  private async withHoles(
    entry: TarEntry,
    block: Uint8Array,
    kind: string,
    pax: ReadonlyMap<string, Uint8Array>,
  ): Promise<TarEntry> {
    this.holes = undefined;
    const own = (key: string) => decoder.decode(pax.get(`GNU.sparse.${key}`));
    let size: number;
    let sparse: SparseRun[];
    const stored = this.remaining;
    if (kind === "S") {
      // The block is only valid until the next is read.
      size = number(block, 483, 12);
      sparse = runsIn(386, 4, (at, length) => number(block, at, length));
      for (let more = block[482] === 1; more; ) {
        const next = (await this.exactly(BLOCK, true)) ?? block;
        sparse.push(...runsIn(0, 21, (at, length) => number(next, at, length)));
        more = next[504] === 1 && sparse.length < LONG_NAME_MAX;
      }
    } else if (pax.has("GNU.sparse.map")) {
      size = Number(own("size"));
      sparse = runsOf(own("map").split(",").filter(Boolean));
    } else if (pax.has("GNU.sparse.major")) {
      if (own("major") !== "1" || own("minor") !== "0")
        throw damaged(`${JSON.stringify(entry.path)} is sparse in an unknown form`);
      size = Number(own("realsize"));
      sparse = await this.leadingMap();
    } else return entry;
    if (entry.type !== "file") throw damaged(`${JSON.stringify(entry.path)} is sparse and no file`);
    checkRuns(sparse, size, kind === "S" ? stored : this.remaining);
    this.holes = { size, runs: sparse };
    return { ...entry, size, sparse };
  }

  /** The map that stands before the data in the pax form 1.0: lines of numbers, filled up to a whole block. */
  private async leadingMap(): Promise<SparseRun[]> {
    let text = "";
    for (let wanted = Number.POSITIVE_INFINITY; ; ) {
      if (this.remaining < BLOCK || text.length > LONG_NAME_MAX)
        throw damaged("a sparse file's map is cut short");
      text += decoder.decode(await this.exactly(BLOCK, true, true));
      const lines = text.split("\n");
      if (lines.length > 1) wanted = 1 + 2 * Number(lines[0]);
      // What follows the last line's end is filling.
      if (lines.length > wanted) return runsOf(lines.slice(1, wanted));
      if (Number.isNaN(wanted)) throw damaged("a sparse file's map is no list of numbers");
    }
  }

  /** The present entry's data, holes filled, in pieces that are only valid until the next one is asked for. */
  async *data(): ByteStream {
    if (this.holes === undefined) {
      yield* this.stored();
      return;
    }
    const { size } = this.holes;
    let at = 0;
    const hole = function* (until: number) {
      for (; at < until; at += HOLE.length) yield HOLE.subarray(0, until - at);
      at = until;
    };
    for await (const { offset, piece } of this.pieces()) {
      yield* hole(offset);
      yield piece;
      at = offset + piece.length;
    }
    yield* hole(size);
  }

  /** The data that the archive has of the present entry, and where each piece belongs. */
  async *pieces(): AsyncGenerator<{ readonly offset: number; readonly piece: Uint8Array }> {
    for (const run of this.holes?.runs ?? [{ offset: 0, length: this.remaining }])
      for (let done = 0; done < run.length; ) {
        const piece = await this.some(run.length - done);
        this.remaining -= piece.length;
        yield { offset: run.offset + done, piece };
        done += piece.length;
      }
  }

  private async *stored(): ByteStream {
    while (this.remaining > 0) {
      const piece = await this.some(this.remaining);
      this.remaining -= piece.length;
      yield piece;
    }
  }

  /** The next piece of data if it is there already; undefined when it must be waited for or there is no more. */
  ready(): Uint8Array | undefined {
    if (this.remaining === 0 || this.holes !== undefined || this.at >= this.chunk.length)
      return undefined;
    const piece = this.chunk.subarray(this.at, this.at + this.remaining);
    this.at += piece.length;
    this.remaining -= piece.length;
    return piece;
  }

  /** The present entry's data as a whole. Throws a Fault "invalid" when it is larger than `max` bytes. */
  async read(max: number, name: string): Promise<Uint8Array> {
    if (this.remaining > max)
      throw fault(
        "invalid",
        "tar-entry-size",
        `archive entry ${JSON.stringify(name)} is larger than ${max} bytes`,
      );
    return (await this.exactly(this.remaining, false, true)) ?? new Uint8Array(0);
  }

  /** Bytes that have come from the source and have not been read yet. */
  get unread(): number {
    return this.chunk.length - this.at;
  }

  /** Reads what follows the last entry, so that a digest covers the whole stream. */
  async drain(): Promise<void> {
    for (let next = await this.iterator.next(); !next.done; next = await this.iterator.next());
  }

  private expectData(size: number): void {
    if (!Number.isSafeInteger(size) || size < 0) throw damaged("an entry with an impossible size");
    this.remaining = size;
    this.padding = (BLOCK - (size % BLOCK)) % BLOCK;
  }

  private small(name: string): Promise<Uint8Array> {
    return this.read(LONG_NAME_MAX, name);
  }

  private async skip(): Promise<void> {
    let left = this.remaining + this.padding;
    this.remaining = this.padding = 0;
    while (left > 0) left -= (await this.some(left)).length;
  }

  /** Between 1 and `most` bytes. */
  private async some(most: number): Promise<Uint8Array> {
    while (this.at >= this.chunk.length) {
      const next = await this.iterator.next();
      if (next.done) throw damaged("it ends in the middle of an entry");
      this.chunk = next.value;
      this.at = 0;
    }
    const piece = this.chunk.subarray(this.at, this.at + most);
    this.at += piece.length;
    return piece;
  }

  /** Exactly `size` bytes; undefined when the stream ends before the first and that is allowed. */
  private async exactly(
    size: number,
    mustExist: boolean,
    data = false,
  ): Promise<Uint8Array | undefined> {
    if (data) this.remaining -= size;
    if (this.chunk.length - this.at >= size) {
      const piece = this.chunk.subarray(this.at, this.at + size);
      this.at += size;
      return data ? piece.slice() : piece;
    }
    const whole = new Uint8Array(size);
    for (let have = 0; have < size; ) {
      while (this.at >= this.chunk.length) {
        const next = await this.iterator.next();
        if (next.done) {
          if (have === 0 && !data && !mustExist) return undefined;
          throw damaged(have === 0 && mustExist ? "it is empty" : "it is cut short");
        }
        this.chunk = next.value;
        this.at = 0;
      }
      const piece = this.chunk.subarray(this.at, this.at + size - have);
      whole.set(piece, have);
      have += piece.length;
      this.at += piece.length;
    }
    return whole;
  }
}
