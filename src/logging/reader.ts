/**
 * Reading a json-file log: across rotation, from the end, by time, and on as it grows. What a crash has damaged is left out,
 * and the reader says so.
 */
import { watch } from "node:fs";
import { dirname } from "node:path";
import { type LogFile, nextLogFile, openLogFiles } from "./log-files.ts";
import { type LogEntry, parseRecord, salvageRecords } from "./record.ts";

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
  /** Is told at the end of how many places in the log could not be read, if there are any. */
  readonly damaged?: (places: number) => void;
}

/** Times differ in the number of their decimals: they are compared padded. */
function comparable(time: string): string {
  const match = /^(.{19})(?:\.(\d+))?Z?$/.exec(time);
  return match === null ? time : `${match[1]}.${(match[2] ?? "").padEnd(9, "0")}`;
}

/** What tells a follower that there is more, and when there will be no more. */
export interface LogLife {
  /** True while the container may still write. */
  running(): boolean;
  /** Resolves at its next exit; who goes by the signal before is not remembered. */
  exited(signal: AbortSignal): Promise<unknown>;
}

/** Waits for news of a log: one look-out for the whole of a follower's life, of which nothing stays behind. */
class LogWatch {
  private wake = () => {};
  private readonly left = new AbortController();
  private readonly watcher;
  private asked = false;

  constructor(
    path: string,
    private readonly life: LogLife,
    private readonly signal: AbortSignal,
  ) {
    this.watcher = watch(dirname(path), () => this.wake());
    signal.addEventListener("abort", this.called);
  }

  private readonly called = () => this.wake();

  /** Resolves when there may be more, or never will be. */
  async untilGrown(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.wake = resolve;
    if (this.signal.aborted) resolve();
    if (!this.asked) {
      this.asked = true;
      void this.life.exited(this.left.signal).then(() => {
        this.asked = false;
        this.wake();
      });
    }
    // Notification may be missed between the read and this wait.
    const timer = setTimeout(resolve, 250);
    await promise;
    clearTimeout(timer);
  }

  close(): void {
    this.watcher.close();
    this.left.abort();
    this.signal.removeEventListener("abort", this.called);
  }
}

/** Reads one log once. */
class Reading {
  private readonly since: string;
  private readonly until: string;
  private file: LogFile | undefined;
  private waiting: LogFile[] = [];
  private damage = 0;

  constructor(
    private readonly path: string,
    private readonly query: LogQuery,
  ) {
    this.since = query.since === "" ? "" : comparable(query.since);
    this.until = query.until === "" ? "" : comparable(query.until);
  }

  async *entries(life: LogLife, signal: AbortSignal): AsyncGenerator<LogEntry> {
    try {
      this.waiting = await this.open();
      for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
        this.turnTo(next);
        yield* this.rest();
      }
      if (this.query.follow) yield* this.follow(life, signal);
    } finally {
      this.turnTo(undefined);
      for (const file of this.waiting) file.close();
    }
    if (this.damage > 0) this.query.damaged?.(this.damage);
  }

  /** Opens the files that hold the wanted records, the oldest first. */
  private async open(): Promise<LogFile[]> {
    const { tail } = this.query;
    let wanted = tail;
    const kept: LogFile[] = [];
    for (const file of openLogFiles(this.path).reverse()) {
      if (!this.query.follow) file.endHere();
      const old = file.lastTime !== undefined && comparable(file.lastTime) < this.since;
      if (tail >= 0 && wanted > 0) wanted -= await file.keepLast(wanted);
      else if (tail >= 0 && kept.length === 0) file.keepNothing();
      else if (tail >= 0 || old) {
        file.close();
        continue;
      }
      kept.unshift(file);
    }
    return kept;
  }

  private turnTo(next: LogFile | undefined): void {
    const { file } = this;
    if (file !== undefined) {
      if (file.torn || file.damaged) this.damage++;
      file.close();
    }
    this.file = next;
  }

  /** What is there of the present file and has not been read. */
  private async *rest(): AsyncGenerator<LogEntry> {
    if (this.file === undefined) return;
    for await (const lines of this.file.batches())
      for (const line of lines) {
        if (line === "") continue;
        const entry = parseRecord(line);
        if (entry !== undefined) {
          if (this.wants(entry)) yield entry;
          continue;
        }
        this.damage++;
        yield* salvageRecords(line).filter((found) => this.wants(found));
      }
  }

  private wants(entry: LogEntry): boolean {
    const { since, until, query } = this;
    if (since !== "" || until !== "") {
      const time = comparable(entry.time);
      if ((since !== "" && time < since) || (until !== "" && time > until)) return false;
    }
    return entry.stream === "stdout" ? query.stdout : query.stderr;
  }

  private async *follow(life: LogLife, signal: AbortSignal): AsyncGenerator<LogEntry> {
    let look: LogWatch | undefined;
    try {
      while (!signal.aborted) {
        const running = life.running();
        yield* this.rest();
        const next = nextLogFile(this.path, this.file, this.query.lost ?? (() => {}));
        if (next !== undefined) {
          // It may have grown between the reading and the rotation.
          yield* this.rest();
          this.turnTo(next);
          continue;
        }
        // What was written before the end has been read: `running` was asked before the read.
        if (!running) return;
        look ??= new LogWatch(this.path, life, signal);
        await look.untilGrown();
      }
    } finally {
      look?.close();
    }
  }
}

/** Reads a container's log. Entries come in the order in which they were written. */
export function readLogs(
  path: string,
  query: LogQuery,
  life: LogLife,
  signal: AbortSignal,
): AsyncGenerator<LogEntry> {
  return new Reading(path, query).entries(life, signal);
}
