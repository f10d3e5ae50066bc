/**
 * Runs test files in one `bun test` and tells what came of it. Tests here race with a real kernel on machines that are busy with
 * other things; so a file with a failure is run once more, alone. What fails again has failed. What passes then is
 * unsteady: it does not fail the run, but it is named with its reason at the end, for somebody to find the cause.
 */

/** So much of what a failed test said is said again. */
const REASON_LINES = 40;
const REASON_WIDTH = 300;

/** What came of a suite. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** A text for each test that failed, with its reason. */
  readonly failures: readonly string[];
  /** The same of those that failed once and passed alone. */
  readonly unsteady: readonly string[];
}

/** What was printed by one run of `bun test`, and how it ended. */
interface Run {
  readonly text: string;
  readonly status: number;
}

/** One test that failed. */
interface Failure {
  readonly file: string;
  readonly reason: string;
}

/** Runs `files` with their output shown. `argv` is what comes before their names. */
export async function runSuite(
  argv: readonly string[],
  files: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<Outcome> {
  const run = await runOnce(argv, files, options);
  const failed = failuresIn(run.text);
  let passed = count(run.text, "pass");
  const failures: string[] = [];
  const unsteady: string[] = [];
  for (const file of new Set(failed.map((one) => one.file))) {
    const reasons = failed.filter((one) => one.file === file).map((one) => one.reason);
    console.log(`----  once more, alone: ${file}`);
    const again = file === "" ? undefined : await runOnce(argv, [file], options);
    if (again?.status !== 0) failures.push(...reasons);
    else {
      passed += reasons.length;
      unsteady.push(...reasons);
    }
  }
  // A crash or an error outside of a test fails the run even if each test passed.
  if (run.status !== 0 && failed.length === 0)
    failures.push(`every test passed, but the run ended with status ${run.status}`);
  return { passed, failed: failures.length, failures, unsteady };
}

async function runOnce(
  argv: readonly string[],
  files: readonly string[],
  options: Parameters<typeof runSuite>[2],
): Promise<Run> {
  const child = Bun.spawn([...argv, ...files], { ...options, stdout: "inherit", stderr: "pipe" });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr) {
    const part = decoder.decode(chunk, { stream: true });
    text += part;
    process.stderr.write(part);
  }
  return { text, status: await child.exited };
}

/** A number of the summary. */
function count(text: string, word: string): number {
  return Number(new RegExp(`^\\s*(\\d+) ${word}$`, "m").exec(text)?.[1] ?? 0);
}

/** The tests that failed, with the lines above each that tell why. */
export function failuresIn(text: string): Failure[] {
  const lines = text.split("\n");
  const found: Failure[] = [];
  let file = "";
  let own = 0;
  for (const [at, line] of lines.entries()) {
    // What `bun test` repeats in its summary has no reasons.
    if (/^\d+ tests? (skipped|failed):$/.test(line)) break;
    if (line.endsWith(".test.ts:")) file = `./${line.slice(0, -1)}`;
    else if (line.startsWith("(fail) ")) {
      const above = lines.slice(Math.max(own, at - REASON_LINES), at);
      const reason = [line, ...above].map((one) => one.slice(0, REASON_WIDTH)).join("\n      ");
      found.push({ file, reason });
    } else if (!/^\((pass|skip)\) /.test(line)) continue;
    own = at + 1;
  }
  return found;
}
