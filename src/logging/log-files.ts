/**
 * The files of a log: the present one and those that rotation has left, some of them compressed. Others rename and replace
 * them at any time; what has been opened here is one moment's whole.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { type ByteStream, decompress } from "../base/compression.ts";
import { readGzipNote } from "./gzip-note.ts";

const CHUNK = 64 * 1024;
/** A line longer than any record that is written. */
const LINE_MAX = 1 << 20;
/** So often is a list of files that changes under our hands taken again. */
const OPEN_TRIES = 50;

/** Cuts bytes into lines. */
class LineSplitter {
  private rest: Buffer = Buffer.alloc(0);

  split(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let data = this.rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.rest, chunk]);
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
      lines.push(data.toString("utf8", 0, end));
      data = data.subarray(end + 1);
    }
    // Of what is no record the end is kept, in which the next record may begin.
    this.rest = data.length > LINE_MAX ? Buffer.from(data.subarray(-CHUNK)) : data;
    return lines;
  }

  get torn(): boolean {
    return this.rest.length > 0;
  }
}

/** An opened file of a log. */
export class LogFile {
  readonly inode: number;
  /** Of a compressed file: the inode of the one that it was made from. */
  private readonly madeFrom: number | undefined;
  /** Nothing in it is newer; undefined when that is not known. */
  readonly lastTime: string | undefined;
  private readonly compressed: boolean;
  private readonly splitter = new LineSplitter();
  private at = 0;
  /** What comes behind this is left out. */
  private end = Number.POSITIVE_INFINITY;
  private skip = 0;
  /** Of a compressed file, which grows no more: nothing is left to be read. */
  private done = false;
  /** True when it was compressed and cannot be read to its end. */
  damaged = false;

  constructor(readonly fd: number) {
    const note = readGzipNote(fd);
    this.compressed = note !== undefined;
    this.inode = fstatSync(fd).ino;
    this.madeFrom = note?.inode;
    this.lastTime = note?.lastTime;
  }

  close(): void {
    closeSync(this.fd);
  }

  /** True when this is what has become of another, which is still held open: that keeps its inode from being used again. */
  continues(other: LogFile): boolean {
    return this.inode === other.inode || this.madeFrom === other.inode;
  }

  /** A last line without its newline. */
  get torn(): boolean {
    return this.splitter.torn;
  }

  /** Leaves out all but the last `count` lines; gives how many there are of these. */
  async keepLast(count: number): Promise<number> {
    if (!this.compressed) {
      const { at, lines } = seekTail(this.fd, count, Math.min(this.end, fstatSync(this.fd).size));
      this.at = at;
      return lines;
    }
    let lines = 0;
    for await (const chunk of this.inflated())
      for (let i = chunk.indexOf(10); i >= 0; i = chunk.indexOf(10, i + 1)) lines++;
    this.skip = Math.max(0, lines - count);
    return Math.min(lines, count);
  }

  /** Leaves out everything that is not there yet. */
  endHere(): void {
    this.end = fstatSync(this.fd).size;
  }

  /** Leaves out everything that is there now. */
  keepNothing(): void {
    this.at = fstatSync(this.fd).size;
    this.done = true;
  }

  /** The lines that are there and have not been read, many at a time. */
  async *batches(): AsyncGenerator<readonly string[]> {
    if (!this.compressed) {
      for (const chunk of this.chunks()) yield this.splitter.split(chunk);
      return;
    }
    if (this.done) return;
    this.done = true;
    for await (const chunk of this.inflated()) {
      const lines = this.splitter.split(chunk);
      const skipped = Math.min(this.skip, lines.length);
      this.skip -= skipped;
      yield lines.slice(skipped);
    }
  }

  private async *inflated(): ByteStream {
    this.at = 0;
    try {
      yield* await decompress(this.bytes());
    } catch {
      this.damaged = true;
    }
  }

