import { expect, test } from "bun:test";
import type { CacheEntry } from "./cache.ts";
import { entriesToForget, entriesToPrune, usualPolicy } from "./cache-policy.ts";

const entry = (key: string, usedAt: number, size: number): CacheEntry => ({
  ...{ key, usedAt, size, uses: 0, created: "", description: key },
  snapshot: { diffIds: [key], chain: [`c-${key}`], blobs: [key], size },
});
const entries = [entry("a", 100, 10), entry("b", 200, 20), entry("c", 300, 30)];
const keys = (chosen: readonly CacheEntry[]) => chosen.map(({ key }) => key);
const none: ReadonlySet<string> = new Set();

test("all of it, what no image has, what was not used since, what has a name", () => {
  const used = new Set(["c-b"]);
  expect(keys(entriesToPrune(entries, { all: true }, used))).toEqual(["a", "b", "c"]);
  expect(keys(entriesToPrune(entries, { all: false }, used))).toEqual(["a", "c"]);
  expect(keys(entriesToPrune(entries, { all: true, unusedSince: 200 }, used))).toEqual(["a"]);
  expect(keys(entriesToPrune(entries, { all: true, ids: ["b"] }, used))).toEqual(["b"]);
});

test("so much stays, and it is what was used last", () => {
  expect(keys(entriesToPrune(entries, { all: true, keep: 30 }, none))).toEqual(["a", "b"]);
  expect(keys(entriesToPrune(entries, { all: true, keep: 55 }, none))).toEqual(["a"]);
  expect(keys(entriesToPrune(entries, { all: true, keep: 60 }, none))).toEqual([]);
});

test("by themselves go the old, and the oldest of too many", () => {
  const now = 1e12;
  const half = usualPolicy.keep / 2;
  const many = [
    entry("old", now - usualPolicy.age - 1, 1),
    entry("x", now - 3, half),
    entry("y", now - 2, half),
    entry("z", now - 1, half),
  ];
  expect(keys(entriesToForget(many, now))).toEqual(["old", "x"]);
  expect(keys(entriesToForget(many.slice(2), now))).toEqual([]);
});
