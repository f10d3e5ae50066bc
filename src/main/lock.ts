/**
 * A root belongs to one process.
 */
import { Database } from "bun:sqlite";
import { fault } from "../base/errors.ts";

/**
 * Holds a root for this process alone; the kernel lets go when the process ends, however that is. Throws a Fault "conflict"
 * with the given words when another has it.
 */
export function lockRoot(path: string, words: (path: string) => string): Database {
  const lock = new Database(`${path}/lock`);
  try {
    lock.run("PRAGMA locking_mode = EXCLUSIVE");
    lock.run("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw fault("conflict", "root-in-use", words(path), error);
  }
}
