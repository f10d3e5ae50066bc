/**
 * What may stand where the cursor is: commands, flags, values of flags, names of objects. It knows commands by their usage
 * texts: a word such as CONTAINER or IMAGE there says what belongs there.
 */
import { valuesOf } from "./completion-values.ts";
import type { Flag } from "./flags.ts";

/** Kinds of names that a daemon or this host knows. */
export type NameKind =
  | "container"
  | "running"
  | "stopped"
  | "paused"
  | "image"
  | "network"
  | "volume"
  | "context"
  | "machine";

/** What to offer. */
export type Wanted =
  | { readonly kind: "names"; readonly of: readonly NameKind[] }
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "files" }
  | { readonly kind: "directories" }
  | { readonly kind: "nothing" };

/** A command as far as it matters here. */
export interface Completable {
  readonly usage: string;
  readonly flags: readonly Flag[];
  readonly interspersed?: boolean;
}

const NOTHING: Wanted = { kind: "nothing" };
const FILES: Wanted = { kind: "files" };
const names = (...of: NameKind[]): Wanted => ({ kind: "names", of });

/** Which containers a command can do something with. */
const states: Readonly<Record<string, NameKind>> = {
  start: "stopped",
  unpause: "paused",
  ...Object.fromEntries(
    ["stop", "kill", "pause", "exec", "attach", "top", "stats", "port", "wait"].map((name) => [
      name,
      "running" as const,
    ]),
  ),
};

/** What a word of a usage text stands for. */
function placeOf(word: string, command: string): Wanted {
  if (/CONTAINER/.test(word)) return names(states[command] ?? "container");
  if (/IMAGE|REPOSITORY|NAME\[:TAG/.test(word)) return names("image");
  if (/NETWORK/.test(word)) return names("network");
  if (/VOLUME/.test(word)) return names("volume");
  if (/MACHINE/.test(word)) return names("machine");
  if (/CONTEXT/.test(word)) return names("context");
  if (/NAME\|ID/.test(word)) return names("container", "image", "network", "volume");
  if (/^[a-z]+(?:\|[a-z]+)+$/.test(word)) return { kind: "words", words: word.split("|") };
  if (/^PATH/.test(word)) return { kind: "directories" };
  if (/FILE|file/.test(word)) return FILES;
  return NOTHING;
}

/** The words of a usage text that stand for arguments; the last one repeats when dots say so. */
function placesOf(usage: string): {
  readonly places: readonly string[];
  readonly repeats: boolean;
} {
  const places = usage
    .replace(/\[OPTIONS\]/g, "")
    .split(/\s+(?!\|)(?<!\|\s)/)
    .map((word) => word.replace(/^\[|\]$/g, ""))
    .filter((word) => word !== "" && word !== "|");
  const repeats = places.at(-1)?.includes("...") ?? false;
  return { places: repeats ? places.slice(0, -1) : places, repeats };
}

/** What is completed, and what of the last word stands before it (`--flag=`). */
export interface Completion {
  readonly wanted: Wanted;
  readonly before: string;
  readonly prefix: string;
}

function findFlag(flags: readonly Flag[], word: string): Flag | undefined {
  if (word.startsWith("--")) return flags.find(({ name }) => name === word.slice(2));
  return flags.find(({ short }) => short !== "" && short === word.at(-1));
}

/** Whether a word is a flag whose value is the next word. */
export function takesNext(flags: readonly Flag[], word: string): boolean {
  if (!word.startsWith("-") || word === "-" || word.includes("=")) return false;
  const found = findFlag(flags, word);
  return found !== undefined && found.type !== "bool";
}

/** The flags, as words. */
export function flagWords(flags: readonly Flag[]): string[] {
  return flags
    .filter(({ hidden }) => !hidden)
    .map(({ name, help }) => `--${name}\t${help}`)
    .sort();
}

/** What belongs where a command's words end. `path`: the command; the last of `given` is being written. */
export function completionOf(
  path: string,
  { usage, flags, interspersed = true }: Completable,
  given: readonly string[],
): Completion {
  const last = given.at(-1) ?? "";
  const done = given.slice(0, -1);
  const plain = { before: "", prefix: last };
  let args = 0;
  let flagsEnd = false;
  for (let at = 0; at < done.length; at++) {
    const word = done[at] ?? "";
    if (!flagsEnd && word === "--") flagsEnd = true;
    else if (!flagsEnd && word.startsWith("-") && word !== "-") {
      if (!takesNext(flags, word)) continue;
      if (at === done.length - 1)
        return { wanted: valuesOf(path, findFlag(flags, word)?.name ?? "") ?? NOTHING, ...plain };
      at++;
    } else {
      args++;
      if (!interspersed) flagsEnd = true;
    }
  }
  if (!flagsEnd && last.startsWith("-")) {
    const equals = last.indexOf("=");
    if (equals < 0) return { wanted: { kind: "words", words: flagWords(flags) }, ...plain };
    const flag = findFlag(flags, last.slice(0, equals));
    return {
      wanted: valuesOf(path, flag?.name ?? "") ?? NOTHING,
      before: last.slice(0, equals + 1),
      prefix: last.slice(equals + 1),
    };
  }
  // Behind an image or a container there is a command of its own, of which nothing is known but that it may name files.
  if (!interspersed && args > 0) return { wanted: FILES, ...plain };
  const { places, repeats } = placesOf(usage);
  const place = places[args] ?? (repeats ? places.at(-1) : undefined);
  if (place === undefined) return { wanted: NOTHING, ...plain };
  return { wanted: placeOf(place, path.split(" ").at(-1) ?? ""), ...plain };
}

/** Splits a line as a shell does, as far as it is written; the last word may be empty. */
export function splitLine(line: string): string[] {
  const all: string[] = [];
  let word = "";
  let begun = true;
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const letter = line.charAt(at);
    if (quote !== "") {
      if (letter === quote) quote = "";
      else if (letter === "\\" && quote === '"' && at + 1 < line.length) word += line.charAt(++at);
      else word += letter;
    } else if (letter === "'" || letter === '"') {
      quote = letter;
      begun = true;
    } else if (letter === "\\" && at + 1 < line.length) {
      word += line.charAt(++at);
      begun = true;
    } else if (/\s/.test(letter)) {
      if (begun) all.push(word);
      [word, begun] = ["", false];
    } else {
      word += letter;
      begun = true;
    }
  }
  return [...all, word];
}
