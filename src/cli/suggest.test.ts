import { expect, test } from "bun:test";
import fc from "fast-check";
import { distance, nearest } from "./suggest.ts";

test("a slip of the fingers is one mistake", () => {
  for (const [a, b, far] of [
    ["start", "start", 0],
    ["satrt", "start", 1],
    ["strt", "start", 1],
    ["starrt", "start", 1],
    ["ztart", "start", 1],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
  ] as const)
    expect(distance(a, b)).toBe(far);
});

test("it is as far one way as the other, and no farther than both are long", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      expect(distance(a, b)).toBe(distance(b, a));
      expect(distance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      expect(distance(a, b) === 0).toBe(a === b);
    }),
  );
});

test("what is far from everything is nothing's mistake", () => {
  expect(nearest("pz", ["ps", "port"])).toBe("ps");
  expect(nearest("Webserver", ["webserver", "db"])).toBe("webserver");
  expect(nearest("xyz", ["ps", "run"])).toBeUndefined();
  expect(nearest("databaze-production", ["database-production", "web"])).toBe(
    "database-production",
  );
});
