import { expect, test } from "bun:test";
import { type CacheRecord, recordsToForget, recordsToPrune, usualPolicy } from "./cache-policy.ts";

const record = (id: string, usedAt: number, size: number, more: Partial<CacheRecord> = {}) => ({
  ...{ id, parents: [], type: "regular" as const, description: id, createdAt: 0, uses: 0 },
  ...{ usedAt, size, shared: false, inUse: false, ...more },
});
// Not in the order of their uses.
const records = [record("b", 200, 20), record("a", 100, 10), record("c", 300, 30)];
const ids = (chosen: readonly CacheRecord[]) => chosen.map(({ id }) => id);

test("all of it, what no image has, what was not used since, what nobody uses", () => {
  const mixed = [
    record("s", 50, 5, { shared: true }),
    ...records,
    record("u", 1, 1, { inUse: true }),
  ];
  expect(ids(recordsToPrune(mixed, { all: true }))).toEqual(["s", "a", "b", "c"]);
  expect(ids(recordsToPrune(mixed, { all: false }))).toEqual(["a", "b", "c"]);
  expect(ids(recordsToPrune(mixed, { all: true, unusedSince: 200 }))).toEqual(["s", "a"]);
  expect(ids(recordsToPrune(mixed, { all: true, shared: true }))).toEqual(["s"]);
  expect(ids(recordsToPrune(mixed, { all: true, shared: false }))).toEqual(["a", "b", "c"]);
  expect(ids(recordsToPrune(mixed, { all: true, inUse: true }))).toEqual([]);
});

test("by ids, parents, types and descriptions, all of which must hold", () => {
  const some = [
    record("aa1", 1, 1, { description: "RUN x", parents: ["p"] }),
    record("ab2", 2, 1, { type: "exec.cachemount", description: "RUN x" }),
  ];
  expect(ids(recordsToPrune(some, { all: true, ids: ["aa"] }))).toEqual(["aa1"]);
  expect(ids(recordsToPrune(some, { all: true, parents: ["p"] }))).toEqual(["aa1"]);
  expect(ids(recordsToPrune(some, { all: true, types: ["exec.cachemount"] }))).toEqual(["ab2"]);
  expect(ids(recordsToPrune(some, { all: true, descriptions: ["RUN x"] }))).toEqual(["aa1", "ab2"]);
  expect(
    ids(recordsToPrune(some, { all: true, descriptions: ["RUN x"], types: ["regular"] })),
  ).toEqual(["aa1"]);
});

test("so much stays, and it is what was used last; what images have does not count", () => {
  expect(ids(recordsToPrune(records, { all: true, keep: 30 }))).toEqual(["a", "b"]);
  expect(ids(recordsToPrune(records, { all: true, keep: 55 }))).toEqual(["a"]);
  expect(ids(recordsToPrune(records, { all: true, keep: 60 }))).toEqual([]);
  const shared = record("s", 1, 1000, { shared: true });
  expect(ids(recordsToPrune([shared, ...records], { all: true, keep: 60 }))).toEqual([]);
});

test("by themselves go the old, and the oldest of too many", () => {
  const now = 1e12;
  const half = usualPolicy.keep / 2;
  const many = [
    record("old", now - usualPolicy.age - 1, 1),
    record("x", now - 3, half),
    record("y", now - 2, half),
    record("z", now - 1, half),
  ];
  expect(ids(recordsToForget(many, now))).toEqual(["old", "x"]);
  expect(ids(recordsToForget(many.slice(2), now))).toEqual([]);
});
