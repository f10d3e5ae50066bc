/**
 * Runs test files by `bun test` and tells what came of them. Several run beside one another, each in a host of its own, where
 * there can be such hosts. Tests here race with a real kernel on machines that are busy with other things; so a file with a
 * failure is run once more, alone and on the host itself. What fails again has failed. What passes then is unsteady: it does not
 * fail the run, but it is named with its reason at the end, for somebody to find the cause.
 */
import { OwnHost } from "./own-host.ts";

/** So much of what a failed test said is said again. */
const REASON_LINES = 40;
const REASON_WIDTH = 300;

/** Files that are run by one process. */
export interface Job {
  /** Whose results they are. */
  readonly suite: string;
  readonly files: readonly string[];
  /** What is set besides the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** They are not begun before this. */
  readonly after?: Promise<unknown>;
}

/** How jobs are run. */
export interface Running {
  readonly cwd: string;
  /** What comes before the names of a suite's files. */
  readonly argv: (suite: string) => readonly string[];
  /** So many jobs run at once, each in a host of its own; 1: one after the other, on the host itself. */
  readonly beside: number;
}

/** What came of jobs. */
export interface Outcome {
  readonly passed: number;
  /** A text for each test that failed, with its suite and its reason. */
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

/** Runs jobs in their order, with their output shown. */
export async function runJobs(jobs: readonly Job[], running: Running): Promise<Outcome> {
  const waiting = [...jobs];
  const done: { job: Job; run: Run }[] = [];
  const lane = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      await job.after;
      done.push({ job, run: await runOnce(job, running, running.beside > 1) });
    }
  };
  await Promise.all(Array.from({ length: running.beside }, lane));
  let passed = 0;
  const failures: string[] = [];
  const unsteady: string[] = [];
  for (const { job, run } of done) {
    const failed = failuresIn(run.text);
    passed += count(run.text, "pass");
    // A crash or an error outside of a test fails the run even if each test passed.
    if (run.status !== 0 && failed.length === 0)
      failures.push(`${titleOf(job)}: every test passed, but the run ended with ${run.status}`);
    for (const file of new Set(failed.map((one) => one.file))) {
      const reasons = failed.flatMap((one) =>
        one.file === file ? [`${job.suite}: ${one.reason}`] : [],
      );
      console.log(`----  once more, alone: ${file}`);
      const again = file === "" ? undefined : await runOnce({ ...job, files: [file] }, running);
      if (again?.status !== 0) failures.push(...reasons);
      else {
        passed += reasons.length;
        unsteady.push(...reasons);
      }
    }
  }
  return { passed, failures, unsteady };
}

const titleOf = ({ suite, files }: Job) =>
  files.length === 1 ? `${suite}: ${files[0]}` : `${suite}: ${files.length} files`;

async function runOnce(job: Job, running: Running, apart = false): Promise<Run> {
  const host = apart ? OwnHost.make() : undefined;
  const words = [...running.argv(job.suite), ...job.files];
  const child = Bun.spawn(host?.running(words) ?? words, {
    cwd: running.cwd,
    env: { ...process.env, ...job.env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const held: Uint8Array[] = [];
  const show = (chunk: Uint8Array) => (apart ? held.push(chunk) : process.stderr.write(chunk));
  let text = "";
  const decoder = new TextDecoder();
  const [status] = await Promise.all([
    child.exited,
    eachChunk(child.stdout, show),
    eachChunk(child.stderr, (chunk) => {
      text += decoder.decode(chunk, { stream: true });
      show(chunk);
    }),
  ]);
  const used = host?.processorSeconds;
  host?.remove();
  // What ran beside others is shown in one piece.
  if (apart) {
    const figure = used === undefined ? "" : ` (${used.toFixed(1)} s of a processor)`;
    process.stderr.write(Buffer.concat([Buffer.from(`----  ${titleOf(job)}${figure}\n`), ...held]));
  }
  return { text, status };
}

async function eachChunk(
  stream: ReadableStream<Uint8Array>,
  take: (chunk: Uint8Array) => unknown,
): Promise<void> {
  for await (const chunk of stream) take(chunk);
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
