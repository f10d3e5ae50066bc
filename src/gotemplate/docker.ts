/**
 * The functions that Docker's command line adds to Go's, and what they are in a table's heading. Pure.
 */
import { builtins } from "./builtins.ts";
import { toJson } from "./json.ts";
import {
  type Callable,
  GoError,
  sliceOf,
  stringsValue,
  stringValue,
  type Type,
  types,
  type Value,
} from "./values.ts";

const { string, int, any } = types;
const strings = sliceOf(string);

const make = (
  params: readonly Type[],
  run: (...args: (Value | undefined)[]) => string,
): Callable => ({
  params,
  call: (args) => stringValue(run(...args)),
});

/** Go maps letter by letter: what would become two stays as it is. */
function mapLetters(text: string, map: (letter: string) => string): string {
  return Array.from(text, (letter) => {
    const mapped = map(letter);
    return [...mapped].length === 1 ? mapped : letter;
  }).join("");
}

const upper = (text: string) => mapLetters(text, (letter) => letter.toUpperCase());

/** strings.Title: words begin behind white space and behind ASCII's signs. */
function title(text: string): string {
  const first = /(?<=^|\s|[\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f])./gsu;
  return text.replace(first, upper);
}

function split(text: string, separator: string): string[] {
  return separator === "" ? [...text] : text.split(separator);
}

function repeat(count: Value | undefined): string {
  const times = count?.int ?? 0n;
  if (times < 0n) throw new GoError("strings: negative Repeat count");
  if (times > 1_000_000n) throw new GoError("strings: Repeat output length overflow");
  return " ".repeat(Number(times));
}

function truncate(text: string, most: bigint): string {
  const bytes = Buffer.from(text);
  if (BigInt(bytes.length) < most) return text;
  if (most < 0n) throw new GoError(`runtime error: slice bounds out of range [:${most}]`);
  return bytes.subarray(0, Number(most)).toString("utf8");
}

/** Everything that a template of Docker's may call. */
export const dockerFunctions: Readonly<Record<string, Callable>> = {
  ...builtins,
  json: make([any], (value) => toJson(value).trim()),
  split: {
    params: [string, string],
    call: ([text, separator]) => stringsValue(split(text?.string ?? "", separator?.string ?? "")),
  },
  join: make([strings, string], (list, separator) =>
    (list?.items ?? []).map((item) => item.string).join(separator?.string ?? ""),
  ),
  title: make([string], (text) => title(text?.string ?? "")),
  lower: make([string], (text) => mapLetters(text?.string ?? "", (letter) => letter.toLowerCase())),
  upper: make([string], (text) => upper(text?.string ?? "")),
  pad: make([string, int, int], (text, before, after) =>
    text?.string ? repeat(before) + text.string + repeat(after) : "",
  ),
  truncate: make([string, int], (text, most) => truncate(text?.string ?? "", most?.int ?? 0n)),
};

const same = (...params: Type[]): Callable => make(params, (text) => text?.string ?? "");

/** In a heading, what changes a cell's text leaves it as it is. */
export const headingFunctions: Readonly<Record<string, Callable>> = {
  ...dockerFunctions,
  json: same(string),
  title: same(string),
  lower: same(string),
  upper: same(string),
  join: same(string, string),
  truncate: same(string, int),
};

/** The names of all of them. */
export const dockerNames: ReadonlySet<string> = new Set(Object.keys(dockerFunctions));
