/**
 * What fuzzing has found and covered, given to the C programs again under sanitizers (native/fuzz): with whatever compiler
 * there is, since only finding new inputs needs libFuzzer.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const corpus = join(root, "native/fuzz/corpus");
const scratch = mkdtempSync("/tmp/bt-fuzz-");
afterAll(() => rmSync(scratch, { recursive: true }));

const harnesses = readdirSync(corpus).sort();

test("harnesses are built, and nothing that they call can do harm", () => {
  expect(harnesses).toEqual(["commands", "guard", "helper", "log", "plan", "shim"]);
  const argv = ["sh", join(root, "native/fuzz/build.sh"), scratch, "replay", ...harnesses];
  const built = Bun.spawnSync(argv);
  expect([built.exitCode, built.stderr.toString()]).toEqual([0, ""]);
}, 600_000);

for (const name of harnesses) {
  test(`no input of the corpus breaks the harness ${name}`, () => {
    const run = Bun.spawnSync([join(scratch, name), join(corpus, name)]);
    // The last lines: which input it was, and what was wrong.
    const said = run.exitCode === 0 ? "" : run.stderr.toString().slice(-6000);
    expect([run.exitCode, said]).toEqual([0, ""]);
    const count = readdirSync(join(corpus, name)).length;
    expect(run.stdout.toString()).toBe(`${count} inputs\n`);
    expect(count).toBeGreaterThan(50);
  }, 600_000);
}
