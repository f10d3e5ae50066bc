/**
 * A directory that a command writes: it gets all of an archive's files, or nothing.
 */
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  utimesSync,
} from "node:fs";
import { dirname, resolve } from "node:path/posix";
import type { ByteStream } from "../base/compression.ts";
import { errnoOf } from "../base/errors.ts";
import { unpackLocal } from "./copy-local.ts";

/** The nearest place above a path, or itself, that there is. */
function nearest(path: string): string {
  for (let at = path; ; at = dirname(at)) {
    try {
      statSync(at);
      return at;
    } catch (error) {
      if (!["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "") || at === "/") throw error;
    }
  }
}

/** Throws when a directory cannot be there. */
export function checkDirectoryPath(path: string): void {
  const found = nearest(resolve(path));
  if (!statSync(found).isDirectory())
    throw new Error(`invalid output path: ${found} is not a directory`);
  accessSync(found, constants.W_OK | constants.X_OK);
}

const beside = (directory: Buffer, name: Buffer) =>
  Buffer.concat([directory, Buffer.from("/"), name]);
const infoOf = (path: Buffer): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

/** Does something with each name of a directory, whatever bytes it is of. */
function eachName(
  directory: Buffer,
  target: Buffer,
  work: (from: Buffer, to: Buffer, isDirectory: boolean) => void,
): void {
  for (const name of readdirSync(directory, { encoding: "buffer" })) {
    const from = beside(directory, name);
    work(from, beside(target, name), infoOf(from)?.isDirectory() ?? false);
  }
}

/** Throws before anything is moved when a file would take the place of a directory. */
function checkPlaces(directory: Buffer, target: Buffer): void {
  eachName(directory, target, (from, to, isDirectory) => {
    const there = infoOf(to);
    if (!there?.isDirectory()) return;
    if (!isDirectory) throw new Error(`cannot overwrite the directory ${to} with a file`);
    checkPlaces(from, to);
  });
}

/** Lets its owner change a directory; gives the mode that it had. */
function open(directory: Buffer, info = lstatSync(directory)): number {
  const mode = info.mode & 0o7777;
  if ((mode & 0o700) !== 0o700) chmodSync(directory, mode | 0o700);
  return mode;
}

function setMode(directory: Buffer, mode: number): void {
  if ((lstatSync(directory).mode & 0o7777) !== mode) chmodSync(directory, mode);
}

/** Moves what is in a directory into another of the same file system. No link there is followed. */
function moveInto(directory: Buffer, target: Buffer): void {
  eachName(directory, target, (from, to, isDirectory) => {
    const there = infoOf(to);
    if (!isDirectory) return renameSync(from, to);
    const { atime, mtime } = lstatSync(from);
    const mode = open(from);
    if (there?.isDirectory()) {
      open(to, there);
      moveInto(from, to);
      utimesSync(to, atime, mtime);
    } else {
      if (there !== undefined) rmSync(to);
      renameSync(from, to);
    }
    setMode(to, mode);
  });
}

/** Deletes a tree, whatever its directories allow. */
function discard(directory: Buffer): void {
  open(directory);
  eachName(directory, directory, (path, _, isDirectory) => {
    if (isDirectory) discard(path);
  });
  rmSync(directory, { recursive: true, force: true });
}

/** Unpacks an archive below a directory, which need not be there; what is there already stays. Everything belongs to whoever calls. */
export async function writeDirectory(path: string, archive: ByteStream): Promise<void> {
  const target = resolve(path);
  const found = nearest(target);
  const scratch = mkdtempSync(`${found}/.berth-output-`);
  const clean = () => discard(Buffer.from(scratch));
  const ended = () => {
    clean();
    process.exit(130);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.once(signal, ended);
  try {
    const root = `${scratch}/root`;
    mkdirSync(root);
    await unpackLocal(archive, root, (name) => name);
    if (found !== target) {
      mkdirSync(dirname(target), { recursive: true });
      renameSync(root, target);
    } else {
      const [from, to] = [Buffer.from(root), Buffer.from(target)];
      checkPlaces(from, to);
      moveInto(from, to);
    }
  } finally {
    for (const signal of signals) process.off(signal, ended);
    clean();
  }
}
