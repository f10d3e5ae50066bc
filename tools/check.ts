/**
 * `./test`: type check, lint, import ranks, house rules, build, unit tests, black-box tests. Each step counts as passed
 * or failed, each test of a suite too. The last line is "N passed, N failed".
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { checkRanks } from "./ranks.ts";
import { checkTidy } from "./tidy.ts";

const root = join(import.meta.dir, "..");
const bun = process.execPath;
let passed = 0;
let failed = 0;
/** What failed, with why: said again at the end, since whoever sees only that must be able to tell. */
const failures: string[] = [];

function report(name: string, problems: readonly string[]): boolean {
  if (problems.length === 0) {
    passed++;
    console.log(`ok    ${name}`);
    return true;
  }
  failed++;
  console.log(`FAIL  ${name}`);
  for (const problem of problems) console.log(`      ${problem}`);
  failures.push([name, ...problems].join("\n      "));
  return false;
}

async function command(name: string, argv: readonly string[]): Promise<boolean> {
  const child = Bun.spawn([...argv], { cwd: root, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const status = await child.exited;
  return report(name, status === 0 ? [] : [...(out + err).trim().split("\n").slice(-80)]);
}

/** So much of what a failed test said is said again. */
const REASON_LINES = 40;
const REASON_WIDTH = 300;

/** Runs test files in one `bun test`, shows its output, and adds up what it counted. */
async function suite(
  name: string,
  files: readonly string[],
  timeoutMs: number,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  if (files.length === 0) return;
  console.log(`----  ${name}`);
  const child = Bun.spawn([bun, "test", "--timeout", String(timeoutMs), ...files], {
    cwd: root,
    env: { ...process.env, ...env },
    stdout: "inherit",
    stderr: "pipe",
  });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr) {
    const part = decoder.decode(chunk, { stream: true });
    text += part;
    process.stderr.write(part);
  }
  const status = await child.exited;
  const count = (word: string) =>
    Number(new RegExp(`^\\s*(\\d+) ${word}$`, "m").exec(text)?.[1] ?? 0);
  passed += count("pass");
  failed += count("fail");
  // A crash or an error outside of a test fails the run even if each test passed.
  if (status !== 0 && count("fail") === 0) {
    failed++;
    failures.push(`${name}: every test passed, but the run ended with status ${status}`);
  }
  failures.push(...failedTests(text).map((test) => `${name}: ${test}`));
}

/** The tests that failed, each with the lines above it that tell why. */
function failedTests(text: string): string[] {
  const lines = text.split("\n");
  // What `bun test` repeats in its summary has no reasons.
  const summary = lines.findIndex((line) => /^\d+ tests? (skipped|failed):$/.test(line));
  const last = lines.findLastIndex((line) => /^\s*\d+ pass$/.test(line));
  return lines.slice(0, summary === -1 ? last : summary).flatMap((line, at) => {
    if (!line.startsWith("(fail) ")) return [];
    const above = lines.slice(Math.max(0, at - REASON_LINES), at);
    const own = above.findLastIndex((one) => /^\((pass|fail|skip)\) |\.test\.ts:$/.test(one)) + 1;
    const shown = [line, ...above.slice(own)].map((one) => one.slice(0, REASON_WIDTH));
    return [shown.join("\n      ")];
  });
}

const named = process.argv.slice(2);
const find = (pattern: string) => Array.from(new Glob(pattern).scanSync(root)).sort();

await command("wire.h is what src/spec/wire.ts describes", [bun, "tools/wire.ts", "--check"]);
await command("types", ["node_modules/.bin/tsc", "--noEmit"]);
await command("lint and format", ["node_modules/.bin/biome", "check", "--error-on-warnings"]);
report("import ranks", checkRanks(join(root, "src")));
report("house rules", checkTidy(root));
const built = await command("build", [bun, "tools/build.ts"]);
const units = find("{src,tools}/**/*.test.ts").map((file) => `./${file}`);
const blackBox = find("tests/e2e/**/*.test.ts")
  .filter((file) => named.length === 0 || named.some((name) => file.includes(name)))
  .map((file) => `./${file}`);
if (named.length === 0) {
  await suite("unit tests", units, 60_000);
  const native = units.filter((file) => /shim-client|kernel\/client/.test(file));
  await suite("the C programs with address and undefined-behaviour sanitizers", native, 60_000, {
    BERTH_TEST_SANITIZE: "1",
  });
}
if (built && existsSync(join(root, "dist/berth")))
  await suite("black-box tests", blackBox, 120_000);
for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
