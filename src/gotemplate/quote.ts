/**
 * Go's quoted strings, written and read. Pure.
 */
import { GoError } from "./values.ts";

/** What Go prints as it is: letters, marks, numbers, punctuation, symbols, and the space. */
export function isPrint(rune: string): boolean {
  return /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(rune);
}

const NAMED: Readonly<Record<string, string>> = {
  ...{ "\x07": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t" },
  ...{ "\v": "\\v", "\\": "\\\\" },
};

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

/** A string in Go's syntax between two marks. With `ascii`, all else is escaped. */
export function quote(text: string, mark = '"', ascii = false): string {
  let quoted = mark;
  for (const rune of text) {
    const code = rune.codePointAt(0) ?? 0;
    if (rune === mark) quoted += `\\${mark}`;
    else if (NAMED[rune] !== undefined) quoted += NAMED[rune];
    else if (isPrint(rune) && (!ascii || code < 0x80)) quoted += rune;
    else if (code < 0x20 || code === 0x7f) quoted += `\\x${hex(code, 2)}`;
    else if (code >= 0xd800 && code < 0xe000) quoted += "\\ufffd";
    else quoted += code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
  }
  return quoted + mark;
}

const ESCAPE =
  /\\(?:([abfnrtv\\'"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))|\\|[^\\]/gsuy;
const MEANING: Readonly<Record<string, string>> = {
  ...{ a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\" },
};

/** What a string or a character means in Go's syntax, without its marks. Throws for what is no such. */
export function unquote(literal: string): string {
  const mark = literal[0] ?? "";
  const inside = literal.slice(1, -1);
  if (mark === "`") return inside.replaceAll("\r", "");
  const bytes: Buffer[] = [];
  for (const [all, named, x, u, wide, octal] of inside.matchAll(ESCAPE)) {
    const code = Number.parseInt(u ?? wide ?? "0", 16);
    const byte = x === undefined ? Number.parseInt(octal ?? "0", 8) : Number.parseInt(x, 16);
    const surrogate = code >= 0xd800 && code < 0xe000;
    if (all === "\\" || code > 0x10ffff || surrogate || byte > 0xff)
      throw new GoError("invalid syntax");
    if ((named === "'" || named === '"') && named !== mark) throw new GoError("invalid syntax");
    if (x !== undefined || octal !== undefined)
      bytes.push(mark === "'" ? Buffer.from(String.fromCharCode(byte)) : Buffer.of(byte));
    else if (u !== undefined || wide !== undefined)
      bytes.push(Buffer.from(String.fromCodePoint(code)));
    else bytes.push(Buffer.from(named === undefined ? all : (MEANING[named] ?? named)));
  }
  return Buffer.concat(bytes).toString("utf8");
}
