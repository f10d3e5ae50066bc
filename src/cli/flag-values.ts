/**
 * The values that a flag may take, with the words of Docker (and Go) for a wrong one.
 */

/** What a flag's value is, mostly by the word that the usage text shows. */
export type FlagType =
  | "bool"
  | "string"
  | "list"
  | "map"
  | "int"
  | "uint"
  | "uint16"
  | "decimal"
  | "bytes"
  | "swap-bytes"
  | "duration"
  | "filter"
  | "env"
  | "network"
  | "mount"
  | "ulimit"
  | "gpu-request"
  | "stringArray"
  | "strings"
  | "stringToString";

const nanos: Record<string, number> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 6e10,
  h: 3.6e12,
};

/** Nanoseconds of a Go duration such as `1m30s`, or undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = text.replace(/^[+-]/, "");
  if (rest === "0") return 0;
  let total = 0;
  while (rest !== "") {
    const match = /^(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/.exec(rest);
    if (!match) return undefined;
    total += Number(match[1]) * (nanos[match[2] ?? ""] ?? 0);
    rest = rest.slice(match[0].length);
  }
  return text === "" ? undefined : Math.round(sign * total);
}

/** Thousand millionths of a number such as `0.5` or `1/2`; what is wrong with it, in docker's words, when it is none. */
export function readNanos(value: string): number | string {
  // Loaded here, because every command's start would pay for it.
  const { parseRational } =
    require("../base/go-numbers.ts") as typeof import("../base/go-numbers.ts");
  const found = parseRational(value);
  if (found === undefined) return `failed to parse ${value} as a rational number`;
  const nanos = found.numerator * 1_000_000_000n;
  return nanos % found.denominator === 0n
    ? Number(nanos / found.denominator)
    : "value is too precise";
}

/** The word that the usage text shows for a type. */
export function shownType(type: FlagType): string {
  if (type === "env") return "list";
  return type === "swap-bytes" ? "bytes" : type;
}

/** Loaded by who has a size: few lines have one. */
const sizes = () => require("../base/sizes.ts") as typeof import("../base/sizes.ts");

/** Bytes of a size such as `64m`, or undefined when it is none. */
export function sizeIn(text: string): number | undefined {
  if (text === "") return undefined;
  return text === "0" ? 0 : sizes().parseBytes(text);
}

const mistakeIn = (read: number | string) => (typeof read === "string" ? read : undefined);

/** What is wrong with a value, in Go's words; undefined when nothing is. */
export function checkValue(type: FlagType, value: string): string | undefined {
  const quoted = JSON.stringify(value);
  switch (type) {
    case "bool":
      if (/^(1|0|t|f|T|F|true|false|TRUE|FALSE|True|False)$/.test(value)) return undefined;
      return `strconv.ParseBool: parsing ${quoted}: invalid syntax`;
    case "int":
      if (/^[+-]?\d+$/.test(value)) return undefined;
      return `strconv.ParseInt: parsing ${quoted}: invalid syntax`;
    case "uint":
    case "uint16":
      if (!/^\d+$/.test(value)) return `strconv.ParseUint: parsing ${quoted}: invalid syntax`;
      if (type === "uint" || Number(value) <= 65535) return undefined;
      return `strconv.ParseUint: parsing ${quoted}: value out of range`;
    case "bytes":
    case "swap-bytes":
      return type === "swap-bytes" && value === "-1" ? undefined : sizes().readSize(value).mistake;
    case "duration":
      return parseDuration(value) === undefined ? `time: invalid duration ${quoted}` : undefined;
    case "decimal":
      return mistakeIn(readNanos(value));
    case "stringToString": {
      const odd = value.split(",").find((part) => !part.includes("="));
      return odd === undefined ? undefined : `${odd} must be formatted as key=value`;
    }
    case "env":
      return value === "" || value.startsWith("=")
        ? `invalid environment variable: ${value}`
        : undefined;
    case "filter":
      return value.includes("=") ? undefined : "bad format of filter (expected name=value)";
    default:
      return undefined;
  }
}
