/**
 * Words of instructions: quotes, escapes and variables as a shell has them, in the way of BuildKit's lexer. Pure, and
 * bounded in time and size whatever the text is.
 */
import { fault } from "../../base/errors.ts";

/** What a variable's value is; undefined for one that is not set. Guarded: the text says what there is if it is not. */
export type Variables = (name: string, guarded?: boolean) => string | undefined;

/** How quotes and escapes come out. */
interface Marks {
  /** `plain`: they are characters like others. */
  readonly quotes: "keep" | "drop" | "plain";
  readonly escapes: "keep" | "drop";
}

/** What a substitution may come to, and all of a build together; more is a bomb. */
const EXPANSION_MAX = 1 << 20;
const TOTAL_MAX = 32 << 20;
/** How many steps of matching all patterns of a build may take. */
const STEPS_MAX = 2e6;
/** Substitutions inside of each other. */
const DEPTH_MAX = 100;
const SPECIAL = "@*#?-$!0";

function bad(message: string): Error {
  return fault("invalid", "dockerfile-substitution", message);
}

/** What the substitutions of a build may come to and take, all together. */
export class Budget {
  private size = 0;
  private steps = 0;

  /** Takes account of a result. Throws a Fault "invalid" when it is too much. */
  spend(result: string): void {
    this.size += result.length;
    if (this.size > TOTAL_MAX) throw bad("the substitutions of variables are too large together");
  }

  /** Takes account of a pattern's matching. */
  match(steps: number): void {
    this.steps += steps;
    if (this.steps > STEPS_MAX) throw bad("the pattern takes too long");
  }
}

/** A pattern's parts: characters, and `*` and `?` that were not escaped. */
type Token = { readonly any: "*" | "?" } | { readonly char: string };

function tokensOf(pattern: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at] ?? "";
    if (char === "*" || char === "?") tokens.push({ any: char });
    else if (char === "\\") {
      const next = pattern[++at];
      if (next === undefined || !"*?\\/}".includes(next))
        throw bad(`invalid escapeMark '\\${next ?? ""}'`);
      tokens.push({ char: next });
    } else tokens.push({ char });
  }
  return tokens;
}

/** Finds where patterns match, all their possibilities at once: never longer than text times pattern, and that is bounded. */
class Matcher {
  constructor(
    private readonly tokens: readonly Token[],
    private readonly budget: Budget,
  ) {}

  /** Where the match that begins at a place ends; undefined when none does. */
  end(text: readonly string[], from: number, longest: boolean): number | undefined {
    let states = this.closure([0]);
    let found: number | undefined;
    for (let at = from; ; at++) {
      if (states.has(this.tokens.length)) {
        found = at;
        if (!longest) return found;
      }
      const char = text[at];
      if (char === undefined || states.size === 0) return found;
      this.budget.match(states.size);
      const next: number[] = [];
      for (const state of states) {
        const token = this.tokens[state];
        if (token === undefined) continue;
        if ("any" in token ? true : token.char === char)
          next.push("any" in token && token.any === "*" ? state : state + 1);
      }
      states = this.closure(next);
    }
  }

  /** A `*` may match nothing. */
  private closure(states: readonly number[]): Set<number> {
    const all = new Set<number>();
    for (let state of states) {
      for (;;) {
        all.add(state);
        const token = this.tokens[state];
        if (token === undefined || !("any" in token) || token.any !== "*") break;
        state++;
      }
    }
    return all;
  }
}

function trimmed(value: string, pattern: string, end: "#" | "%", budget: Budget): string {
  const longest = pattern.startsWith(end);
  const tokens = tokensOf([...(longest ? pattern.slice(1) : pattern)]);
  const chars = [...value];
  if (end === "#")
    return chars.slice(new Matcher(tokens, budget).end(chars, 0, longest) ?? 0).join("");
  // A suffix is a prefix of everything turned round.
  const cut = new Matcher(tokens.reverse(), budget).end(chars.toReversed(), 0, longest) ?? 0;
  return chars.slice(0, chars.length - cut).join("");
}

