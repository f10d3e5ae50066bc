/**
 * A template's text as tokens, by Go's rules. Pure.
 */
import { quote } from "./quote.ts";

/** What a token is. Keywords have their own word as type. */
export type TokenType =
  | "error"
  | "bool"
  | "char"
  | "charConstant"
  | "complex"
  | "assign"
  | "declare"
  | "EOF"
  | "field"
  | "identifier"
  | "leftDelim"
  | "leftParen"
  | "number"
  | "pipe"
  | "rawString"
  | "rightDelim"
  | "rightParen"
  | "space"
  | "string"
  | "text"
  | "variable"
  | "keyword";

/** A piece of the text. */
export interface Token {
  readonly type: TokenType;
  readonly text: string;
  /** Where it begins. */
  readonly at: number;
  /** The line that it begins in, from 1. */
  readonly line: number;
}

const KEYWORDS = new Set([
  ...[".", "block", "break", "continue", "define", "else", "end", "if", "range", "nil"],
  ...["template", "with"],
]);
const WORD = /[\p{L}\p{Nd}_]/u;
const SPACE = " \t\r\n";

/** A token as Go's messages name it. */
export function describeToken({ type, text }: Token): string {
  if (type === "EOF") return "EOF";
  if (type === "error") return text;
  if (type === "keyword") return `<${text}>`;
  const letters = [...text];
  return Buffer.byteLength(text) > 10 ? `${quote(letters.slice(0, 10).join(""))}...` : quote(text);
}

