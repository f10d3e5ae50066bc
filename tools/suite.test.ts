import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { runSuite } from "./suite.ts";

const dir = mkdtempSync("/tmp/berth-suite-");
afterAll(() => rmSync(dir, { recursive: true }));

const head =
  'import { existsSync, writeFileSync } from "node:fs";\nimport { expect, test } from "bun:test";\n';

/** Runs files of their own as a suite, in a process that shows nothing. */
async function outcomeOf(files: Readonly<Record<string, string>>) {
  const names = Object.keys(files).map((name) => `./${name}.test.ts`);
  for (const [name, text] of Object.entries(files))
    writeFileSync(`${dir}/${name}.test.ts`, head + text);
  const program = `${dir}/run.ts`;
  writeFileSync(
    program,
    `import { runSuite } from ${JSON.stringify(`${import.meta.dir}/suite.ts`)};
const outcome = await runSuite([process.execPath, "test"], ${JSON.stringify(names)}, { cwd: ${JSON.stringify(dir)}, env: process.env });
require("node:fs").writeFileSync(${JSON.stringify(`${dir}/outcome`)}, JSON.stringify(outcome));`,
  );
  const child = Bun.spawn([process.execPath, program], { stdout: "ignore", stderr: "ignore" });
  await child.exited;
  return (await Bun.file(`${dir}/outcome`).json()) as Awaited<ReturnType<typeof runSuite>>;
}

test("what passes, fails, and fails only once is told apart, each with its reason", async () => {
  const outcome = await outcomeOf({
    good: 'test("good", () => {});\n',
    bad: 'test("fine", () => {});\ntest("bad", () => expect("so").toBe("not"));\n',
    once: `test("once", () => {
  const known = existsSync("${dir}/known");
  writeFileSync("${dir}/known", "");
  expect(known).toBe(true);
});\n`,
  });
  expect(outcome).toMatchObject({ passed: 3, failed: 1 });
  expect(outcome.failures).toEqual([expect.stringMatching(/^\(fail\) bad[\s\S]*Received: "so"/)]);
  expect(outcome.unsteady).toEqual([expect.stringMatching(/^\(fail\) once[\s\S]*Received: false/)]);
});

test("a run that dies is a failure, although no test has failed", async () => {
  const outcome = await outcomeOf({ dies: 'test("dies", () => process.exit(3));\n' });
  expect(outcome).toMatchObject({ failed: 1, failures: [expect.stringContaining("status 3")] });
});
