/**
 * A Dockerfile's text as instructions: parser directives, comments, continued lines, here-documents. What the
 * instructions mean is not looked at yet. Pure.
 *
 * The rules are those of BuildKit's frontend, which the Dockerfile reference describes.
 */
import { fault } from "../../base/errors.ts";
import { splitWords } from "./words.ts";

/** Lines of a Dockerfile, counted from 1, both ends included. */
export interface Lines {
  readonly first: number;
  readonly last: number;
}

/** A here-document. */
export interface Heredoc {
  readonly name: string;
  /** The file descriptor that the shell gives it, as it was written; "" for none. */
  readonly descriptor: string;
  /** Whether variables in it are substituted: its name was not quoted. */
  readonly expand: boolean;
  /** `<<-`: tabs at the beginning of lines are dropped. */
  readonly chomp: boolean;
  readonly content: string;
}

/** An instruction as it stands in the text. */
export interface RawInstruction {
  /** In upper case. */
  readonly keyword: string;
  /** `--name` and `--name=value`, in order, unquoted. */
  readonly flags: readonly string[];
  /** What follows the flags. */
  readonly rest: string;
  /** The whole of it, lines joined, as messages and histories show it. */
  readonly text: string;
  readonly lines: Lines;
  readonly heredocs: readonly Heredoc[];
  /** The comment lines right above it. */
  readonly comments: readonly string[];
}

/** A Dockerfile's instructions and what its head says. */
export interface Source {
  readonly instructions: readonly RawInstruction[];
  readonly escapeMark: string;
  /** The directives by name, in lower case: escape, syntax, check. */
  readonly directives: ReadonlyMap<string, string>;
  /** Empty lines within a continued instruction, by their instructions' lines. */
  readonly emptyContinuations: readonly Lines[];
}

const DIRECTIVE = /^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$/;
const COMMENT = /^\s*#/;
const HEREDOC = /^(\d*)<<(-?)([^<]*)$/;
/** A Dockerfile is written by people; what is larger than this is something else. */
const SIZE_MAX = 4 << 20;

/** A mistake in a Dockerfile, told with its line as Docker does. */
export function mistake(lines: Lines, message: string): Error {
  return fault(
    "invalid",
    "dockerfile",
    `dockerfile parse error on line ${lines.first}: ${message}`,
  );
}

/** The directives at the very top: they end with the first line that is none. */
function readDirectives(lines: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const [index, line] of lines.entries()) {
    const [, name = "", value = ""] = DIRECTIVE.exec(line) ?? [];
    const key = name.toLowerCase();
    if (key === "") break;
    const at = { first: index + 1, last: index + 1 };
    if (!["escape", "syntax", "check"].includes(key)) break;
    if (found.has(key)) throw mistake(at, `only one ${key} parser directive can be used`);
    if (key === "escape" && value !== "\\" && value !== "`")
      throw mistake(at, `invalid escape token '${value}' does not match \` or \\`);
    found.set(key, value);
  }
  return found;
}

/** Takes `--flags` off the beginning of an instruction's arguments. */
function takeFlags(text: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (/\s/.test(text[at] ?? "")) at++;
    if (!text.startsWith("--", at)) return { flags, rest: text.slice(at) };
    let [word, quote] = ["", ""];
    for (; at < text.length; at++) {
      const char = text[at] ?? "";
      if (quote === "" && /\s/.test(char)) break;
      if (quote === "" ? char === '"' || char === "'" : char === quote)
        quote = quote === "" ? char : "";
      else if (char === "\\") word += text[++at] ?? "";
      else word += char;
    }
    if (word === "--") return { flags, rest: text.slice(at).trimStart() };
    flags.push(word);
  }
}

/** The here-documents that a line announces; their contents follow it. */
function announced(text: string, escapeMark: string): Omit<Heredoc, "content">[] {
  const raw = splitWords(text, escapeMark, { quotes: "keep", escapes: "keep" });
  return raw.flatMap((word) => {
    const [, descriptor = "", dash = "", rest = ""] = HEREDOC.exec(word) ?? [];
    if (rest === "") return [];
    const names = splitWords(rest, escapeMark, { quotes: "drop", escapes: "drop" });
    const [name = ""] = names;
    if (names.length !== 1) return [];
    return [{ name, descriptor, chomp: dash !== "", expand: name === rest }];
  });
}

