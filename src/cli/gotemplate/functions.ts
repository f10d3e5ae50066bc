/**
 * The functions that a template may call: Go's own and those of the docker command line. Pure.
 */
import { formatValue, truth } from "./values.ts";

type Callable = (...args: unknown[]) => unknown;

function compare(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
}

function index(value: unknown, ...keys: unknown[]): unknown {
  let found = value;
  for (const key of keys) {
    if (found === null || typeof found !== "object")
      throw new Error(`can't index item of type ${typeof found}`);
    if (Array.isArray(found) && (typeof key !== "number" || key < 0 || key >= found.length))
      throw new Error(`error calling index: index out of range: ${String(key)}`);
    found = (found as Record<string, unknown>)[String(key)];
  }
  return found;
}

function length(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value !== null && typeof value === "object") return Object.keys(value).length;
  throw new Error(`error calling len: len of type ${typeof value}`);
}

/** fmt.Sprintf for the verbs that templates use. */
function printf(format: unknown, ...args: unknown[]): string {
  let at = 0;
  return String(format).replace(
    /%([-+ 0#]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g,
    (
      _all,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      verb: string,
    ) => {
      if (verb === "%") return "%";
      const value = args[at++];
      let text: string;
      if (verb === "q") text = JSON.stringify(String(value));
      else if (verb === "d") text = String(Math.trunc(Number(value)));
      else if (verb === "x")
        text =
          typeof value === "number"
            ? value.toString(16)
            : Buffer.from(String(value)).toString("hex");
      else if (verb === "f")
        text = Number(value).toFixed(precision === undefined ? 6 : Number(precision));
      else text = formatValue(value);
      if (verb === "s" && precision !== undefined) text = text.slice(0, Number(precision));
      const fill = flags.includes("0") && verb === "d" ? "0" : " ";
      return flags.includes("-")
        ? text.padEnd(Number(width ?? 0))
        : text.padStart(Number(width ?? 0), fill);
    },
  );
}

/** Go escapes <, > and & in JSON; docker's templates do not. Keys keep the order in which they came. */
function json(value: unknown): string {
  return JSON.stringify(value ?? null);
}

/** Every function by name. */
export const functions: Readonly<Record<string, Callable>> = {
  and: (...args) => args.find((arg) => !truth(arg)) ?? args.at(-1),
  or: (...args) => args.find((arg) => truth(arg)) ?? args.at(-1),
  not: (value) => !truth(value),
  eq: (first, ...others) => others.some((other) => compare(first, other) === 0),
  ne: (a, b) => compare(a, b) !== 0,
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  index,
  len: length,
  slice: (value, from = 0, to) =>
    (value as string | unknown[]).slice(Number(from), to === undefined ? undefined : Number(to)),
  print: (...args) => args.map(formatValue).join(" "),
  println: (...args) => `${args.map(formatValue).join(" ")}\n`,
  printf,
  html: (value) => formatValue(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`),
  js: (value) => JSON.stringify(formatValue(value)).slice(1, -1),
  urlquery: (value) => encodeURIComponent(formatValue(value)),
  json,
  split: (value, separator) => String(value).split(String(separator)),
  join: (list, separator) =>
    (Array.isArray(list) ? list : [list]).map(formatValue).join(String(separator)),
  title: (value) => String(value).replace(/\b\w/g, (c) => c.toUpperCase()),
  lower: (value) => String(value).toLowerCase(),
  upper: (value) => String(value).toUpperCase(),
  pad: (value, before, after) =>
    value === "" ? "" : " ".repeat(Number(before)) + String(value) + " ".repeat(Number(after)),
  truncate: (value, size) => String(value).slice(0, Number(size)),
};