function replacedIn(
  value: string,
  { pattern, replacement, all }: { pattern: string; replacement: string; all: boolean },
  budget: Budget,
): string {
  const matcher = new Matcher(tokensOf([...pattern]), budget);
  const chars = [...value];
  let result = "";
  for (let at = 0; at <= chars.length; ) {
    const end = matcher.end(chars, at, true);
    if (end === undefined || (end === at && at > 0)) {
      result += chars[at++] ?? "";
      continue;
    }
    result += replacement;
    if (result.length > EXPANSION_MAX) throw bad("the substitution of variables is too large");
    if (!all) return result + chars.slice(end).join("");
    if (end === at) result += chars[at++] ?? "";
    else at = end;
    if (at === chars.length) break;
  }
  return result;
}

/** Walks over one text. */
class Lexer {
  private at = 0;
  private readonly chars: string[];
  /** Words so far; the last is open while `open` says so. */
  readonly words: string[] = [];
  private open = false;
  private depth = 0;

  constructor(
    text: string,
    private readonly escapeMark: string,
    private readonly variables: Variables | undefined,
    private readonly marks: Marks,
    private readonly budget: Budget,
    /** Whether anybody wants the words. */
    private readonly collects: boolean,
  ) {
    this.chars = [...text];
  }

  private get peek(): string | undefined {
    return this.chars[this.at];
  }

  private next(): string {
    return this.chars[this.at++] ?? "";
  }

  private add(text: string, raw: boolean): void {
    for (const char of raw ? [text] : text) {
      if (!raw && /\s/.test(char)) this.open = false;
      else if (this.open) this.words[this.words.length - 1] += char;
      else {
        this.words.push(char);
        this.open = true;
      }
    }
  }

  /** Everything up to a character, or to the end. */
  until(stop: string | undefined, keepEscapes = this.marks.escapes === "keep"): string {
    let result = "";
    const quotes = this.marks.quotes !== "plain";
    while (this.peek !== undefined) {
      const char = this.peek;
      if (stop !== undefined && char === stop) {
        this.at++;
        return result;
      }
      let piece: string;
      let raw = true;
      if (char === "'" && quotes) piece = this.single();
      else if (char === '"' && quotes) piece = this.double();
      else if (char === "$" && this.variables !== undefined) {
        piece = this.dollar(this.variables);
        raw = false;
      } else if (char === this.escapeMark) piece = this.escaped(keepEscapes);
      else {
        piece = this.next();
        raw = false;
      }
      result += piece;
      if (result.length > EXPANSION_MAX) throw bad("the substitution of variables is too large");
      if (this.collects && stop === undefined && this.depth === 0) this.add(piece, raw);
    }
    if (stop !== undefined)
      throw bad(`unexpected end of statement while looking for matching ${stop}`);
    return result;
  }

  private escaped(keep: boolean): string {
    const mark = this.next();
    if (this.peek === undefined) return keep ? mark : "";
    return (keep ? mark : "") + this.next();
  }

  private single(): string {
    const start = this.next();
    let result = this.marks.quotes === "keep" ? start : "";
    for (;;) {
      if (this.peek === undefined)
        throw bad("unexpected end of statement while looking for matching single-quote");
      const char = this.next();
      if (char === "'") return this.marks.quotes === "keep" ? result + char : result;
      result += char;
    }
  }

  private double(): string {
    const start = this.next();
    let result = this.marks.quotes === "keep" ? start : "";
    for (;;) {
      const char = this.peek;
      if (char === undefined)
        throw bad("unexpected end of statement while looking for matching double-quote");
      if (char === '"') {
        this.at++;
        return this.marks.quotes === "keep" ? result + char : result;
      }
      if (char === "$" && this.variables !== undefined) result += this.dollar(this.variables);
      else if (char === this.escapeMark) {
        this.at++;
        const after = this.peek;
        const means = after === '"' || after === "$" || after === this.escapeMark;
        if (this.marks.escapes === "keep" || !means) result += char;
        if (means) result += this.next();
      } else result += this.next();
      if (result.length > EXPANSION_MAX) throw bad("the substitution of variables is too large");
    }
  }

