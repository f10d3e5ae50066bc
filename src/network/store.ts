/**
 * The networks' table. A row stands before anything of its network is made, and goes after all of it has been taken away; until
 * it is "ready", and once it is not any more, the network is what the next daemon removes: nobody has been told that it is there.
 */
import type { Database } from "bun:sqlite";
import { tellingDamage } from "../base/database.ts";
import type { NetworkRecord } from "./record.ts";

interface Row {
  readonly record: string;
  readonly ready: number;
}

/** The stored networks. */
export class NetworkStore {
  constructor(private readonly db: Database) {
    db.run(
      "CREATE TABLE IF NOT EXISTS networks (id TEXT PRIMARY KEY, name TEXT UNIQUE, record TEXT, ready INTEGER)",
    );
  }

  /** Notes that a network is about to be made. */
  begin(record: NetworkRecord): void {
    this.db.run("INSERT INTO networks VALUES (?, ?, ?, 0)", [
      record.id,
      record.name,
      JSON.stringify(record),
    ]);
  }

  /** Notes that it has been made, or, with false, that it is about to be removed. */
  setReady(id: string, ready: boolean): void {
    this.db.run("UPDATE networks SET ready = ? WHERE id = ?", [ready ? 1 : 0, id]);
  }

  /** Forgets a network of which nothing is left. */
  forget(id: string): void {
    this.db.run("DELETE FROM networks WHERE id = ?", [id]);
  }

  /** All of them, the oldest first. */
  all(): { readonly record: NetworkRecord; readonly ready: boolean }[] {
    return tellingDamage(this.db.filename, () =>
      this.db
        .query<Row, []>("SELECT record, ready FROM networks ORDER BY rowid")
        .all()
        .map(({ record, ready }) => ({
          record: JSON.parse(record) as NetworkRecord,
          ready: ready === 1,
        })),
    );
  }
}
