import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { reasons, type StepInputs, StepRecords } from "./explain.ts";

const inputs: StepInputs = {
  instruction: "COPY . /x",
  parent: "sha256:a",
  values: { "the variable A": "1", "the user": "2" },
  files: { a: "1", b: "2", "c/d": "3" },
};

test("each difference is told by its name", () => {
  expect(reasons(undefined, inputs)).toEqual(["it was not built before in this place"]);
  expect(reasons(inputs, inputs)[0]).toMatch(/^nothing has changed/);
  expect(reasons(inputs, { ...inputs, instruction: "COPY a /x" })).toEqual([
    "the instruction is another: it was COPY . /x",
  ]);
  const now = {
    ...inputs,
    parent: "sha256:b",
    values: { "the variable A": "9", "the variable B": "1", "the user": "2" },
    files: { a: "1", b: "9", e: "4" },
  };
  expect(reasons(inputs, now)).toEqual([
    "what it stands on has changed",
    "the variable A has changed",
    "the variable B is new",
    "the file b has changed",
    "the file c/d is gone",
    "the file e is new",
  ]);
  const many = Object.fromEntries(Array.from({ length: 99 }, (_, index) => [`f${index}`, "x"]));
  expect(reasons({ ...inputs, files: {} }, { ...inputs, files: many }).at(-1)).toBe("and 94 more");
  expect(reasons({ ...inputs, files: {} }, { ...inputs, files: { constructor: "x" } })).toEqual([
    "the file constructor is new",
  ]);
});

test("a place has what went into it last; what nobody builds any more is forgotten", async () => {
  const records = new StepRecords(new Database(":memory:"));
  const place = { project: "p", stage: 0, number: 2 };
  expect(records.find(place)).toBeUndefined();
  await records.put(place, "k1", async () => inputs);
  await records.put(place, "k1", async () => ({ ...inputs, parent: "not looked at" }));
  expect(records.find(place)).toEqual(inputs);
  await records.put(place, "k2", async () => ({ ...inputs, parent: "other" }));
  expect(records.find(place)?.parent).toBe("other");
  expect(records.find({ ...place, project: "q" })).toBeUndefined();
  records.forget(Date.now() + 1000);
  expect(records.find(place)).toBeUndefined();
});
