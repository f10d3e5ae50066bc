/**
 * Variables and labels: `-e`, `--env-file`, `-l`, `--label-file`.
 */

import { errnoOf } from "../../base/errors.ts";
import { readValue } from "../flags.ts";
import { fs } from "../late-modules.ts";

function linesOf(path: string): string[] {
  try {
    return fs()
      .readFileSync(path, "utf8")
      .replace(/^\uFEFF/, "")
      .split(/\r?\n/)
      .map((line) => line.trimStart());
  } catch (error) {
    if (errnoOf(error) === "EISDIR")
      throw new Error(`invalid env file (${path}): read ${path}: is a directory`);
    const reason = errnoOf(error) === "ENOENT" ? "no such file or directory" : String(error);
    throw new Error(`open ${path}: ${reason}`);
  }
}

function fromFiles(paths: readonly string[]): string[] {
  const entries: string[] = [];
  for (const path of paths) {
    for (const line of linesOf(path)) {
      if (line === "" || line.startsWith("#")) continue;
      const name = line.split("=", 1)[0] ?? "";
      if (name === "")
        throw new Error(`invalid env file (${path}): no variable name on line '${line}'`);
      if (/\s/.test(name))
        throw new Error(`invalid env file (${path}): variable '${name}' contains whitespaces`);
      entries.push(line);
    }
  }
  return entries;
}

/**
 * Variables as `NAME=value`, each once, with the last value. A bare name takes the value of this process. Where that has none, one of a
 * file is left out, and one of a flag stays bare: it takes the image's variable away.
 */
export function readEnvironment(values: readonly string[], files: readonly string[]): string[] {
  const env = new Map<string, string>();
  const take = (entry: string, isFlag: boolean) => {
    const [name = ""] = entry.split("=", 1);
    const own = process.env[entry];
    if (entry.includes("=")) env.set(name, entry);
    else if (own !== undefined) env.set(name, `${entry}=${own}`);
    else if (isFlag) env.set(name, entry);
  };
  for (const entry of fromFiles(files)) take(entry, false);
  for (const entry of values) {
    if (entry === "" || entry.startsWith("="))
      throw new Error(
        `invalid argument ${JSON.stringify(entry)} for "-e, --env" flag: invalid environment variable: ${entry}`,
      );
    take(entry, true);
  }
  return [...env.values()];
}

/** `key=value` entries as a map; a key alone has the empty value. */
export function pairs(entries: readonly string[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    if (equals < 0) map[entry] = "";
    else map[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  return map;
}

/** Labels from files, then from flags. */
export function readLabels(
  values: readonly string[],
  files: readonly string[],
  spelled = "-l, --label",
) {
  for (const value of values)
    readValue(spelled, value, (label) => {
      const key = label.split("=", 1)[0]?.replace(/^[ \t]+/, "") ?? "";
      if (key === "") throw new Error(`invalid label '${label}': empty name`);
      if (/[ \t]/.test(key)) throw new Error(`label '${key}' contains whitespaces`);
    });
  return pairs([...fromFiles(files), ...values]);
}
