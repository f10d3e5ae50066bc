/**
 * The containers' table: a record a row, as JSON. A write has reached the kernel when it returns, so that it survives the
 * daemon; it does not wait for the disk.
 */
import { Database } from "bun:sqlite";
import type { ContainerRecord } from "./container-record.ts";

/** The stored containers. */
export class ContainerDatabase {
  private readonly db: Database;
  private readonly put;
  private readonly drop;

  constructor(path: string) {
    this.db = new Database(path);
    this.db.run("PRAGMA journal_mode = WAL");
    this.db.run("PRAGMA synchronous = NORMAL");
    this.db.run("CREATE TABLE IF NOT EXISTS containers (id TEXT PRIMARY KEY, record TEXT)");
    this.put = this.db.prepare<null, [string, string]>(
      "INSERT OR REPLACE INTO containers VALUES (?, ?)",
    );
    this.drop = this.db.prepare<null, [string]>("DELETE FROM containers WHERE id = ?");
  }

  save(record: ContainerRecord): void {
    this.put.run(record.id, JSON.stringify(record));
  }

  remove(id: string): void {
    this.drop.run(id);
  }

  all(): ContainerRecord[] {
    const rows = this.db.query<{ record: string }, []>("SELECT record FROM containers").all();
    return rows.map((row) => JSON.parse(row.record) as ContainerRecord);
  }

  close(): void {
    this.db.close();
  }
}
