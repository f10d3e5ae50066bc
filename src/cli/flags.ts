/**
 * Flags as Docker reads them (the rules of Go's pflag): `-it`, `-p8080:80`, `--flag=value`, `--flag value`,
 * `--rm=false`, `--`. Own code, because the small argument libraries (mri, minimist, node's parseArgs) guess
 * types, swallow unknown flags or word their errors differently, and scripts compare these texts.
 */
import { messageOf } from "../base/errors.ts";
import { checkValue, type FlagType, readNanos } from "./flag-values.ts";

/** One flag of a command. */
export interface Flag {
  readonly name: string;
  readonly short: string;
  readonly type: FlagType;
  readonly help: string;
  /** Shown in the usage text as the default. */
  readonly initial: string;
  /** Accepted, but not shown. */
  readonly hidden: boolean;
}

/** Describes a flag: `flag("publish", "p", "list", "Publish a port")`. */
export function flag(
  name: string,
  short: string,
  type: FlagType,
  help: string,
  initial = "",
): Flag {
  return { name, short, type, help, initial, hidden: help === "" };
}

/** A wrong command line: printed with the command's usage line. */
export class UsageError extends Error {}

/** What a flag's value is read as; what is wrong with it is the command line's fault, in pflag's words. */
export function readValue<T>(spelled: string, value: string, read: (value: string) => T): T {
  try {
    return read(value);
  } catch (error) {
    throw new UsageError(
      `invalid argument ${JSON.stringify(value)} for "${spelled}" flag: ${messageOf(error)}`,
    );
  }
}

/** The flags and positional arguments of a command line. */
export class Parsed {
  readonly args: string[] = [];
  readonly #values = new Map<string, string[]>();

  /** Notes one use of a flag. */
  add(name: string, value: string): void {
    this.addAll(name, [value]);
  }

  /** Notes one use of a flag that has brought any number of values. */
  addAll(name: string, values: readonly string[]): void {
    this.#values.set(name, [...(this.#values.get(name) ?? []), ...values]);
  }

  /** True when the flag was used at all. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Every value given, in order. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** The last value given, or `otherwise`. */
  text(name: string, otherwise = ""): string {
    return this.#values.get(name)?.at(-1) ?? otherwise;
  }

  /** A boolean flag's value. */
  on(name: string, otherwise = false): boolean {
    const value = this.#values.get(name)?.at(-1);
    return value === undefined ? otherwise : /^(1|t|T|TRUE|true|True)$/.test(value);
  }

  /** An integer flag's value. */
  number(name: string, otherwise = 0): number {
    const value = this.#values.get(name)?.at(-1);
    return value === undefined ? otherwise : Number(value);
  }

  /** A decimal flag's value, in thousand millionths. */
  nanos(name: string): number {
    return Number(readNanos(this.text(name, "0")));
  }
}

/**
 * Reads a command line. With `interspersed` false the flags end at the first positional argument.
 * Throws a UsageError in pflag's words.
 */
export function parseFlags(argv: readonly string[], flags: readonly Flag[], interspersed: boolean) {
  const parsed = new Parsed();
  const queue = [...argv];
  for (let arg = queue.shift(); arg !== undefined; arg = queue.shift()) {
    if (arg === "--") {
      parsed.args.push(...queue);
      break;
    }
    if (arg.startsWith("--")) takeLong(arg, flags, queue, parsed);
    else if (arg.startsWith("-") && arg !== "-") takeShort(arg, flags, queue, parsed);
    else {
      parsed.args.push(arg);
      if (interspersed) continue;
      parsed.args.push(...queue);
      break;
    }
  }
  return parsed;
}

function set(parsed: Parsed, flag: Flag, value: string): void {
  const wrong = checkValue(flag.type, value);
  if (wrong !== undefined) {
    const spelled = flag.short === "" ? `--${flag.name}` : `-${flag.short}, --${flag.name}`;
    throw new UsageError(
      `invalid argument ${JSON.stringify(value)} for "${spelled}" flag: ${wrong}`,
    );
  }
  // Go's slices of texts: one use may have several, or none at all.
  if (flag.type === "strings") parsed.addAll(flag.name, value === "" ? [] : value.split(","));
  else parsed.add(flag.name, value);
}

function takeLong(arg: string, flags: readonly Flag[], queue: string[], parsed: Parsed): void {
  const equals = arg.indexOf("=");
  const name = arg.slice(2, equals < 0 ? undefined : equals);
  if (name === "" || name.startsWith("-")) throw new UsageError(`bad flag syntax: ${arg}`);
  const found = flags.find((one) => one.name === name);
  if (!found) {
    if (name === "help") return parsed.add("help", "true");
    throw new UsageError(`unknown flag: --${name}`);
  }
  if (equals >= 0) return set(parsed, found, arg.slice(equals + 1));
  if (found.type === "bool") return set(parsed, found, "true");
  const value = queue.shift();
  if (value === undefined) throw new UsageError(`flag needs an argument: --${name}`);
  set(parsed, found, value);
}

function takeShort(arg: string, flags: readonly Flag[], queue: string[], parsed: Parsed): void {
  for (let at = 1; at < arg.length; at++) {
    const letter = arg.charAt(at);
    const found = flags.find((one) => one.short === letter);
    if (!found) {
      if (letter === "h") return parsed.add("help", "true");
      throw new UsageError(`unknown shorthand flag: '${letter}' in -${arg.slice(at)}`);
    }
    const rest = arg.slice(at + 1);
    if (rest.startsWith("=")) return set(parsed, found, rest.slice(1));
    if (found.type === "bool") {
      set(parsed, found, "true");
      continue;
    }
    if (rest !== "") return set(parsed, found, rest);
    const value = queue.shift();
    if (value === undefined)
      throw new UsageError(`flag needs an argument: '${letter}' in -${arg.slice(at)}`);
    return set(parsed, found, value);
  }
}
