/**
 * .dockerignore: which paths of a build's context are left out. The rules are those of moby's patternmatcher; the time is
 * bounded by pattern times path, whatever the pattern. Pure.
 */
import { posix } from "node:path";
import { fault } from "./errors.ts";

/** A part of a pattern. `star` and `any` never match a slash. */
type Token =
  | { readonly kind: "char"; readonly char: string }
  | { readonly kind: "any" | "star" | "deep" | "directories" }
  | { readonly kind: "class"; readonly matches: (char: string) => boolean };

interface Pattern {
  /** As it was given. */
  readonly line: string;
  readonly text: string;
  readonly exception: boolean;
  matches(path: string): boolean;
}

function invalid(text: string | readonly string[], why: string): Error {
  const shown = JSON.stringify(typeof text === "string" ? text : text.join(""));
  return fault("invalid", "dockerignore", `error in .dockerignore: ${why}: ${shown}`);
}

/** "[a-z]" and "[^a-z]"; gives where it ends too. */
function readClass(text: readonly string[], start: number): { token: Token; end: number } {
  let at = start + 1;
  const negated = text[at] === "^";
  if (negated) at++;
  const ranges: [string, string][] = [];
  const one = (): string => {
    if (text[at] === "\\") at++;
    const char = text[at++];
    if (char === undefined) throw invalid(text, "syntax error in pattern");
    return char;
  };
  while (text[at] !== "]" || ranges.length === 0) {
    if (text[at] === undefined) throw invalid(text, "syntax error in pattern");
    const low = one();
    let high = low;
    if (text[at] === "-") {
      at++;
      high = one();
    }
    ranges.push([low, high]);
  }
  const within = (char: string) => ranges.some(([low, high]) => low <= char && char <= high);
  return {
    token: { kind: "class", matches: (char) => char !== "/" && within(char) !== negated },
    end: at,
  };
}

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  const text = [...pattern];
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? "";
    if (char === "*" && text[at + 1] === "*") {
      at++;
      if (text[at + 1] === "/") at++;
      tokens.push({ kind: at + 1 >= text.length ? "deep" : "directories" });
    } else if (char === "*") tokens.push({ kind: "star" });
    else if (char === "?") tokens.push({ kind: "any" });
    else if (char === "[") {
      const { token, end } = readClass(text, at);
      tokens.push(token);
      at = end;
    } else if (char === "\\") {
      const next = text[++at];
      if (next === undefined) throw invalid(text, "syntax error in pattern");
      tokens.push({ kind: "char", char: next });
    } else tokens.push({ kind: "char", char });
  }
  return tokens;
}

const STAYS = 1;
const ENTERED = 2;

/** Runs all possibilities at once. A state is how many tokens are behind it. */
function matchTokens(tokens: readonly Token[], path: string): boolean {
  let states = new Uint8Array(tokens.length + 1);
  let next = new Uint8Array(tokens.length + 1);
  const enter = (into: Uint8Array, state: number): void => {
    for (let at = state; into[at] !== ENTERED; at++) {
      into[at] = ENTERED;
      const kind = tokens[at]?.kind;
      // These may match nothing at all.
      if (kind !== "star" && kind !== "deep" && kind !== "directories") return;
    }
  };
  enter(states, 0);
  for (const char of path) {
    next.fill(0);
    for (const [state, token] of tokens.entries()) {
      if (states[state] === 0) continue;
      if (token.kind === "char" && token.char === char) enter(next, state + 1);
      else if (token.kind === "any" && char !== "/") enter(next, state + 1);
      else if (token.kind === "class" && token.matches(char)) enter(next, state + 1);
      else if (token.kind === "star" && char !== "/") enter(next, state);
      else if (token.kind === "deep") enter(next, state);
      else if (token.kind === "directories") {
        // What has been begun ends behind a slash only.
        if (next[state] === 0) next[state] = STAYS;
        if (char === "/") enter(next, state + 1);
      }
    }
    [states, next] = [next, states];
  }
  return states[tokens.length] !== 0;
}

function patternOf(line: string): Pattern | undefined {
  const exception = line.startsWith("!");
  const rest = (exception ? line.slice(1) : line).trim();
  if (exception && rest === "") throw invalid(line, 'illegal exclusion pattern: "!"');
  if (rest === "") return undefined;
  const cleaned = posix.normalize(rest).replace(/(.)\/+$/, "$1");
  const text = cleaned.length > 1 && cleaned.startsWith("/") ? cleaned.slice(1) : cleaned;
  const tokens = tokensOf(text);
  if (tokens.every((token) => token.kind === "char")) {
    const exact = tokens.map((token) => (token.kind === "char" ? token.char : "")).join("");
    return { line, text, exception, matches: (path) => path === exact };
  }
  return { line, text, exception, matches: (path) => matchTokens(tokens, path) };
}

/** Whether paths are what a pattern says, "**" and all. Throws a Fault "invalid" for one that makes no sense. */
export function globMatcher(pattern: string): (path: string) => boolean {
  const tokens = tokensOf(pattern);
  return (path) => matchTokens(tokens, path);
}

/** What of a directory is left out. */
export class IgnoreRules {
  private readonly patterns: readonly Pattern[];
  /** For each directory that was asked for: which patterns hold for it or one above it. */
  private readonly known = new Map<string, Uint8Array>();

  /** Throws a Fault "invalid" for a pattern that makes no sense. */
  constructor(patterns: readonly string[]) {
    this.patterns = patterns.map(patternOf).filter((one) => one !== undefined);
  }

  get empty(): boolean {
    return this.patterns.length === 0;
  }

  /** Whether a path (relative, without "./", with "/") is left out. The last pattern that holds decides. */
  ignores(path: string): boolean {
    if (this.empty) return false;
    let ignored = false;
    const holds = this.holds(path);
    for (const [index, { exception }] of this.patterns.entries())
      if (holds[index] === 1) ignored = !exception;
    return ignored;
  }

  /** The pattern that leaves a path out, as its line is written; undefined when it is not left out. */
  reason(path: string): string | undefined {
    let found: Pattern | undefined;
    const holds = this.holds(path);
    for (const [index, pattern] of this.patterns.entries()) if (holds[index] === 1) found = pattern;
    return found === undefined || found.exception ? undefined : found.line;
  }

  /** Whether everything below a directory that is left out is left out as well, so that it need not be walked. */
  prunes(directory: string): boolean {
    if (!this.ignores(directory)) return false;
    return !this.patterns.some(({ exception, text }) => {
      if (!exception) return false;
      // Only an exception that may hold for something below counts; with a wildcard that is hard to tell.
      const wild = text.search(/[*?[\\]/);
      const fixed = wild < 0 ? `${text}/` : text.slice(0, wild);
      return fixed.startsWith(`${directory}/`) || (wild >= 0 && `${directory}/`.startsWith(fixed));
    });
  }

  private holds(path: string): Uint8Array {
    const slash = path.lastIndexOf("/");
    const above = slash < 0 ? undefined : this.above(path.slice(0, slash));
    return Uint8Array.from(this.patterns, (pattern, index) =>
      above?.[index] === 1 || pattern.matches(path) ? 1 : 0,
    );
  }

  private above(directory: string): Uint8Array {
    const known = this.known.get(directory);
    if (known !== undefined) return known;
    const found = this.holds(directory);
    this.known.set(directory, found);
    return found;
  }
}

/** The patterns of a .dockerignore file: comments and empty lines are none. */
export function ignorePatterns(text: string): string[] {
  return text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.trim())
    .filter((line) => line !== "" && line !== ".");
}
