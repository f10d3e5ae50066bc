import { expect, test } from "bun:test";
import { importsOf, objection } from "./ranks.ts";

test("imports go downwards and through the public file only", () => {
  expect(objection("engine/create.ts", "images/index.ts")).toBeUndefined();
  expect(objection("engine/create.ts", "images/store.ts")).toContain("only images/index.ts");
  expect(objection("images/store.ts", "engine/index.ts")).toContain("may not know");
  expect(objection("network/bridge.ts", "storage/index.ts")).toContain("may not know");
  expect(objection("cli/run.ts", "engine/index.ts")).toContain("HTTP");
  expect(objection("engine/create.ts", "base/errors.ts")).toBeUndefined();
});

test("static, type and dynamic imports are all seen", () => {
  const source = `import a from "./a.ts"; import type { B } from "../b.ts"; await import("./c.ts");`;
  expect(importsOf(source)).toEqual(["./a.ts", "../b.ts", "./c.ts"]);
});
