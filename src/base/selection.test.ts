import { expect, test } from "bun:test";
import { isSelected, labelHolds } from "./selection.ts";

test("a label holds by name or by value, and values may have equals signs", () => {
  const labels = { a: "b", empty: "", path: "x=y" };
  expect(
    ["a", "a=b", "empty", "empty=", "path=x=y"].every((want) => labelHolds(labels, want)),
  ).toBe(true);
  expect(["b", "a=", "a=c", "path=x", "none="].some((want) => labelHolds(labels, want))).toBe(
    false,
  );
});

test("a selection wants every label, none of the unwanted, and an age", () => {
  const selection = { until: 100, labels: ["a"], withoutLabels: ["keep"] };
  expect(isSelected(selection, { a: "1" }, 99)).toBe(true);
  expect(isSelected(selection, { a: "1" }, 100)).toBe(false);
  expect(isSelected(selection, {}, 99)).toBe(false);
  expect(isSelected(selection, { a: "1", keep: "" }, 99)).toBe(false);
  expect(isSelected({ ...selection, until: undefined }, { a: "1" }, 1e15)).toBe(true);
});
