/**
 * JSON of which two readers cannot make different things (pure): valid UTF-8, and no name twice in one object. A payload with
 * two digests would mean one to whoever has signed it and another to us.
 */
import { messageOf } from "../base/errors.ts";

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** The pieces of a valid JSON text that matter here: a string with the colon after it, a string, an opening, a closing. */
const PIECES = /("(?:[^"\\]|\\.)*")(\s*:)?|[{[\]}]/gs;

/** The first name that an object of a valid JSON text has twice. */
function doubledName(text: string): string | undefined {
  // Undefined: an array.
  const open: (Set<string> | undefined)[] = [];
  for (const [piece, string, colon] of text.matchAll(PIECES)) {
    if (piece === "{") open.push(new Set());
    else if (piece === "[") open.push(undefined);
    else if (piece === "}" || piece === "]") open.pop();
    else if (colon !== undefined && string !== undefined) {
      const name = JSON.parse(string) as string;
      const names = open.at(-1);
      if (names?.has(name)) return name;
      names?.add(name);
    }
  }
  return undefined;
}

/** True for what is an object in JSON. */
export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads an object. Throws an Error that says what is wrong with it. */
export function parseStrictly(bytes: Uint8Array): Json {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`not valid JSON: ${messageOf(error)}`);
  }
  if (!isObject(value)) throw new Error("not a JSON object");
  const doubled = doubledName(text);
  if (doubled !== undefined) throw new Error(`the name ${JSON.stringify(doubled)} is there twice`);
  return value;
}

/** Throws an Error when an object has fields that are not known: what is not understood is not passed over. */
export function onlyFields(value: Json, known: readonly string[], what: string): void {
  for (const name of Object.keys(value))
    if (!known.includes(name))
      throw new Error(`${what} has the unknown field ${JSON.stringify(name)}`);
}
