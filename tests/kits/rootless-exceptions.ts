/**
 * The lists of tests that cannot hold without root: on an ordinary user's daemon (tests/rootless-exceptions.md), and on one that
 * root starts and that has a guard (tests/guarded-exceptions.md).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A way to run the suite: the variable that asks for it, and where its list is, below the repository's directory. */
export interface Mode {
  readonly variable: string;
  readonly list: string;
}

/** The ways that have a list. */
export const modes: readonly Mode[] = [
  { variable: "BERTH_TEST_ROOTLESS", list: "tests/rootless-exceptions.md" },
  { variable: "BERTH_TEST_GUARDED", list: "tests/guarded-exceptions.md" },
];

/** One test that cannot hold, or, with the name `*`, a whole file. */
export interface Exception {
  /** The file's name in tests/e2e, without `.test.ts`. */
  readonly file: string;
  /** The test's name, or its describe's, as the file has it. */
  readonly name: string;
  readonly why: string;
}

/** What the list has: below a heading for each file, items of a name and a reason. */
export function exceptionsIn(text: string): Exception[] {
  return text.split(/^## /m).flatMap((section, at) => {
    if (at === 0) return [];
    const file = section.slice(0, section.indexOf("\n"));
    const items = section.matchAll(/^- `(.+)`: (.+)$/gm);
    return Array.from(items, ([, name = "", why = ""]) => ({ file, name, why }));
  });
}

/** One of the repository's lists. */
export function readExceptions(root: string, { list }: Mode): Exception[] {
  return exceptionsIn(readFileSync(join(root, list), "utf8"));
}

/** Whether a text has a string that is the name, or a template that can become it. */
function names(text: string, name: string): boolean {
  if (text.includes(name)) return true;
  const templates = Array.from(
    text.matchAll(/`([^`]*\$\{[^`]*)`/g),
    ([, template = ""]) => template,
  );
  return templates.some((template) => {
    const parts = template.split(/\$\{.*?\}/).map((part) => RegExp.escape(part));
    return new RegExp(`^${parts.join(".*")}$`).test(name);
  });
}

/** Items of which no test could be meant, each with what is missing; `read` gives a test file's text, undefined: there is none. */
export function strayExceptions(
  { list }: Pick<Mode, "list">,
  exceptions: readonly Exception[],
  read: (file: string) => string | undefined,
): string[] {
  return exceptions.flatMap(({ file, name }) => {
    const text = read(file);
    if (text === undefined) return [`${list}: there is no ${file}`];
    return name === "*" || names(text, name) ? [] : [`${list}: ${file} has no test ${name}`];
  });
}
