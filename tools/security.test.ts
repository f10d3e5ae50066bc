/** docs/security.md names a test for each attack: they must exist. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const page = readFileSync(join(root, "docs/security.md"), "utf8");

test("every test that docs/security.md names is in its file", () => {
  const named = [...page.matchAll(/\| `((?:tests|src|tools)\/[^`]+)`: ([^|]+?) \|/g)];
  expect(named.length).toBeGreaterThan(40);
  const missing = named
    .map(([, file = "", name = ""]) => ({ file, name }))
    .filter(({ file, name }) => {
      const path = join(root, file);
      if (!existsSync(path)) return true;
      // Some are only where the kernel is new enough, `test.if(…)(` and `test.skipIf(…)(`, or of many cases, `test.each([…])(`.
      const text = readFileSync(path, "utf8").replace(
        /(\btest\.(?:skipI|i)f\([^()]+\)|\](?: as const)?\))\(\s*"/g,
        'test("',
      );
      return !text.includes(`test("${name}`);
    });
  expect(missing).toEqual([]);
});
