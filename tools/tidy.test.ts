import { expect, test } from "bun:test";
import { exceptionsIn, strayExceptions } from "../tests/kits/rootless-exceptions.ts";
import { checkCatalogue, longFunctions, undocumented } from "./tidy.ts";

test("a function over the bar is named with its length", () => {
  const lines = ["export function f(): void {", "  a();", "  b();", "}"];
  expect(longFunctions(lines, 3)).toEqual(["export function f(): void { has 4 lines"]);
  expect(longFunctions(lines, 4)).toEqual([]);
  const method = ["  async run() {", "    a();", "  },", "  b: 1,", "  try {", "  }"];
  expect(longFunctions(["  call(a, {", "    b,", "  });", "  x {", "  }"], 1)).toEqual([]);
  expect(longFunctions(method, 2)).toEqual(["async run() { has 3 lines"]);
});

test("an export without a docstring is named", () => {
  expect(undocumented(["export const a = 1;"])).toEqual(["a has no docstring"]);
  expect(undocumented(["/** A. */", "export const a = 1;"])).toEqual([]);
});

test("the catalogue of errors is compared both ways", () => {
  const code = ['throw fault("invalid", "one", "x")', 'throw fault(\n "conflict",\n "two", y)'];
  expect(checkCatalogue(code, "| `one` | x |\n| `three` | y |")).toEqual([
    "docs/errors.md lacks two",
    "docs/errors.md has three, which no code gives",
  ]);
});

test("a listed exception must be of a test that is there", () => {
  const list = exceptionsIn(
    "# L\n\n- `no`: x\n\n## a\n\n- `one`: x\n- `in 1.24 | 2`: x\n- `on`: x\n- `onn`: x\n\n## b\n\n- `*`: y\n",
  );
  expect(list[1]).toEqual({ file: "a", name: "in 1.24 | 2", why: "x" });
  const text = 'test("one", f); test(`in ${version} | 2`, f);';
  const read = (file: string) => (file === "a" ? text : undefined);
  expect(strayExceptions({ list: "l.md" }, list, read)).toEqual([
    "l.md: a has no test onn",
    "l.md: there is no b",
  ]);
});
