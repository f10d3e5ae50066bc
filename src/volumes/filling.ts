/**
 * A new volume's first content comes whole: it is gathered beside the volume, given its final name in one step, and moved in
 * from there. Who dies in the middle leaves an empty volume, or one that the next daemon finishes.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { errnoOf } from "../base/errors.ts";
import { fileTime } from "../tree/index.ts";

/** Moves what is missing in a directory there from another, which goes. What somebody has made meanwhile is kept. */
function moveInto(from: string, to: string): void {
  const info = statSync(from);
  for (const name of readdirSync(from))
    if (lstatSync(`${to}/${name}`, { throwIfNoEntry: false }) === undefined)
      renameSync(`${from}/${name}`, `${to}/${name}`);
  chownSync(to, info.uid, info.gid);
  chmodSync(to, info.mode & 0o7777);
  utimesSync(to, fileTime(info.atimeMs / 1000), fileTime(info.mtimeMs / 1000));
  rmSync(from, { recursive: true, force: true });
}

/** Fills one volume. */
export class Filling {
  constructor(private readonly directory: string) {}

  /** Where its content is gathered: empty, and nobody else's. */
  begin(): string {
    this.abandon();
    mkdirSync(`${this.directory}/_filling`, { mode: 0o755 });
    return `${this.directory}/_filling`;
  }

  /** What was gathered is the volume's content from now on. */
  commit(): void {
    renameSync(`${this.directory}/_filling`, `${this.directory}/_filled`);
    this.finish();
  }

  abandon(): void {
    rmSync(`${this.directory}/_filling`, { recursive: true, force: true });
  }

  /** Does what was left undone. */
  finish(): void {
    this.abandon();
    const [from, to] = [`${this.directory}/_filled`, `${this.directory}/_data`];
    try {
      if (existsSync(from)) moveInto(from, to);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
}