/** Whether here-documents may follow: not after a JSON list. */
function mayHaveHeredocs(keyword: string, rest: string): boolean {
  if (!rest.includes("<<")) return false;
  if (keyword === "ONBUILD") {
    const [inner = "", ...others] = rest.trim().split(/\s+/);
    // One in another is a mistake.
    if (inner.toUpperCase() === "ONBUILD") return false;
    return mayHaveHeredocs(inner.toUpperCase(), others.join(" "));
  }
  if (!["RUN", "COPY", "ADD"].includes(keyword)) return false;
  return jsonList(rest) === undefined;
}

/** A JSON list of strings; undefined for everything else, which then is plain words. */
export function jsonList(text: string): string[] | undefined {
  if (!text.trimStart().startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === "string")
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}

/** Reads lines one after the other. */
class Reader {
  private at = 0;
  readonly emptyContinuations: Lines[] = [];
  private readonly continued: RegExp;

  constructor(
    private readonly lines: readonly string[],
    private readonly escapeMark: string,
  ) {
    const mark = escapeMark === "\\" ? "\\\\" : "`";
    this.continued = new RegExp(`(^|[^${mark}])${mark}[ \\t]*$`);
  }

  private next(): string | undefined {
    return this.lines[this.at++];
  }

  /** A line without the mark that it goes on. */
  private cut(line: string): { text: string; ends: boolean } {
    const text = line.replace(this.continued, "$1");
    return { text, ends: text === line };
  }

  *instructions(): Generator<RawInstruction> {
    let comments: string[] = [];
    for (let line = this.next(); line !== undefined; line = this.next()) {
      const first = this.at;
      if (COMMENT.test(line)) {
        comments.push(line.replace(/^\s*#\s?/, "").trim());
        continue;
      }
      const head = this.cut(line.trimStart());
      if (head.ends && head.text.trim() === "") {
        comments = [];
        continue;
      }
      const text = head.ends ? head.text : this.rest(head.text, first);
      yield this.instruction(text.trim(), first, comments);
      comments = [];
    }
  }

  /** The lines that an instruction goes on over. */
  private rest(head: string, first: number): string {
    let [text, ends, empty] = [head, false, false];
    while (!ends) {
      const line = this.next();
      if (line === undefined) break;
      if (COMMENT.test(line)) continue;
      if (line.trim() === "") {
        empty = true;
        continue;
      }
      const piece = this.cut(line);
      text += piece.text;
      ends = piece.ends;
    }
    if (empty) this.emptyContinuations.push({ first, last: Math.min(this.at, this.lines.length) });
    return text;
  }

  private instruction(text: string, first: number, comments: readonly string[]): RawInstruction {
    const [word = ""] = text.split(/\s/, 1);
    const keyword = word.toUpperCase();
    const { flags, rest } = takeFlags(text.slice(word.length).trim());
    const heredocs = mayHaveHeredocs(keyword, rest)
      ? announced(rest, this.escapeMark).map((one) => ({
          ...one,
          content: this.content(one, first),
        }))
      : [];
    const lines = { first, last: Math.min(this.at, this.lines.length) };
    return { keyword, flags, rest, text, lines, heredocs, comments };
  }

  private content({ name, chomp }: Omit<Heredoc, "content">, first: number): string {
    let content = "";
    for (let line = this.next(); line !== undefined; line = this.next()) {
      const shown = chomp ? line.replace(/^\t+/, "") : line;
      if (shown === name) return content;
      content += `${shown}\n`;
    }
    throw mistake({ first, last: first }, "unterminated heredoc");
  }
}

/** Reads a Dockerfile's text. Throws a Fault "invalid" that names the line. */
export function readSource(text: string): Source {
  if (text.length > SIZE_MAX)
    throw fault("invalid", "dockerfile", `the Dockerfile is larger than ${SIZE_MAX} characters`);
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  // What follows the last line's end is no line.
  if (lines.at(-1) === "") lines.pop();
  const directives = readDirectives(lines);
  const escapeMark = directives.get("escape") ?? "\\";
  const reader = new Reader(lines, escapeMark);
  const instructions = [...reader.instructions()];
  if (instructions.length === 0) throw fault("invalid", "dockerfile", "file with no instructions");
  return { instructions, escapeMark, directives, emptyContinuations: reader.emptyContinuations };
}
