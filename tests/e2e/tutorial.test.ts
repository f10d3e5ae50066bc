/**
 * The tutorial, replayed: every command of docs/tutorial/ says what the text shows. With BERTH_TUTORIAL=rewrite the answers in the
 * files are replaced by what came.
 */
import { afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { scratchDirectory } from "../kits/scratch.ts";
import { aligned, shortened } from "../kits/tutorial/compare.ts";
import { type Step, stepsOf, withAnswers } from "../kits/tutorial/document.ts";
import { type Played, playChapter } from "../kits/tutorial/play.ts";

const folder = join(import.meta.dir, "../../docs/tutorial");
const chapters = readdirSync(folder).filter((name) => /^\d+-.*\.md$/.test(name));
/** For a chapter: some seconds, unless the machine has much else to do. */
const PATIENCE_MS = 400_000;
const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

async function played(path: string): Promise<Played> {
  const before = takeCensus();
  const directory = scratchDirectory("bu-");
  directories.push(directory);
  const outcome = await playChapter(path, directory);
  expect([...outcome.leftover, ...(await settledLeftover(before))]).toEqual([]);
  return outcome;
}

/** What is said otherwise than the chapter shows, as one text a command. */
function differences(steps: readonly Step[], { answers }: Played): string[] {
  return steps.flatMap((step, at) => {
    const answer = answers[at] ?? [];
    if (aligned(step.expected, answer) !== undefined) return [];
    const shown = `the text:\n${step.expected.join("\n")}\nwhat came:\n${answer.join("\n")}`;
    return [`line ${step.from}: $ ${step.command}\n${shown}`];
  });
}

test.each(chapters)(
  "%s says what comes",
  async (name) => {
    const path = join(folder, name);
    const text = readFileSync(path, "utf8");
    const steps = stepsOf(text);
    expect(steps.length).toBeGreaterThan(5);
    const outcome = await played(path);
    if (process.env.BERTH_TUTORIAL === "rewrite") {
      const answers = steps.map((step, at) => shortened(step.expected, outcome.answers[at] ?? []));
      writeFileSync(path, withAnswers(text, answers));
    } else expect(differences(steps, outcome)).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  "an answer that does not come is noticed, and rewritten",
  async () => {
    const directory = scratchDirectory("bu-");
    directories.push(directory);
    const path = join(directory, "chapter.md");
    const block = (...lines: string[]) => ["```console", ...lines, "```", ""].join("\n");
    const text = [
      block("$ berth run --rm busybox sh -c 'echo one; echo two'", "one", "three"),
      "Text\n",
      block("$ name=kept", "$ cat <<EOF", "> $name", "> EOF", "kept"),
      block("$ seq 5; false", "1", "...", "4", "5", "$ echo $?", "0"),
      block("$ berth run -it --rm busybox sh", "...", "/ # echo $((6 * 7))", "41", "/ # exit"),
    ].join("");
    writeFileSync(path, text);
    const steps = stepsOf(text);
    const outcome = await played(path);
    expect(differences(steps, outcome).map((said) => said.split("\n")[0])).toEqual([
      "line 2: $ berth run --rm busybox sh -c 'echo one; echo two'",
      "line 20: $ echo $?",
      "line 24: $ berth run -it --rm busybox sh",
    ]);
    const answers = steps.map((step, at) => shortened(step.expected, outcome.answers[at] ?? []));
    expect(withAnswers(text, answers)).toBe(
      text.replace("three", "two").replace("\n0\n", "\n1\n").replace("\n41\n", "\n42\n"),
    );
  },
  PATIENCE_MS,
);

test("what differs from run to run is no difference, everything else is", () => {
  const id = "0123456789ab".repeat(6).slice(0, 64);
  const agree = (one: string, two: string) =>
    aligned(one.split("\n"), two.split("\n")) !== undefined;
  expect(agree(id, id.replaceAll("0", "f"))).toBe(true);
  expect(agree(id, id.slice(1))).toBe(false);
  expect(agree("web   Up 2 seconds", "web  Up About a minute")).toBe(true);
  expect(agree("web   Up 2 seconds", "web  Exited (0) 2 seconds ago")).toBe(false);
  expect(agree("busybox 1.36 1.5MB", "busybox 1.36 14MB")).toBe(true);
  expect(agree("busybox 1.36 1.5MB", "busybox 1.37 1.5MB")).toBe(false);
  expect(agree("PID USER COMMAND\n 1 root sh", "PID  USER COMMAND\n17 root sh")).toBe(true);
  expect(agree("PID USER COMMAND\n 1 root sh", "PID  USER COMMAND\n17 ann sh")).toBe(false);
  expect(agree("172.17.0.2 web", "172.17.0.3 web")).toBe(false);
  expect(agree("a\n...\nc", "a\nb\nb\nc")).toBe(true);
  expect(agree("a\n...\nc", "a\nb")).toBe(false);
  expect(agree("a", "a\nb")).toBe(false);
});
