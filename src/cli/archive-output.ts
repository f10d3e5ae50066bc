/**
 * An archive that a command writes: to a file, which is whole or not there, or to the standard output.
 */
import { closeSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { out } from "./output.ts";
import { isTerminal } from "./terminal.ts";

/** Writes all of it, however little the descriptor takes at once. */
function writeAll(fd: number, bytes: Uint8Array): void {
  if (fd === 1) out(bytes);
  else for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** Why a path is no place for an archive, in Docker's words; undefined when it is one. */
function whyNot(path: string): string | undefined {
  const directory = dirname(path);
  const place = statSync(directory, { throwIfNoEntry: false });
  if (!place?.isDirectory()) {
    const why = place === undefined ? "no such file or directory" : "not a directory";
    return `invalid output path: stat ${directory}: ${why}`;
  }
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) return "cannot write to a directory";
  if (found?.isBlockDevice() || (found?.isCharacterDevice() && path !== "/dev/null"))
    return "cannot write to a device";
  return undefined;
}

/** Throws when an archive cannot go there ("" is the standard output), in Docker's words: `doing` is what fails. */
export function checkArchivePath(path: string, doing: string): void {
  if (path === "" && isTerminal(1))
    throw new Error("cowardly refusing to save to a terminal. Use the -o flag or redirect");
  const why = path === "" ? undefined : whyNot(path);
  if (why !== undefined) throw new Error(`failed to ${doing}: ${why}`);
}

/** Writes an archive to a path that has been checked. */
export async function writeArchive(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  // What is no plain file (/dev/null, a named pipe) is written to as it is.
  const plain = statSync(path || "/dev/stdout", { throwIfNoEntry: false })?.isFile() ?? true;
  if (path === "" || !plain) return writeTo(path === "" ? 1 : openSync(path, "w"), pieces, path);
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeTo(openSync(temporary, "wx", 0o600), pieces, path);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

async function writeTo(fd: number, pieces: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  try {
    for await (const chunk of pieces) writeAll(fd, chunk);
  } finally {
    if (path !== "") closeSync(fd);
  }
}
