/**
 * `./test`: type check, lint, import ranks, house rules, build, unit tests, black-box tests. Each step counts as passed
 * or failed, each test of a suite too. The last line is "N passed, N failed".
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { prepareDebianRoot } from "./debian-root.ts";
import { checkRanks } from "./ranks.ts";
import { measureStartUp } from "./start-up.ts";
import { runSuite } from "./suite.ts";
import { checkTidy } from "./tidy.ts";

const root = join(import.meta.dir, "..");
const bun = process.execPath;
let passed = 0;
let failed = 0;
/** What failed, with why: said again at the end, since whoever sees only that must be able to tell. */
const failures: string[] = [];
const unsteady: string[] = [];

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

/** Runs test files and adds up what came of them. */
async function suite(
  name: string,
  files: readonly string[],
  timeoutMs: number,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  if (files.length === 0) return;
  console.log(`----  ${name}`);
  const argv = [bun, "test", "--timeout", String(timeoutMs)];
  const outcome = await runSuite(argv, files, { cwd: root, env: { ...process.env, ...env } });
  passed += outcome.passed;
  failed += outcome.failed;
  failures.push(...outcome.failures.map((test) => `${name}: ${test}`));
  unsteady.push(...outcome.unsteady.map((test) => `${name}: ${test}`));
}

/** A start's cost is watched as its ratio to docker's, since no figure by itself would mean the same on another machine. */
function startUp(): void {
  const docker = Bun.which("docker");
  if (docker === null) {
    console.log("skip  start-up beside docker's: there is no docker here");
    return;
  }
  for (const { line, berthMs, dockerMs, ratio, least } of measureStartUp(
    `${root}/dist/berth`,
    docker,
  )) {
    const figures = `${berthMs.toFixed(1)} ms of a processor, docker ${dockerMs.toFixed(1)}, ${ratio.toFixed(1)} times`;
    const problem = `${figures}: less than ${least} times`;
    report(`start of berth ${line}: ${figures}`, ratio < least ? [problem] : []);
  }
}

const named = process.argv.slice(2);
const find = (pattern: string) => Array.from(new Glob(pattern).scanSync(root)).sort();

await command("wire.h is what src/spec/wire.ts describes", [bun, "tools/wire.ts", "--check"]);
await command("docs/reference is what the command table says", [
  bun,
  "tools/reference.ts",
  "--check",
]);
await command("types", ["node_modules/.bin/tsc", "--noEmit"]);
await command("lint and format", ["node_modules/.bin/biome", "check", "--error-on-warnings"]);
report("import ranks", checkRanks(join(root, "src")));
report("house rules", checkTidy(root));
const built = await command("build", [bun, "tools/build.ts"]);
if (built && named.length === 0) startUp();
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
if (blackBox.some((file) => file.includes("packages-debian"))) {
  const why = await prepareDebianRoot();
  if (why !== "") console.log(`skip  packages in a fresh Debian: ${why}`);
}
if (built && existsSync(join(root, "dist/berth")))
  await suite("black-box tests", blackBox, 120_000);
for (const test of unsteady) console.log(`failed, and passed alone: ${test}`);
for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
