/** Names in the order of their bytes. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { sortNames } from "./walk.ts";

test("names are sorted by their bytes, whatever they are made of", () => {
  const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
  expect(sortNames(["b", "a", "\u{1F600}", "\uFFFD", "é", "ab", "Z"])).toEqual([
    ...["Z", "a", "ab", "b", "é", "\uFFFD", "\u{1F600}"],
  ]);
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "grapheme" })), (names) => {
      expect(sortNames([...names])).toEqual([...names].sort(byBytes));
    }),
  );
});
