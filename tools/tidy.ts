/**
 * The house's bars that a linter does not know: length of files and functions, exported symbols documented, every file
 * headed by what it is for, no leftovers, and the catalogue of errors true in both directions.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { modes, readExceptions, strayExceptions } from "../tests/kits/rootless-exceptions.ts";

const FILE_LINES = 600;
const FUNCTION_LINES = { ts: 70, c: 100 };

/** Files that may be longer or undocumented, each with its reason. */
const excused: Readonly<Record<string, string>> = {
  "src/spec/engine-api.ts": "generated from the API's own description",
  "native/wire.h": "generated from src/spec/wire.ts",
};

interface Source {
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

function sources(root: string, pattern: string): Source[] {
  return Array.from(new Glob(pattern).scanSync(root), (path) => {
    const text = readFileSync(join(root, path), "utf8");
    return { path, text, lines: text.split("\n") };
  }).filter((source) => excused[source.path] === undefined);
}

/** Functions longer than the bar, found by indentation: the formatter guarantees that a body's end lines up with its head. */
export function longFunctions(lines: readonly string[], limit: number): string[] {
  const found: string[] = [];
  const head =
    /^(\s*)(?:export |async |static |private |override |default )*(?:function\*? |(?:\w+ )?\*?\w+\(.*\{$)/;
  lines.forEach((line, at) => {
    const match = head.exec(line);
    if (
      match === null ||
      /^\s*(?:if|for|while|switch|return|describe|test)\b|=> \{$|^\s*\w+\((?:.*, )?\{$/.test(line)
    )
      return;
    const ends = [`${match[1]}}`, `${match[1]}},`, `${match[1]}};`];
    const end = lines.findIndex((one, index) => index > at && ends.includes(one));
    if (end - at + 1 > limit) found.push(`${line.trim().slice(0, 60)} has ${end - at + 1} lines`);
  });
  return found;
}

/** Exported declarations without a docstring right before them. */
export function undocumented(lines: readonly string[]): string[] {
  return lines.flatMap((line, at) => {
    const match =
      /^export (?:default |async |abstract )*(?:function\*?|class|const|interface|type) (\w+)/.exec(
        line,
      );
    if (match === null) return [];
    return lines[at - 1]?.trimEnd().endsWith("*/") ? [] : [`${match[1]} has no docstring`];
  });
}

function checkTypeScript(source: Source): string[] {
  const problems: string[] = [];
  if (source.lines.length > FILE_LINES) problems.push(`${source.lines.length} lines`);
  if (!source.path.endsWith(".test.ts")) {
    problems.push(...longFunctions(source.lines, FUNCTION_LINES.ts), ...undocumented(source.lines));
    if (!/^(?:#!.*\n)?\/\*\*/.test(source.text)) problems.push("no head comment");
  }
  if (/\b(?:TODO|FIXME|XXX)\b/.test(source.text) && source.path !== "tools/tidy.ts")
    problems.push("a leftover note");
  return problems;
}

function checkC(source: Source): string[] {
  const problems = longFunctions(source.lines, FUNCTION_LINES.c);
  if (source.lines.length > FILE_LINES) problems.push(`${source.lines.length} lines`);
  if (!source.text.startsWith("/*")) problems.push("no head comment");
  if (
    /\b(?:strcat|sprintf|gets|system|popen)\(/.test(
      source.text.replace(/sprintf\(\(char \*\)out/g, ""),
    )
  )
    problems.push("an unbounded or shell-running call");
  return problems;
}

/** The codes that sources give to fault(), and those with a row in docs/errors.md, each way a difference. */
export function checkCatalogue(code: readonly string[], catalogue: string): string[] {
  const pattern = /\bfault\(\s*"[\w-]+",\s*"([\w-]+)"/g;
  const used = new Set(
    code.flatMap((text) => Array.from(text.matchAll(pattern), (m) => m[1] ?? "")),
  );
  const listed = new Set(Array.from(catalogue.matchAll(/^\| `([\w-]+)`/gm), (m) => m[1] ?? ""));
  return [
    ...[...used].filter((name) => !listed.has(name)).map((name) => `docs/errors.md lacks ${name}`),
    ...[...listed]
      .filter((name) => !used.has(name))
      .map((name) => `docs/errors.md has ${name}, which no code gives`),
  ];
}

/** Everything that is not as the house wants it, as "file: what". */
export function checkTidy(root: string): string[] {
  const problems: string[] = [];
  const typescript = sources(root, "{src,tools,tests,bench}/**/*.ts");
  for (const source of typescript)
    problems.push(...checkTypeScript(source).map((what) => `${source.path}: ${what}`));
  for (const source of sources(root, "native/**/*.{c,h}"))
    problems.push(...checkC(source).map((what) => `${source.path}: ${what}`));
  const catalogue = join(root, "docs/errors.md");
  const texts = typescript.filter((s) => s.path.startsWith("src/") && !s.path.endsWith(".test.ts"));
  problems.push(
    ...checkCatalogue(
      texts.map((source) => source.text),
      existsSync(catalogue) ? readFileSync(catalogue, "utf8") : "",
    ),
  );
  // A suite may have its parts in a directory of its name.
  const read = (file: string) => {
    const own = typescript.find((one) => one.path.endsWith(`/${file}.test.ts`));
    const parts = typescript.filter((one) => one.path.startsWith(`tests/${file}/`));
    return own && [own, ...parts].map((one) => one.text).join("\n");
  };
  for (const mode of modes)
    problems.push(...strayExceptions(mode, readExceptions(root, mode), read));
  return problems;
}
