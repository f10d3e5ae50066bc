import { expect, test } from "bun:test";
import { parseSubordinateIds, rangesOverlap } from "./subordinate-ids.ts";

test("lines that make sense are ranges, and others are nobody's", () => {
  const text = `# comment
ada:100000:65536
1000:200000:65536
  grace:300000:1
broken
ada:1:
ada:x:5
:5:5
ada:5:0
ada:4294967290:6
ada:-1:5
ada:4294967290:5`;
  expect(parseSubordinateIds(text)).toEqual([
    { owner: "ada", start: 100000, count: 65536 },
    { owner: "1000", start: 200000, count: 65536 },
    { owner: "grace", start: 300000, count: 1 },
    { owner: "ada", start: 4294967290, count: 5 },
  ]);
});

test("ranges overlap when they have an id in common", () => {
  const range = { start: 10, count: 5 };
  expect(rangesOverlap(range, { start: 14, count: 1 })).toBe(true);
  expect(rangesOverlap(range, { start: 0, count: 100 })).toBe(true);
  expect(rangesOverlap(range, { start: 15, count: 5 })).toBe(false);
  expect(rangesOverlap(range, { start: 5, count: 5 })).toBe(false);
});
