import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { whyNoOwnHost } from "./own-host.ts";
import type { runJobs } from "./suite.ts";

const dir = mkdtempSync("/tmp/berth-suite-");
afterAll(() => rmSync(dir, { recursive: true }));

const head =
  'import { existsSync, writeFileSync } from "node:fs";\nimport { expect, test } from "bun:test";\n';

/** Runs files of their own, each as a job, in a process that shows nothing. */
async function outcomeOf(files: Readonly<Record<string, string>>, beside = 1) {
  const jobs = Object.keys(files).map((name) => ({ suite: "s", files: [`./${name}.test.ts`] }));
  for (const [name, text] of Object.entries(files))
    writeFileSync(`${dir}/${name}.test.ts`, head + text);
  const program = `${dir}/run.ts`;
  writeFileSync(
    program,
    `import { runJobs } from ${JSON.stringify(`${import.meta.dir}/suite.ts`)};
const running = { cwd: ${JSON.stringify(dir)}, argv: () => [process.execPath, "test"], beside: ${beside} };
const outcome = await runJobs(${JSON.stringify(jobs)}, running);
require("node:fs").writeFileSync(${JSON.stringify(`${dir}/outcome`)}, JSON.stringify(outcome));`,
  );
  const child = Bun.spawn([process.execPath, program], { stdout: "ignore", stderr: "ignore" });
  await child.exited;
  return (await Bun.file(`${dir}/outcome`).json()) as Awaited<ReturnType<typeof runJobs>>;
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
  expect(outcome.passed).toBe(3);
  expect(outcome.failures).toEqual([
    expect.stringMatching(/^s: \(fail\) bad[\s\S]*Received: "so"/),
  ]);
  expect(outcome.unsteady).toEqual([
    expect.stringMatching(/^s: \(fail\) once[\s\S]*Received: false/),
  ]);
});

const apart = test.skipIf(whyNoOwnHost() !== undefined);

apart("beside one another, each sees its own processes, network and control groups", async () => {
  // Both wait for the other, so neither passes when they are run in turn.
  const file = (
    own: string,
    other: string,
  ) => `import { mkdirSync, readdirSync, readFileSync } from "node:fs";
test("${own}", async () => {
  writeFileSync("${dir}/${own}-runs", "");
  while (!existsSync("${dir}/${other}-runs")) await Bun.sleep(5);
  const commands = readdirSync("/proc").filter((name) => /^\\d+$/.test(name))
    .map((pid) => readFileSync(\`/proc/\${pid}/cmdline\`, "utf8"));
  expect(commands.some((line) => line.includes("${own}.test.ts"))).toBe(true);
  expect(commands.some((line) => line.includes("${other}.test.ts"))).toBe(false);
  expect(readdirSync("/sys/class/net")).toEqual(expect.arrayContaining(["lo"]));
  expect(readdirSync("/sys/class/net").filter((name) => name.startsWith("side-"))).toEqual([]);
  expect(Bun.spawnSync(["ip", "link", "add", "side-${own}", "type", "bridge"]).exitCode).toBe(0);
  mkdirSync("/sys/fs/cgroup/pids/side");
  writeFileSync("/sys/fs/cgroup/pids/side/pids.max", "7");
});
`;
  const outcome = await outcomeOf({ left: file("left", "right"), right: file("right", "left") }, 2);
  expect(outcome).toEqual({ passed: 2, failures: [], unsteady: [] });
  expect(existsSync("/sys/class/net/side-left")).toBe(false);
});

test("a run that dies is a failure, although no test has failed", async () => {
  const outcome = await outcomeOf({ dies: 'test("dies", () => process.exit(3));\n' });
  expect(outcome.failures).toEqual([expect.stringContaining("ended with 3")]);
});
