/**
 * `--audit-log`: who has asked for what, on which object, and what came of it, as lines of JSON.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import type { AuditEntry } from "../api/index.ts";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";

const MAX_BYTES = 20 << 20;
const FILES = 5;

/** The parts of a query that say what is meant, and can hold no secret. Addresses, build arguments and bodies can. */
const shownInQuery = new Set([
  ...[
    "name",
    "force",
    "v",
    "link",
    "signal",
    "t",
    "condition",
    "platform",
    "path",
    "all",
    "dry-run",
  ],
  ...["tag", "repo", "container", "pause", "noprune", "names", "target", "detach", "checkpoint"],
]);

/** An image's name; an address in its place could have a password. */
function withoutPassword(text: string): string {
  return text.replace(/\/\/[^/@]*@/, "//");
}

const ofObject =
  /^\/(?:containers|exec|volumes|networks|images|distribution|plugins)\/(.+?)(?:\/[a-z]+)?$/;
/** Words that stand where others have the object's name. */
const ofKind = /^(|json|create|prune|load|get|search)$/;

/** What a request is about: its path in words, the object that it names, and what of its query may be shown. Pure. */
export function subjectOf(uri: string): {
  readonly path: string;
  readonly object?: string;
  readonly query?: Readonly<Record<string, string>>;
} {
  const mark = uri.indexOf("?");
  const path = (mark < 0 ? uri : uri.slice(0, mark)).replace(/^\/v\d+\.\d+(?=\/)/, "");
  const all = new URLSearchParams(mark < 0 ? "" : uri.slice(mark + 1));
  const shown = [...all].filter(([key]) => shownInQuery.has(key));
  const image = all.get("fromImage");
  if (image !== null) shown.push(["fromImage", withoutPassword(image)]);
  const [, inPath = ""] = ofObject.exec(path) ?? [];
  const object = ofKind.test(inPath) ? (all.get("name") ?? "") : inPath;
  return {
    path: withoutPassword(path).slice(0, 1000),
    ...(object === "" ? {} : { object: withoutPassword(object).slice(0, 300) }),
    ...(shown.length === 0
      ? {}
      : { query: Object.fromEntries(shown.map(([k, v]) => [k, v.slice(0, 300)])) }),
  };
}

/** The log. Its file is renamed when it is full: FILE.1 is the newest of those that were. */
export class AuditLog {
  private fd: number;
  private size: number;

  /** Throws the system's error when the file cannot be opened. */
  constructor(
    private readonly path: string,
    private readonly maxBytes = MAX_BYTES,
  ) {
    this.fd = openSync(path, "a", 0o600);
    this.size = fstatSync(this.fd).size;
  }

  /** Writes a line, whole. What cannot be written is told in the daemon's log, with what it was. */
  note({ peer, method, uri, status, milliseconds }: AuditEntry): void {
    if (/^(\/v\d+\.\d+)?\/_ping$/.test(uri)) return;
    const { user, method: _method, ...more } = peer;
    const who = user === "" ? more : { certificate: user, ...more };
    const time = new Date().toISOString();
    const line = `${JSON.stringify({ time, who, method, ...subjectOf(uri), status, milliseconds })}\n`;
    try {
      if (this.size + line.length > this.maxBytes && this.size > 0) this.rotate();
      this.size += writeSync(this.fd, line);
    } catch (error) {
      log.error("the audit log cannot be written", { error: messageOf(error), line: line.trim() });
    }
  }

  private rotate(): void {
    for (let n = FILES - 1; n >= 1; n--) {
      const from = n === 1 ? this.path : `${this.path}.${n - 1}`;
      try {
        renameSync(from, `${this.path}.${n}`);
      } catch (error) {
        log.debug("rotate the audit log", { from, error: messageOf(error) });
      }
    }
    const fresh = openSync(this.path, "a", 0o600);
    closeSync(this.fd);
    this.fd = fresh;
    this.size = fstatSync(fresh).size;
  }

  close(): void {
    closeSync(this.fd);
  }
}
