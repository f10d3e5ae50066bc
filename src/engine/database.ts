/**
 * The containers' table: a record a row, as JSON. A write has reached the kernel when it returns, so that it survives the
 * daemon; it does not wait for the disk.
 */
import type { Database } from "bun:sqlite";
import { openDatabase, tellingDamage } from "../base/database.ts";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ContainerRecord } from "./container-record.ts";

const RETRY_MS = 1000;

/** The stored containers. */
export class ContainerDatabase {
  private readonly db: Database;
  /** What could not be written yet; undefined: to be removed. */
  private readonly late = new Map<string, ContainerRecord | undefined>();
  private timer: ReturnType<typeof setInterval> | undefined;
  private readonly put;
  private readonly drop;

  constructor(private readonly path: string) {
    this.db = openDatabase(path, "NORMAL");
    this.db.run("CREATE TABLE IF NOT EXISTS containers (id TEXT PRIMARY KEY, record TEXT)");
    this.put = this.db.prepare<null, [string, string]>(
      "INSERT OR REPLACE INTO containers VALUES (?, ?)",
    );
    this.drop = this.db.prepare<null, [string]>("DELETE FROM containers WHERE id = ?");
  }

  /** Stores a record. Throws a Fault "failed" when it cannot be written: what is told to a user then must not be done. */
  insist(record: ContainerRecord): void {
    try {
      this.write(record.id, record);
    } catch (error) {
      throw fault(
        "failed",
        "database-write",
        `cannot store the state of container ${record.id}: ${messageOf(error)}`,
        error,
      );
    }
  }

  /** Stores what has happened already. A full disk does not undo it: it is tried again until there is room. */
  save(record: ContainerRecord): void {
    this.attempt(record.id, record);
  }

  remove(id: string): void {
    this.attempt(id, undefined);
  }

  /** undefined: removes it. */
  private write(id: string, record: ContainerRecord | undefined): void {
    if (record === undefined) this.drop.run(id);
    else this.put.run(id, JSON.stringify(record));
    this.late.delete(id);
  }

  private attempt(id: string, record: ContainerRecord | undefined): void {
    try {
      this.write(id, record);
    } catch (error) {
      if (this.late.size === 0)
        log.error("the database cannot be written; trying again until it can", {
          error: messageOf(error),
        });
      this.late.set(id, record);
      this.timer ??= setInterval(() => this.catchUp(), RETRY_MS);
    }
  }

  private catchUp(): void {
    for (const [id, record] of this.late) this.attempt(id, record);
    if (this.late.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
    log.info("the database can be written again");
  }

  all(): ContainerRecord[] {
    // Of a record that cannot be read the files would be taken for something that nobody knows, and be deleted.
    return tellingDamage(this.path, () => {
      const rows = this.db.query<{ record: string }, []>("SELECT record FROM containers").all();
      return rows.map((row) => JSON.parse(row.record) as ContainerRecord);
    });
  }

  close(): void {
    clearInterval(this.timer);
    if (this.late.size > 0) this.catchUp();
    this.db.close();
  }
}
