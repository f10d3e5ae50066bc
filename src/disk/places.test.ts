/** Whose a path below the data root is. */
import { expect, test } from "bun:test";
import { dataKinds, placeOf } from "./places.ts";

const hex = "ab".repeat(32);
const digest = `sha256:${hex}`;

test.each([
  [`content/blobs/sha256/${hex}`, "blobs", digest],
  ["content/blobs/sha256", "engine", undefined],
  [`content/recipes/${hex}`, "recipes", digest],
  [`content/ingest/${hex}.partial`, "downloads", digest],
  ["content/ingest/123-4", "downloads", "123-4"],
  ["content/else", "unknown", undefined],
  [`overlay2/layers/${hex}/etc/passwd`, "layers", digest],
  [`overlay2/containers/${hex}/upper/x`, "writable", hex],
  ["overlay2/new/123-4/etc", "deleting", undefined],
  ["overlay2/trash/123-4", "deleting", undefined],
  ["overlay2/trash", "engine", undefined],
  ["overlay2/init/etc/hosts", "engine", undefined],
  ["overlay2/else", "engine", undefined],
  ["overlay2/else/file", "unknown", undefined],
  [`vfs/layers/${hex}`, "unknown", undefined],
  [`containers/${hex}`, "container-files", hex],
  [`containers/${hex}/hosts`, "container-files", hex],
  [`containers/${hex}/${hex}-json.log`, "logs", hex],
  [`containers/${hex}/${hex}-json.log.1.gz`, "logs", hex],
  ["volumes", "engine", undefined],
  ["volumes/data/_data/berth.db", "volumes", "data"],
  ["volumes/.removed-data/_data", "deleting", undefined],
  ["berth.db", "database", undefined],
  ["containers.db-wal", "database", undefined],
  ["berth.db/file", "unknown", undefined],
  ["lock", "engine", undefined],
  ["notes.txt", "unknown", undefined],
  ["", "unknown", undefined],
] as const)("%s", (path, kind, owner) => {
  expect(placeOf(path, "overlay2")).toEqual(owner === undefined ? { kind } : { kind, owner });
  expect(dataKinds).toContain(kind);
});
