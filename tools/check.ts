/**
 * `./test`: type check, lint, import ranks, house rules, build, unit tests, black-box tests. Each step counts as passed
 * or failed, each test of a suite too. The last line is "N passed, N failed".
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Glob } from "bun";
import { prepareDebianRoot } from "./debian-root.ts";
import { whyNoOwnHost } from "./own-host.ts";
import { checkRanks } from "./ranks.ts";
import { measureStartUp } from "./start-up.ts";
import { type Job, runJobs } from "./suite.ts";
import { checkTidy } from "./tidy.ts";

const root = join(import.meta.dir, "..");
const bun = process.execPath;
let passed = 0;
let failed = 0;
/** What failed, with why: said again at the end, since whoever sees only that must be able to tell. */
const failures: string[] = [];

/** The longest of the black-box files: they begin first, so that none goes on alone when all others have ended. */
const LONGEST = [
  ...["build-conformance", "build-bad-input", "soak", "differential", "clients", "storage-drivers"],
  ...["storage-migrate", "network-load", "tutorial", "firewall-policy", "machine.", "volumes."],
];
/** So many hosts of their own at most: each file keeps a daemon and a registry busy, and the disk is one. */
const MOST_BESIDE = 4;
/** For one test; it is to end what hangs, not what is slow. */
const PATIENCE_MS: Readonly<Record<string, number>> = { "black-box tests": 300_000 };

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

/** Begins to make the Debian that a test needs. It has the network meanwhile, and the tests the rest. */
async function debian(): Promise<void> {
  const why = await prepareDebianRoot();
  if (why !== "") console.log(`skip  packages in a fresh Debian: ${why}`);
}

const named = process.argv.slice(2);
const find = (pattern: string) => Array.from(new Glob(pattern).scanSync(root)).sort();

function unitJobs(): Job[] {
  const units = find("{src,tools}/**/*.test.ts").map((file) => `./${file}`);
  const native = units.filter((file) => /shim-client|kernel\/client/.test(file));
  const suite = "the C programs with address and undefined-behaviour sanitizers";
  return [
    { suite: "unit tests", files: units },
    { suite, files: native, env: { BERTH_TEST_SANITIZE: "1" } },
  ];
}

function blackBoxJobs(): Job[] {
  const rank = (file: string) => {
    const at = LONGEST.findIndex((name) => file.includes(`/e2e/${name}`));
    return at < 0 ? LONGEST.length : at;
  };
  const files = find("tests/e2e/**/*.test.ts")
    .filter((file) => named.length === 0 || named.some((name) => file.includes(name)))
    .sort((a, b) => rank(a) - rank(b));
  const inDebian = (file: string) => file.includes("packages-debian");
  const after = files.some(inDebian) ? debian() : undefined;
  const job = (file: string): Job => ({ suite: "black-box tests", files: [`./${file}`] });
  return [
    ...files.filter((file) => !inDebian(file)).map(job),
    ...files.filter(inDebian).map((file) => ({ ...job(file), ...(after && { after }) })),
  ];
}

/** How many test files run at once. */
function howManyBeside(): number {
  const processors = Math.min(availableParallelism(), MOST_BESIDE);
  const why = processors > 1 ? whyNoOwnHost() : "there is one processor";
  if (why === undefined) return processors;
  console.log(`note  test files run one after the other, not in hosts of their own: ${why}`);
  return 1;
}

await Promise.all([
  command("wire.h is what src/spec/wire.ts describes", [bun, "tools/wire.ts", "--check"]),
  command("docs/reference is what the command table says", [bun, "tools/reference.ts", "--check"]),
  command("types", ["node_modules/.bin/tsc", "--noEmit"]),
  command("lint and format", ["node_modules/.bin/biome", "check", "--error-on-warnings"]),
]);
report("import ranks", checkRanks(join(root, "src")));
report("house rules", checkTidy(root));
const built = await command("build", [bun, "tools/build.ts"]);
if (built && named.length === 0) startUp();
const jobs = [
  ...(named.length === 0 ? unitJobs() : []),
  ...(built && existsSync(join(root, "dist/berth")) ? blackBoxJobs() : []),
];
if (jobs.length > 0) {
  const outcome = await runJobs(jobs, {
    cwd: root,
    beside: howManyBeside(),
    argv: (suite) => [bun, "test", "--timeout", String(PATIENCE_MS[suite] ?? 60_000)],
  });
  passed += outcome.passed;
  failed += outcome.failures.length;
  failures.push(...outcome.failures);
  for (const test of outcome.unsteady) console.log(`failed, and passed alone: ${test}`);
}
for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