/** %#U */
function describeRune(rune: string): string {
  if (rune === "") return "U+FFFFFFFFFFFFFFFF";
  const code = (rune.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(rune) ? `U+${code} '${rune}'` : `U+${code}`;
}

class LexError extends Error {}

class Lexer {
  readonly tokens: Token[] = [];
  private at = 0;
  private start = 0;
  private parens = 0;
  private lineOf = 1;
  private countedTo = 0;

  constructor(private readonly source: string) {}

  run(): void {
    try {
      while (this.text());
    } catch (error) {
      if (!(error instanceof LexError)) throw error;
      this.tokens.push({
        type: "error",
        text: error.message,
        at: this.start,
        line: this.lineAt(this.start),
      });
    }
  }

  private lineAt(at: number): number {
    for (; this.countedTo < at; this.countedTo++)
      if (this.source[this.countedTo] === "\n") this.lineOf++;
    return this.lineOf;
  }

  private emit(type: TokenType): void {
    const text = this.source.slice(this.start, this.at);
    this.tokens.push({ type, text, at: this.start, line: this.lineAt(this.start) });
    this.start = this.at;
  }

  private rune(): string {
    const code = this.source.codePointAt(this.at);
    return code === undefined ? "" : String.fromCodePoint(code);
  }

  private space(at: number): boolean {
    const letter = this.source[at];
    return letter !== undefined && SPACE.includes(letter);
  }

  private skipSpace(): void {
    while (this.space(this.at)) this.at++;
    this.start = this.at;
  }

  /** Text up to the next action, and that action. False at the end. */
  private text(): boolean {
    const open = this.source.indexOf("{{", this.at);
    this.at = open < 0 ? this.source.length : open;
    const trims = open >= 0 && this.source[open + 2] === "-" && this.space(open + 3);
    if (trims) while (this.at > this.start && this.space(this.at - 1)) this.at--;
    if (this.at > this.start) this.emit("text");
    if (open < 0) {
      this.emit("EOF");
      return false;
    }
    this.at = open;
    this.start = open;
    const after = open + 2 + (trims ? 2 : 0);
    if (this.source.startsWith("/*", after)) {
      this.start = after;
      this.comment();
      return true;
    }
    this.at = open + 2;
    this.emit("leftDelim");
    this.at = after;
    this.start = after;
    this.parens = 0;
    while (this.action());
    return true;
  }

  private comment(): void {
    const end = this.source.indexOf("*/", this.start + 2);
    if (end < 0) throw new LexError("unclosed comment");
    this.at = end + 2;
    const delim = this.rightDelim();
    if (delim === 0) throw new LexError("comment ends before closing delimiter");
    this.at += delim;
    if (delim > 2) this.skipSpace();
    this.start = this.at;
  }

  /** The length of the right delimiter here, with its trim marker; 0 if none is here. */
  private rightDelim(): number {
    if (
      this.space(this.at) &&
      this.source[this.at + 1] === "-" &&
      this.source.startsWith("}}", this.at + 2)
    )
      return 4;
    return this.source.startsWith("}}", this.at) ? 2 : 0;
  }

  /** One token inside an action; false after its end. */
  private action(): boolean {
    const delim = this.rightDelim();
    if (delim > 0) {
      if (this.parens > 0) throw new LexError("unclosed left paren");
      this.start = this.at + delim - 2;
      this.at += delim;
      this.emit("rightDelim");
      if (delim > 2) this.skipSpace();
      return false;
    }
    const rune = this.rune();
    if (rune === "") throw new LexError("unclosed action");
    if (SPACE.includes(rune)) this.spaces();
    else if (rune === '"' || rune === "'") this.quoted(rune);
    else if (rune === "`") this.rawString();
    else if (rune === "$") this.fieldOrVariable("variable");
    else if (rune === "." && !/[0-9]/.test(this.source[this.at + 1] ?? "0"))
      this.fieldOrVariable("field");
    else if (/[.+\-0-9]/.test(rune)) this.number();
    else if (WORD.test(rune)) this.identifier();
    else this.sign(rune);
    return true;
  }

  private spaces(): void {
    while (this.space(this.at)) this.at++;
    // The last space may belong to " -}}".
    if (this.source.startsWith("-}}", this.at)) this.at--;
    if (this.at > this.start) this.emit("space");
  }

  private sign(rune: string): void {
    this.at += rune.length;
    if (rune === ":") {
      if (this.source[this.at] !== "=") throw new LexError("expected :=");
      this.at++;
      return this.emit("declare");
    }
    if (rune === "=") return this.emit("assign");
    if (rune === "|") return this.emit("pipe");
    if (rune === "(") {
      this.parens++;
      return this.emit("leftParen");
    }
    if (rune === ")") {
      this.parens--;
      if (this.parens < 0) throw new LexError("unexpected right paren");
      return this.emit("rightParen");
    }
    if (!/^[!-~]$/.test(rune))
      throw new LexError(`unrecognized character in action: ${describeRune(rune)}`);
    this.emit("char");
  }

  private quoted(mark: string): void {
    const what = mark === '"' ? "quoted string" : "character constant";
    const unterminated = () => {
      const letter = this.source[this.at];
      if (letter === undefined || letter === "\n") throw new LexError(`unterminated ${what}`);
      return letter;
    };
    this.at++;
    for (let letter = unterminated(); letter !== mark; letter = unterminated()) {
      this.at++;
      if (letter !== "\\") continue;
      unterminated();
      this.at++;
    }
    this.at++;
    this.emit(mark === '"' ? "string" : "charConstant");
  }

  private rawString(): void {
    const end = this.source.indexOf("`", this.at + 1);
    if (end < 0) throw new LexError("unterminated raw quoted string");
    this.at = end + 1;
    this.emit("rawString");
  }

  private skipWord(): void {
    for (let rune = this.rune(); rune !== "" && WORD.test(rune); rune = this.rune())
      this.at += rune.length;
  }

  private checkTerminator(): void {
    const rune = this.rune();
    if (rune === "" || " \t\r\n.,|:)(".includes(rune) || this.source.startsWith("}}", this.at))
      return;
    throw new LexError(`bad character ${describeRune(rune)}`);
  }

  private fieldOrVariable(type: "field" | "variable"): void {
    this.at++;
    this.skipWord();
    this.checkTerminator();
    if (type === "field" && this.at === this.start + 1) this.emit("keyword");
    else this.emit(type);
  }

  private identifier(): void {
    this.skipWord();
    this.checkTerminator();
    const word = this.source.slice(this.start, this.at);
    if (KEYWORDS.has(word)) this.emit("keyword");
    else this.emit(word === "true" || word === "false" ? "bool" : "identifier");
  }

  private number(): void {
    const bad = () =>
      new LexError(`bad number syntax: ${quote(this.source.slice(this.start, this.at))}`);
    if (!this.scanNumber()) throw bad();
    if (/[+-]/.test(this.source[this.at] ?? "")) {
      if (!this.scanNumber() || this.source[this.at - 1] !== "i") throw bad();
      return this.emit("complex");
    }
    this.emit("number");
  }

  private scanNumber(): boolean {
    const pattern =
      /[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?/y;
    pattern.lastIndex = this.at;
    this.at += pattern.exec(this.source)?.[0].length ?? 0;
    const rune = this.rune();
    if (rune === "" || !WORD.test(rune)) return true;
    this.at += rune.length;
    return false;
  }
}

/** The tokens of a template. The last is EOF or an error. */
export function lex(source: string): readonly Token[] {
  const lexer = new Lexer(source);
  lexer.run();
  return lexer.tokens;
}
