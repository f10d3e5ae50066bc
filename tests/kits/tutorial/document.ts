/**
 * A chapter of the tutorial as commands and what they say.
 *
 * In a block ```console, a line that begins with "$ " is a command, lines that begin with "> " go on with it, and what follows
 * up to the next command is what it says. A line "..." stands for any lines. Where the answer has lines that begin with a
 * container's prompt ("/ # "), what stands behind the prompt is typed there; "^P" is Ctrl-P.
 */

/** A command and what the text says that comes of it. */
export interface Step {
  /** As the shell gets it. */
  readonly command: string;
  readonly expected: readonly string[];
  /** The lines of the document that `expected` fills: first, and behind the last; counted from 0. */
  readonly from: number;
  readonly to: number;
}

/** The prompts of a shell in a container, and what is typed behind them. */
export const containerPrompt = /^(\/\S* # )(.*)$/;

/** The commands of a chapter, in order. */
export function stepsOf(text: string): Step[] {
  const lines = text.split("\n");
  const steps: Step[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (lines[at] !== "```console") continue;
    const end = lines.indexOf("```", at);
    if (end === -1) throw new Error(`line ${at + 1}: the block has no end`);
    steps.push(...stepsOfBlock(lines, at + 1, end));
    at = end;
  }
  return steps;
}

function stepsOfBlock(lines: readonly string[], first: number, end: number): Step[] {
  const steps: Step[] = [];
  let at = first;
  while (at < end) {
    const begin = lines[at] ?? "";
    if (!begin.startsWith("$ ")) throw new Error(`line ${at + 1}: no command before an answer`);
    const command = [begin.slice(2)];
    for (at++; at < end && lines[at]?.startsWith("> "); at++)
      command.push((lines[at] ?? "").slice(2));
    const from = at;
    while (at < end && !lines[at]?.startsWith("$ ")) at++;
    steps.push({ command: command.join("\n"), expected: lines.slice(from, at), from, to: at });
  }
  return steps;
}

/** What is typed into the command, line by line: empty for one that asks nothing. */
export function typedIn(step: Step): string[] {
  return step.expected.flatMap((line) => {
    const typed = containerPrompt.exec(line)?.[2];
    return typed === undefined ? [] : [typed];
  });
}

/** The chapter with other answers, one a step. */
export function withAnswers(text: string, answers: readonly (readonly string[])[]): string {
  const lines = text.split("\n");
  const steps = stepsOf(text);
  for (let at = steps.length - 1; at >= 0; at--) {
    const step = steps[at];
    if (step !== undefined) lines.splice(step.from, step.to - step.from, ...(answers[at] ?? []));
  }
  return lines.join("\n");
}