  private name(): string {
    const first = this.peek ?? "";
    if (SPECIAL.includes(first) && first !== "") return this.next();
    let name = "";
    const allowed = /\d/.test(first) ? /\d/ : /[\p{L}\p{N}_]/u;
    while (this.peek !== undefined && allowed.test(this.peek)) name += this.next();
    return name;
  }

  private dollar(variables: Variables): string {
    this.at++;
    if (this.peek !== "{") {
      const name = this.name();
      return name === "" ? "$" : (variables(name) ?? "");
    }
    this.at++;
    if (this.peek === undefined) throw bad("syntax error: missing '}'");
    if ("{}:".includes(this.peek)) throw bad("syntax error: bad substitution");
    const name = this.name();
    if (++this.depth > DEPTH_MAX) throw bad("substitutions are too deep inside of each other");
    const guarded = ":-+?".includes(this.peek ?? "}");
    try {
      return this.modified(name, variables(name, guarded));
    } finally {
      this.depth--;
    }
  }

  private word(stop: string, keepEscapes: boolean): string {
    try {
      return this.until(stop, keepEscapes);
    } catch (error) {
      if (this.peek === undefined && stop === "}") throw bad("syntax error: missing '}'");
      throw error;
    }
  }

  /** What stands after the name in `${name…}`. */
  private modified(name: string, value: string | undefined): string {
    let mark = this.next();
    if (mark === "}") return value ?? "";
    if (mark === "/") return this.replaced(value ?? "");
    const colon = mark === ":";
    if (colon) mark = this.next();
    const shown = colon ? `:${mark}` : mark;
    if (mark === "" && !colon) throw bad("syntax error: missing '}'");
    if (!"+-?#%".includes(mark) || mark === "" || (colon && "#%".includes(mark)))
      throw bad(`unsupported modifier (${shown}) in substitution`);
    const word = this.word("}", mark === "#" || mark === "%");
    const missing = value === undefined || (colon && value === "");
    switch (mark) {
      case "-":
        return missing ? word : value;
      case "+":
        return missing ? "" : word;
      case "?": {
        if (!missing) return value;
        const why = value === undefined ? "unset" : "empty";
        throw bad(`${name}: ${word === "" ? `is not allowed to be ${why}` : word}`);
      }
      default:
        return trimmed(value ?? "", word, mark as "#" | "%", this.budget);
    }
  }

  private replaced(value: string): string {
    const all = this.peek === "/";
    if (all) this.at++;
    const pattern = this.word("/", true);
    const replacement = this.word("}", true);
    return replacedIn(value, { pattern, replacement, all }, this.budget);
  }
}

/** Splits at white space outside of quotes; nothing is substituted. Throws a Fault for a quote that does not end. */
export function splitWords(text: string, escapeMark: string, marks: Marks): string[] {
  const lexer = new Lexer(text, escapeMark, undefined, marks, new Budget(), true);
  lexer.until(undefined);
  return lexer.words;
}

const plain: Marks = { quotes: "drop", escapes: "drop" };

/** Substitutes variables and takes quotes and escapes away. Throws a Fault "invalid" for what makes no sense. */
export function expandWord(
  text: string,
  escapeMark: string,
  variables: Variables,
  budget = new Budget(),
): string {
  const result = new Lexer(text, escapeMark, variables, plain, budget, false).until(undefined);
  budget.spend(result);
  return result;
}

/** The same, and what variables bring is split at white space too. */
export function expandWords(
  text: string,
  escapeMark: string,
  variables: Variables,
  budget = new Budget(),
): string[] {
  const lexer = new Lexer(text, escapeMark, variables, plain, budget, true);
  budget.spend(lexer.until(undefined));
  return lexer.words;
}

/** Substitutes variables in a here-document: quotes mean nothing there, and the escape is always the backslash. */
export function expandText(text: string, variables: Variables, budget = new Budget()): string {
  const marks = { quotes: "plain", escapes: "drop" } as const;
  const result = new Lexer(text, "\\", variables, marks, budget, false).until(undefined);
  budget.spend(result);
  return result;
}
