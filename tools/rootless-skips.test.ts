import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { modes, readExceptions } from "../tests/kits/rootless-exceptions.ts";

const root = join(import.meta.dir, "..");
const dir = mkdtempSync("/tmp/berth-skips-");
afterAll(() => rmSync(dir, { recursive: true }));

const none = Object.fromEntries(modes.map(({ variable }) => [variable, ""]));

/** How a file with a failing test of this name, and one that passes, is run where `env` is set. */
async function outcomeOf(file: string, name: string, env: Record<string, string>): Promise<string> {
  writeFileSync(
    `${dir}/${file}.test.ts`,
    `import { expect, test } from "bun:test";
test(${JSON.stringify(name)}, () => expect(1).toBe(2));
test.each([1, 2])("other %d", () => {});`,
  );
  const preload = join(root, "tests/kits/rootless-skips.ts");
  const child = Bun.spawn([process.execPath, "test", "--preload", preload, `./${file}.test.ts`], {
    cwd: dir,
    env: { ...process.env, ...env },
    stdout: "ignore",
    stderr: "pipe",
  });
  return await child.stderr.text();
}

test.each(modes)(
  "$variable: what is listed is skipped with its reason, or, if asked for, expected to fail",
  async (mode) => {
    const [listed] = readExceptions(root, mode).filter((one) => one.name !== "*");
    if (listed === undefined) throw new Error("the list is empty");
    const { file, name, why } = listed;
    const on = { ...none, [mode.variable]: "1" };
    const skipped = await outcomeOf(file, name, on);
    expect(skipped).toContain(`(skip) ${name} [not without root: ${why}]`);
    expect(skipped).toMatch(/ 2 pass\n 1 skip\n 0 fail/);
    const asked = { ...on, [`${mode.variable}_LISTED`]: "1" };
    expect(await outcomeOf(file, name, asked)).toMatch(/ 3 pass\n 0 fail/);
    expect(await outcomeOf(file, "not listed", on)).toMatch(/ 1 fail\n/);
    expect(await outcomeOf(file, name, none)).toMatch(/ 1 fail\n/);
  },
);
