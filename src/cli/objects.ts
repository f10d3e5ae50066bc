/**
 * Single objects by a user's template, or as JSON; and what Docker's command line says to a template that is wrong.
 */
import { messageOf } from "../base/errors.ts";
import {
  dockerFunctions,
  dockerNames,
  execute,
  fromJson,
  mapOf,
  parse,
  pointerTo,
  type Template,
  type Type,
  toJson,
  types,
  Value,
} from "../gotemplate/index.ts";

/** Does what may fail because of the user's template. `words`: what docker says of it. */
export function asTemplateError<T>(run: () => T, words = "template parsing error"): T {
  try {
    return run();
  } catch (error) {
    throw new Error(`${words}: ${messageOf(error)}`);
  }
}

/** Parses a template that may call Docker's functions. Throws in Docker's words. */
export function parseTemplate(source: string, words?: string, name?: string): Template {
  return asTemplateError(() => parse(source, dockerNames, name), words);
}

const strings: Type = { kind: "slice", name: "[]string", elem: types.string };
const stringMap = mapOf(types.string);
/** What is null may be anything: a pointer to nothing. */
const nothing = new Value(pointerTo(types.any), null);

/** An object: its members keep the order in which they came. */
const objectType: Type = {
  ...mapOf(types.any),
  isClosed: true,
  json: (value) => {
    const members = [...value.entries].map(
      ([key, item]) => `${JSON.stringify(key)}:${toJson(item)}`,
    );
    return `{${members.join(",")}}`;
  },
};

/**
 * An object with the types that it would have in Go: whole numbers are integers, lists of strings can be joined, tables of
 * strings have no missing keys.
 */
export function objectValue(json: unknown): Value | undefined {
  if (typeof json === "bigint") return new Value(types.int, json);
  if (typeof json === "number" && Number.isSafeInteger(json))
    return new Value(types.int, BigInt(json));
  if (typeof json !== "object" || json === null) return fromJson(json);
  const inside = (item: unknown) => new Value(types.any, objectValue(item) ?? null);
  const isText = (item: unknown) => typeof item === "string";
  if (Array.isArray(json)) {
    if (json.every(isText))
      return new Value(
        strings,
        json.map((item) => objectValue(item)),
      );
    return new Value(
      { ...strings, name: "[]interface {}", elem: types.any },
      json.map((item) => inside(item)),
    );
  }
  const entries = Object.entries(json);
  if (entries.length > 0 && entries.every(([, item]) => isText(item)))
    return new Value(stringMap, new Map(entries.map(([key, item]) => [key, objectValue(item)])));
  const members = entries.map(
    ([key, item]) => [key, item === null ? nothing : inside(item)] as const,
  );
  return new Value(objectType, new Map(members));
}

/** Gives what formats an object: "json", or a Go template. Throws for a template that cannot be read. */
export function objectFormatter(format: string): (object: unknown) => string {
  if (format === "json") return (object) => `${JSON.stringify(object)}\n`;
  const template = parseTemplate(format);
  return (object) => {
    const value = objectValue(object);
    const text = asTemplateError(() => execute(template, value, { functions: dockerFunctions }));
    return `${text}\n`;
  };
}
