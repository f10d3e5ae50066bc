/**
 * Reading a json-file log: across rotation, from the end, by time, and on as it grows. A record that a crash has torn is
 * skipped, and the reader says so.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync, watch } from "node:fs";

/** One record. */
export interface LogEntry {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
}

/** What to read. Times as RFC 3339 with nanoseconds, compared as text; empty: no bound. */
export interface LogQuery {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly follow: boolean;
  readonly since: string;
  readonly until: string;
  /** So many records from the end; negative: all. */
  readonly tail: number;
  /** Is told that rotation was faster than this reader, and took away what it had not read. */
  readonly lost?: () => void;
}

const CHUNK = 64 * 1024;
/** A line longer than any record that is written. */
const LINE_MAX = 1 << 20;

function parse(line: string): LogEntry | undefined {
  try {
    const value = JSON.parse(line) as { log?: unknown; stream?: unknown; time?: unknown };
    if (typeof value.log !== "string" || typeof value.time !== "string") return undefined;
    return {
      stream: value.stream === "stderr" ? "stderr" : "stdout",
      text: value.log,
      time: value.time,
    };
  } catch {
    return undefined;
  }
}

/** Times differ in the number of their decimals: they are compared padded. */
function comparable(time: string): string {
  const match = /^(.{19})(?:\.(\d+))?Z?$/.exec(time);
  return match === null ? time : `${match[1]}.${(match[2] ?? "").padEnd(9, "0")}`;
}

/** The rotated files that exist, the oldest first, and the present one last. */
function filesOf(path: string): string[] {
  const files = [path];
  for (let i = 1; existsSync(`${path}.${i}`); i++) files.unshift(`${path}.${i}`);
  return files.filter((file) => existsSync(file));
}

/** Where the last `count` lines of a file begin, and how many of them the file has. */
function seekTail(fd: number, count: number): { at: number; lines: number } {
  let end = fstatSync(fd).size;
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
  return { at: 0, lines: fstatSync(fd).size > 0 ? lines + 1 : 0 };
}

/** Reads whole lines from one file, from a position on. */
class LineFile {
  private rest: Buffer = Buffer.alloc(0);
  readonly inode: number;

  constructor(
    readonly fd: number,
    private at: number,
  ) {
    this.inode = fstatSync(fd).ino;
  }

  /** The lines that are there and have not been read. */
  *lines(): Generator<string> {
    const buffer = Buffer.alloc(CHUNK);
    for (;;) {
      const length = readSync(this.fd, buffer, 0, CHUNK, this.at);
      if (length === 0) return;
      this.at += length;
      let data = Buffer.concat([this.rest, buffer.subarray(0, length)]);
      for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
        yield data.toString("utf8", 0, end);
        data = data.subarray(end + 1);
      }
      this.rest = data.length > LINE_MAX ? Buffer.alloc(0) : Buffer.from(data);
    }
  }

  /** A last line without its newline; given once. */
  torn(): boolean {
    return this.rest.length > 0;
  }
}

/** What tells a follower that there is more, and when there will be no more. */
export interface LogLife {
  /** True while the container may still write. */
  running(): boolean;
  /** Resolves at its next exit. */
  exited(): Promise<unknown>;
}

async function untilGrown(path: string, life: LogLife, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watcher = watch(path.slice(0, path.lastIndexOf("/")), () => resolve());
  // Notification may be missed between the read and the watch.
  const timer = setTimeout(resolve, 250);
  signal.addEventListener("abort", () => resolve(), { once: true });
  void life.exited().then(() => resolve());
  await promise;
  clearTimeout(timer);
  watcher.close();
}

/** Reads a container's log. Entries come in the order in which they were written. */
export async function* readLogs(
  path: string,
  query: LogQuery,
  life: LogLife,
  signal: AbortSignal,
): AsyncGenerator<LogEntry> {
  const since = query.since === "" ? "" : comparable(query.since);
  const until = query.until === "" ? "" : comparable(query.until);
  let skipped = 0;
  const accept = (line: string): LogEntry | undefined => {
    if (line === "") return undefined;
    const entry = parse(line);
    if (entry === undefined) {
      skipped++;
      return undefined;
    }
    const time = comparable(entry.time);
    if ((since !== "" && time < since) || (until !== "" && time > until)) return undefined;
    return (entry.stream === "stdout" ? query.stdout : query.stderr) ? entry : undefined;
  };
  const open = openFrom(path, query.tail);
  let last: LineFile | undefined;
  try {
    for (const [index, file] of open.entries()) {
      last = file;
      for (const line of file.lines()) {
        const entry = accept(line);
        if (entry !== undefined) yield entry;
      }
      if (index < open.length - 1) closeSync(file.fd);
    }
    if (query.follow)
      yield* follow(
        path,
        last,
        accept,
        life,
        signal,
        (file) => {
          last = file;
        },
        query.lost ?? (() => {}),
      );
    if (last?.torn()) skipped++;
  } finally {
    if (last !== undefined) closeSync(last.fd);
  }
  if (skipped > 0)
    yield {
      stream: "stderr",
      time: new Date().toISOString(),
      text: `berth: skipped ${skipped} damaged log record${skipped === 1 ? "" : "s"}\n`,
    };
}

/** Opens the files that hold the wanted records, the oldest first. */
function openFrom(path: string, tail: number): LineFile[] {
  const files: LineFile[] = [];
  let wanted = tail;
  for (const name of filesOf(path).reverse()) {
    const fd = openSync(name, "r");
    if (tail < 0) files.unshift(new LineFile(fd, 0));
    else if (wanted <= 0) {
      // The newest is kept open at its end, for who follows.
      if (files.length === 0) files.unshift(new LineFile(fd, fstatSync(fd).size));
      else closeSync(fd);
    } else {
      const { at, lines } = seekTail(fd, wanted);
      wanted -= lines;
      files.unshift(new LineFile(fd, at));
    }
  }
  return files;
}

async function* follow(
  path: string,
  start: LineFile | undefined,
  accept: (line: string) => LogEntry | undefined,
  life: LogLife,
  signal: AbortSignal,
  moved: (file: LineFile) => void,
  lost: () => void,
): AsyncGenerator<LogEntry> {
  let file = start;
  while (!signal.aborted) {
    const running = life.running();
    for (const line of file?.lines() ?? []) {
      const entry = accept(line);
      if (entry !== undefined) yield entry;
    }
    const next = nextFile(path, file, lost);
    if (next !== undefined) {
      if (file !== undefined) closeSync(file.fd);
      file = next;
      moved(next);
      continue;
    }
    // What was written before the end has been read: `running` was asked before the read.
    if (!running) return;
    await untilGrown(path, life, signal);
  }
}

/** After a rotation: the file that follows the one that has been read to its end. */
function nextFile(
  path: string,
  file: LineFile | undefined,
  lost: () => void,
): LineFile | undefined {
  const now = statSync(path, { throwIfNoEntry: false });
  if (now === undefined || now.ino === file?.inode) return undefined;
  const files = filesOf(path);
  const index =
    file === undefined
      ? -1
      : files.findIndex((name) => statSync(name, { throwIfNoEntry: false })?.ino === file.inode);
  const name = files[index + 1];
  if (name === undefined) return undefined;
  if (file !== undefined && index < 0) lost();
  const next = new LineFile(openSync(name, "r"), 0);
  // Between the look and the opening it may have rotated again; the same file is no progress.
  if (next.inode !== file?.inode) return next;
  closeSync(next.fd);
  return undefined;
}
