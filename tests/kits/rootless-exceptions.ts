/**
 * The list of tests that cannot hold without root, as tests/rootless-exceptions.md has it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Where the list is, below the repository's directory. */
export const LIST = "tests/rootless-exceptions.md";

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

/** The repository's list. */
export function readExceptions(root: string): Exception[] {
  return exceptionsIn(readFileSync(join(root, LIST), "utf8"));
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
  exceptions: readonly Exception[],
  read: (file: string) => string | undefined,
): string[] {
  return exceptions.flatMap(({ file, name }) => {
    const text = read(file);
    if (text === undefined) return [`${LIST}: there is no ${file}`];
    return name === "*" || names(text, name) ? [] : [`${LIST}: ${file} has no test ${name}`];
  });
}
