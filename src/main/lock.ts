/**
 * A root belongs to one process.
 */
import { Database } from "bun:sqlite";
import { chmodSync, closeSync, openSync } from "node:fs";
import { fault } from "../base/errors.ts";

/**
 * Holds a root for this process alone; the kernel lets go when the process ends, however that is. Throws a Fault "conflict"
 * with the given words when another has it.
 */
export function lockRoot(path: string, words: (path: string) => string): Database {
  const file = `${path}/lock`;
  // Whoever may open it may hold it.
  closeSync(openSync(file, "a", 0o600));
  chmodSync(file, 0o600);
  const lock = new Database(file);
  try {
    lock.run("PRAGMA locking_mode = EXCLUSIVE");
    lock.run("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw fault("conflict", "root-in-use", words(path), error);
  }
}
