/**
 * The functions that every template may call. Pure.
 */
import { sprint, sprintf, sprintln } from "./fmt.ts";
import { isPrint } from "./quote.ts";
import {
  assignable,
  boolValue,
  type Callable,
  GoError,
  indirect,
  indirectInterface,
  intValue,
  isFloat,
  isSigned,
  isUnsigned,
  stringValue,
  type Type,
  truth,
  types,
  Value,
  zeroOf,
} from "./values.ts";

type Argument = Value | undefined;

/** The place that an index means, at most `most`. */
function indexOf(index: Argument, most: number): number {
  if (index === undefined) throw new GoError("cannot index slice/array with nil");
  if (!isSigned(index.kind) && !isUnsigned(index.kind))
    throw new GoError(`cannot index slice/array with type ${index.type.name}`);
  if (index.int < 0n || index.int > BigInt(most))
    throw new GoError(`index out of range: ${index.int}`);
  return Number(index.int);
}

/** A map's key by an argument. */
function keyOf(key: Argument, { name }: Type = types.string): string {
  if (key === undefined) throw new GoError(`value is nil; should be of type ${name}`);
  if (key.kind !== "string" || key.type.name !== name)
    throw new GoError(`value has type ${key.type.name}; should be ${name}`);
  return key.string;
}

function index([first, ...indexes]: readonly Argument[]): Argument {
  let item = indirectInterface(first);
  if (item === undefined) throw new GoError("index of untyped nil");
  for (const wrapped of indexes) {
    const key = indirectInterface(wrapped);
    const { value, isNil } = indirect(item);
    if (isNil || value === undefined) throw new GoError("index of nil pointer");
    if (value.kind === "slice") {
      const at = indexOf(key, value.items.length);
      item = value.items[at];
      if (item === undefined) throw new GoError("reflect: slice index out of range");
    } else if (value.kind === "string") {
      const bytes = Buffer.from(value.string);
      const byte = bytes[indexOf(key, bytes.length)];
      if (byte === undefined) throw new GoError("reflect: string index out of range");
      item = new Value(types.uint8, BigInt(byte));
    } else if (value.kind === "map")
      item = value.entries.get(keyOf(key, value.type.key)) ?? zeroOf(value.type.elem ?? types.any);
    else throw new GoError(`can't index item of type ${value.type.name}`);
  }
  return item;
}

function slice([first, ...indexes]: readonly Argument[]): Argument {
  const { value, isNil } = indirect(indirectInterface(first));
  if (value === undefined) throw new GoError("slice of untyped nil");
  if (isNil) throw new GoError("slice of nil pointer");
  if (indexes.length > 3) throw new GoError(`too many slice indexes: ${indexes.length}`);
  if (value.kind === "string" && indexes.length === 3)
    throw new GoError("cannot 3-index slice a string");
  if (value.kind !== "string" && value.kind !== "slice")
    throw new GoError(`can't slice item of type ${value.type.name}`);
  const bytes = value.kind === "string" ? Buffer.from(value.string) : undefined;
  const length = bytes?.length ?? value.items.length;
  const [from = 0, to = length, most = length] = indexes.map((one) => indexOf(one, length));
  if (from > to) throw new GoError(`invalid slice index: ${from} > ${to}`);
  if (to > most) throw new GoError(`invalid slice index: ${to} > ${most}`);
  if (bytes !== undefined) return new Value(value.type, bytes.subarray(from, to).toString("utf8"));
  return new Value(value.type, value.items.slice(from, to));
}

function length([wrapped]: readonly Argument[]): Value {
  const { value, isNil } = indirect(wrapped);
  if (isNil) throw new GoError("len of nil pointer");
  if (value?.kind === "string") return intValue(Buffer.byteLength(value.string));
  if (value?.kind === "slice") return intValue(value.items.length);
  if (value?.kind === "map") return intValue(value.entries.size);
  if (value === undefined) throw new GoError("reflect: call of reflect.Value.Type on zero Value");
  throw new GoError(`len of type ${value.type.name}`);
}

/** An argument of call as its parameter's type. Integers of all kinds may stand for each other. */
function prepared(wrapped: Argument, at: number, type: Type = types.any): Argument {
  const value = indirectInterface(wrapped);
  const integer = (kind: Type["kind"]) => isSigned(kind) || isUnsigned(kind);
  if (value === undefined) {
    if (["interface", "slice", "map", "pointer", "func"].includes(type.kind)) return zeroOf(type);
    throw new GoError(`arg ${at}: value is nil; should be of type ${type.name}`);
  }
  if (assignable(value.type, type)) return value;
  if (integer(value.kind) && integer(type.kind)) {
    const bits = Number(/\d+$/.exec(type.kind)?.[0] ?? 64);
    const wrap = isSigned(type.kind) ? BigInt.asIntN : BigInt.asUintN;
    return new Value(type, wrap(bits, value.int));
  }
  throw new GoError(`arg ${at}: value has type ${value.type.name}; should be ${type.name}`);
}

function call([name, wrapped, ...args]: readonly Argument[]): Argument {
  const value = indirectInterface(wrapped);
  if (value === undefined) throw new GoError("call of nil");
  if (value.kind !== "func")
    throw new GoError(`non-function ${name?.string} of type ${value.type.name}`);
  const { params, variadic } = value.callable;
  const fixed = variadic ? params.length - 1 : params.length;
  if (variadic ? args.length < fixed : args.length !== fixed)
    throw new GoError(
      `wrong number of args for ${name?.string}: got ${args.length} want ${variadic ? "at least " : ""}${fixed}`,
    );
  return value.callable.call(
    args.map((arg, at) => prepared(arg, at, params[Math.min(at, params.length - 1)])),
  );
}