  private async *bytes(): ByteStream {
    // The consumer keeps what it is given for a while.
    for (const chunk of this.chunks()) yield chunk.slice();
  }

  /** What is there from where the last reading ended; a chunk is good until the next is asked for. */
  private *chunks(): Generator<Uint8Array> {
    const buffer = new Uint8Array(CHUNK);
    for (;;) {
      const wanted = Math.min(CHUNK, this.end - this.at);
      const length = wanted > 0 ? readSync(this.fd, buffer, 0, wanted, this.at) : 0;
      if (length === 0) return;
      this.at += length;
      yield buffer.subarray(0, length);
    }
  }
}

/** Where the last `count` lines of a file's first `size` bytes begin, and how many of them there are. */
function seekTail(fd: number, count: number, size: number): { at: number; lines: number } {
  let end = size;
  const buffer = new Uint8Array(CHUNK);
  let lines = 0;
  let last = true;
  while (end > 0) {
    const from = Math.max(0, end - CHUNK);
    const length = readSync(fd, buffer, 0, end - from, from);
    for (let i = length - 1; i >= 0; i--) {
      if (buffer[i] !== 10) continue;
      // The newline at the very end closes the last line and begins none.
      if (last && from + i === end - 1) {
        last = false;
        continue;
      }
      lines++;
      if (lines === count) return { at: from + i + 1, lines };
    }
    last = false;
    end = from;
  }
  return { at: 0, lines: size > 0 ? lines + 1 : 0 };
}

/** Files that rotation has left. */
export interface RotatedFile {
  readonly path: string;
  /** 1 is the newest. */
  readonly number: number;
  readonly compressed: boolean;
}

/** The rotated files of a log, the oldest first. */
export function rotatedFiles(path: string): RotatedFile[] {
  const prefix = `${basename(path)}.`;
  return readdirSync(dirname(path))
    .flatMap((name) => {
      const match = name.startsWith(prefix) && /^(\d+)(\.gz)?$/.exec(name.slice(prefix.length));
      if (!match) return [];
      const compressed = match[2] !== undefined;
      return [{ path: `${dirname(path)}/${name}`, number: Number(match[1]), compressed }];
    })
    .sort((a, b) => b.number - a.number || Number(a.compressed) - Number(b.compressed));
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** A file's two forms are there together for a moment, or after a crash: one of them is read. */
function pathsOf(path: string): string[] {
  const rotated = rotatedFiles(path);
  const single = rotated.filter(({ number }, i) => number !== rotated[i - 1]?.number);
  const paths = single.map((file) => file.path);
  return inodeOf(path) === undefined ? paths : [...paths, path];
}

function tryOpen(path: string): LogFile | undefined {
  try {
    return new LogFile(openSync(path, "r"));
  } catch {
    return undefined;
  }
}

/** Opens all files of a log, the oldest first and the present one last. */
export function openLogFiles(path: string): LogFile[] {
  for (let tries = 0; ; tries++) {
    const paths = pathsOf(path);
    const files = paths.flatMap((name) => tryOpen(name) ?? []);
    const whole =
      files.length === paths.length &&
      paths.every((name, i) => inodeOf(name) === files[i]?.inode) &&
      pathsOf(path).join() === paths.join();
    if (whole || tries === OPEN_TRIES) return files;
    for (const file of files) file.close();
  }
}

/** After a rotation: the file that follows the one that has been read to its end. */
export function nextLogFile(
  path: string,
  file: LogFile | undefined,
  lost: () => void,
): LogFile | undefined {
  const now = inodeOf(path);
  if (now === undefined || now === file?.inode) return undefined;
  const files = openLogFiles(path);
  // Older ones may have been made from a file whose inode is now used again by ours.
  const index = file === undefined ? -1 : files.findLastIndex((other) => other.continues(file));
  const next = files[index + 1];
  for (const other of files) if (other !== next) other.close();
  if (next !== undefined && file !== undefined && index < 0) lost();
  return next;
}
