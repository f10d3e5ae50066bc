/**
 * SQLite files: opened in one way, and what to do about a damaged one said in words.
 */
import { Database } from "bun:sqlite";
import { chmodSync, closeSync, existsSync, openSync } from "node:fs";
import { errnoOf, fault, messageOf } from "./errors.ts";

const OWNERS = 0o600;

/** Runs what reads a database. Throws a Fault "failed" that names the file when that is damaged; nothing has been changed then. */
export function tellingDamage<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const damaged =
      error instanceof SyntaxError || /^SQLITE_(CORRUPT|NOTADB)/.test(errnoOf(error) ?? "");
    if (!damaged) throw error;
    throw fault(
      "failed",
      "database-damaged",
      `${path} is damaged (${messageOf(error)}): put a copy of it back, or move it away to begin without what it knows. Nothing has been deleted`,
      error,
    );
  }
}

/** What containers are given, passwords among it, is nobody else's to read. What comes beside a file has its mode. */
function keepToOwner(path: string): void {
  closeSync(openSync(path, "a", OWNERS));
  for (const file of [path, `${path}-wal`, `${path}-shm`])
    if (existsSync(file)) chmodSync(file, OWNERS);
}

/** Opens a database, or makes it. `synchronous` as SQLite has it: FULL waits for the disk, NORMAL does not. */
export function openDatabase(path: string, synchronous: "FULL" | "NORMAL"): Database {
  return tellingDamage(path, () => {
    if (path !== ":memory:") keepToOwner(path);
    const db = new Database(path);
    db.run("PRAGMA journal_mode = WAL");
    db.run(`PRAGMA synchronous = ${synchronous}`);
    db.query("SELECT count(*) FROM sqlite_master").get();
    return db;
  });
}