type Basic = "bool" | "int" | "uint" | "float" | "string" | undefined;

function basicOf(value: Argument): Basic {
  const kind = value?.kind;
  if (kind === "bool" || kind === "string") return kind;
  if (isSigned(kind)) return "int";
  if (isUnsigned(kind)) return "uint";
  return isFloat(kind) ? "float" : undefined;
}

// Go names the types since 1.26; docker's command line 28 is made with 1.24.
const incompatible = () => new GoError("incompatible types for comparison");

const isNil = (value: Argument) => value === undefined || value.isNil;

/** Two values of no basic kind. */
function equalOthers(a: Argument, b: Argument): boolean {
  if (a !== undefined && b !== undefined && a.kind !== b.kind)
    throw new GoError(
      `non-comparable types ${goString(a)}: ${a.type.name}, ${b.type.name}: ${sprint([b])}`,
    );
  if (isNil(a) || isNil(b)) return isNil(a) === isNil(b);
  if (b !== undefined && ["slice", "map", "func"].includes(b.kind))
    throw new GoError(`non-comparable type ${goString(b)}: ${b.type.name}`);
  return a?.data === b?.data;
}

/** What a reflect.Value prints as with %s. */
function goString(value: Value): string {
  return sprintf("%s", [value]);
}

function equal(wrapped: Argument, other: Argument): boolean {
  const [a, b] = [indirectInterface(wrapped), indirectInterface(other)];
  const [first, second] = [basicOf(a), basicOf(b)];
  if (first !== second) {
    const integers = (kind: Basic) => kind === "int" || kind === "uint";
    if (integers(first) && integers(second)) return a?.int === b?.int;
    if (a !== undefined && b !== undefined) throw incompatible();
    return false;
  }
  return first === undefined ? equalOthers(a, b) : a?.data === b?.data;
}

function less(wrapped: Argument, other: Argument): boolean {
  const [a, b] = [indirectInterface(wrapped), indirectInterface(other)];
  const [first, second] = [basicOf(a), basicOf(b)];
  const bad = () => new GoError("invalid type for comparison");
  if (first === undefined || second === undefined || a === undefined || b === undefined)
    throw bad();
  const isInteger = (kind: Basic) => kind === "int" || kind === "uint";
  if (first !== second && !(isInteger(first) && isInteger(second))) throw incompatible();
  if (first === "bool") throw bad();
  if (first === "string") return Buffer.compare(Buffer.from(a.string), Buffer.from(b.string)) < 0;
  return first === "float" ? a.float < b.float : a.int < b.int;
}

const lessOrEqual = (a: Argument, b: Argument) => less(a, b) || equal(a, b);

function anyEqual([first, ...others]: readonly Argument[]): boolean {
  if (others.length === 0) throw new GoError("missing argument for comparison");
  return others.some((other) => equal(first, other));
}

/** What print and the escapers print: pointers are followed, nothing is <no value>. */
function printable(arg: Argument): Argument {
  const value = arg?.kind === "pointer" ? indirect(arg).value : arg;
  return value ?? stringValue("<no value>");
}

function textOf(args: readonly Argument[]): string {
  const [only] = args;
  if (args.length === 1 && only?.kind === "string") return only.string;
  return sprint(args.map((arg) => printable(indirectInterface(arg))));
}

const HTML: Readonly<Record<string, string>> = {
  ...{ '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd" },
};

function escapeJs(text: string): string {
  let escaped = "";
  for (const rune of text) {
    const code = (rune.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    if (`\\'"`.includes(rune)) escaped += `\\${rune}`;
    else if ("<>&=".includes(rune) || rune < " ") escaped += `\\u${code}`;
    else if (rune > "\x7e" && !isPrint(rune)) escaped += rune === "\x7f" ? rune : `\\u${code}`;
    else escaped += rune;
  }
  return escaped;
}

function escapeQuery(text: string): string {
  const more = (c: string) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text.toWellFormed())
    .replaceAll("%20", "+")
    .replace(/[!'()*]/g, more);
}

const text = (params: readonly Type[], make: (args: readonly Argument[]) => string): Callable => ({
  params,
  variadic: true,
  call: (args) => stringValue(make(args)),
});
const comparison = (compare: (a: Argument, b: Argument) => boolean): Callable => ({
  params: [types.reflect, types.reflect],
  call: ([a, b]) => boolValue(compare(a, b)),
});
const several = (make: Callable["call"]): Callable => ({
  params: [types.reflect, types.reflect],
  variadic: true,
  call: make,
});

/** Go's functions by name. and, or and call are finished by the execution, which knows their operands. */
export const builtins: Readonly<Record<string, Callable>> = {
  and: several(([value]) => value),
  or: several(([value]) => value),
  not: { params: [types.reflect], call: ([value]) => boolValue(!truth(value)) },
  call: several(call),
  index: several(index),
  slice: several(slice),
  len: { params: [types.reflect], call: length },
  eq: several((args) => boolValue(anyEqual(args))),
  ne: comparison((a, b) => !equal(a, b)),
  lt: comparison(less),
  le: comparison(lessOrEqual),
  gt: comparison((a, b) => !lessOrEqual(a, b)),
  ge: comparison((a, b) => !less(a, b)),
  print: text([types.any], sprint),
  println: text([types.any], sprintln),
  printf: text([types.string, types.any], ([format, ...args]) =>
    sprintf(format?.string ?? "", args),
  ),
  html: text([types.any], (args) => textOf(args).replace(/["'&<>\0]/g, (c) => HTML[c] ?? c)),
  js: text([types.any], (args) => escapeJs(textOf(args))),
  urlquery: text([types.any], (args) => escapeQuery(textOf(args))),
};
