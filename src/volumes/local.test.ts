import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { VolumeStore } from "./local.ts";

const scratch = mkdtempSync("/tmp/bt-volume-store-");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("a data root from before there were drivers has the local one", () => {
  const db = new Database(":memory:");
  db.run(
    "CREATE TABLE volumes (name TEXT PRIMARY KEY, labels TEXT, options TEXT, created INTEGER)",
  );
  db.run(`INSERT INTO volumes VALUES ('old', '{"a":"b"}', '{}', 5)`);
  const store = new VolumeStore(`${scratch}/old`, db);
  expect(store.get("old")).toEqual({
    name: "old",
    driver: "local",
    labels: { a: "b" },
    options: {},
    created: 5,
    mountpoint: `${scratch}/old/old/_data`,
  });
  // And once more, as the next daemon does.
  expect(new VolumeStore(`${scratch}/old`, db).list().length).toBe(1);
});

test("a copy is a volume when its row is there, and nothing before", () => {
  const root = `${scratch}/copies`;
  const db = new Database(":memory:");
  const store = new VolumeStore(root, db);
  const staged = store.stage(true);
  writeFileSync(`${staged}/_data/f`, "");
  store.adopt(staged, { name: "whole" });
  expect(readdirSync(root)).toEqual(["whole"]);
  expect(() => store.adopt(store.stage(), { name: "whole" })).toThrow("there is a volume");
  for (const path of [".copied-named/_data", ".copied-nameless/_data", "taken/_data"]) {
    mkdirSync(`${root}/${path}`, { recursive: true });
    writeFileSync(`${root}/${path}/f`, "");
  }
  expect(() => store.adopt(store.stage(), { name: "taken" })).toThrow("there is a volume");
  // Killed between the row and the last renaming.
  db.run("INSERT INTO volumes (name, labels, options, created) VALUES ('named', '{}', '{}', 0)");
  store.sweep(new Map());
  expect(readdirSync(root).sort()).toEqual(["named", "taken", "whole"]);
  expect(existsSync(`${root}/named/_data/f`)).toBe(true);
});

test("what is mounted is in use, whoever has it", () => {
  const store = new VolumeStore(`${scratch}/used`, new Database(":memory:"));
  store.create({ name: "used" });
  store.noteMount("used", "somebody");
  store.noteMount("used", "somebody");
  expect(() => store.remove("used")).toThrow("volume is in use - [somebody]");
  expect(store.allMountUsers()).toEqual(["somebody"]);
  store.forgetMount("used", "somebody");
  store.remove("used");
  expect(readdirSync(`${scratch}/used`)).toEqual([]);
});

test("a volume whose first content cannot be moved in keeps it, and keeps no daemon from starting", () => {
  const root = `${scratch}/unfilled`;
  const store = new VolumeStore(root, new Database(":memory:"));
  for (const name of ["bad", "good"]) {
    store.create({ name });
    mkdirSync(`${root}/${name}/_filled`);
    writeFileSync(`${root}/${name}/_filled/f`, "");
  }
  // What ought to be a directory is a file.
  rmSync(`${root}/bad/_data`, { recursive: true });
  writeFileSync(`${root}/bad/_data`, "");
  store.sweep(new Map());
  expect(existsSync(`${root}/good/_data/f`)).toBe(true);
  expect(existsSync(`${root}/bad/_filled/f`)).toBe(true);
});
