/**
 * --chmod: a number in octal, or the words of chmod(1). Pure.
 */
import { fault } from "../../base/errors.ts";

/** Gives a file's mode another; only permission bits and set-user-ID and the like. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

const CLAUSE = /^([ugoa]*)((?:[-+=][rwxXst]*)+)$/;
const SHIFTS: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

function bad(text: string): Error {
  return fault(
    "invalid",
    "chmod",
    `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
  );
}

function bitsOf(letters: string, who: string, mode: number, isDirectory: boolean): number {
  let bits = 0;
  const classes = [...who];
  const each = (bit: number) => {
    for (const one of classes) bits |= bit << (SHIFTS[one] ?? 0);
  };
  for (const letter of letters) {
    if (letter === "r") each(4);
    else if (letter === "w") each(2);
    else if (letter === "x") each(1);
    else if (letter === "X" && (isDirectory || (mode & 0o111) !== 0)) each(1);
    else if (letter === "s")
      bits |= (who.includes("u") ? 0o4000 : 0) | (who.includes("g") ? 0o2000 : 0);
    else if (letter === "t") bits |= 0o1000;
  }
  return bits;
}

function symbolic(text: string): ModeChange {
  const clauses = text.split(",").map((clause) => {
    const [, who = "", actions = ""] = CLAUSE.exec(clause) ?? [];
    if (actions === "") throw bad(text);
    const all = who === "" || who.includes("a") ? "ugo" : who;
    return { all, actions: [...actions.matchAll(/([-+=])([rwxXst]*)/g)] };
  });
  return (before, isDirectory) => {
    let mode = before;
    for (const { all, actions } of clauses)
      for (const [, sign, letters = ""] of actions) {
        const bits = bitsOf(letters, all, mode, isDirectory);
        const own = [...all].reduce((sum, one) => sum | (7 << (SHIFTS[one] ?? 0)), 0);
        if (sign === "+") mode |= bits;
        else if (sign === "-") mode &= ~bits;
        else mode = (mode & ~own) | bits;
      }
    return mode;
  };
}

/** Reads a mode. Throws a Fault "invalid" in BuildKit's words. */
export function parseMode(text: string): ModeChange {
  if (!/^\d+$/.test(text)) return symbolic(text);
  const mode = Number.parseInt(text, 8);
  if (!/^[0-7]+$/.test(text) || mode > 0o7777) throw bad(text);
  return () => mode;
}
