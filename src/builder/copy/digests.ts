/**
 * Digests of files' contents that are known, as lines of a file: what tells the version of a file apart, a space, the digest.
 * Lines are only added; one that is cut off counts for nothing.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { errnoOf } from "../../base/errors.ts";

const LINE = /^(\S+) ([0-9a-f]{64})$/;

/** Reads what is known; nothing when there is no such file. */
export function readDigests(path: string): Map<string, string> {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  const known = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, version, digest] = LINE.exec(line) ?? [];
    if (version !== undefined && digest !== undefined) known.set(version, digest);
  }
  return known;
}

/** Adds what was found out. */
export function addDigests(path: string, found: readonly (readonly [string, string])[]): void {
  if (found.length === 0) return;
  // The line before may have been cut off.
  const lines = found.map(([version, digest]) => `\n${version} ${digest}`);
  appendFileSync(path, lines.join(""), { mode: 0o600 });
}
