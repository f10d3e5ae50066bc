/**
 * Numbers as Go's libraries read them, for flags whose values docker gives to those: pure.
 */

/** A number without loss; the denominator is above zero. */
export interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** Beyond this an exponent is no number that anybody means, and its power would take all memory. */
const MOST_EXPONENT = 9999;

const bases: Readonly<Record<string, number>> = { "": 10, "0x": 16, "0b": 2, "0o": 8 };

/** The text without its underscores, which Go allows between digits and behind the prefix of a base. */
function unspaced(text: string): string | undefined {
  return /(?:^|[^0-9a-z])_|_(?:[^0-9a-f]|$)/i.test(text) ? undefined : text.replaceAll("_", "");
}

/** A whole number without a sign, in the base that its prefix says. */
function readWhole(text: string): bigint | undefined {
  const plain = unspaced(text);
  if (plain === undefined) return undefined;
  if (/^0[0-7]+$/.test(plain)) return BigInt(`0o${plain.slice(1)}`);
  return /^(?:0|[1-9]\d*|0x[0-9a-f]+|0b[01]+|0o[0-7]+)$/i.test(plain) ? BigInt(plain) : undefined;
}

/** A number with a point or an exponent, without a sign. */
function readFraction(text: string): Rational | undefined {
  const plain = unspaced(text)?.toLowerCase() ?? "";
  const prefix = /^0[xbo]/.exec(plain)?.[0] ?? "";
  const base = bases[prefix] ?? 10;
  const form = base === 16 ? /^([0-9a-f.]+)(?:(p)(.*))?$/ : /^([0-9.]+)(?:([ep])(.*))?$/;
  const [, mantissa = "", mark, power = "0"] = form.exec(plain.slice(prefix.length)) ?? [];
  const [whole = "", part = "", more] = mantissa.split(".");
  const digits = whole + part;
  const isOfBase = [...digits].every((digit) => Number.parseInt(digit, base) >= 0);
  if (digits === "" || more !== undefined || !isOfBase || !/^[+-]?\d+$/.test(power))
    return undefined;
  const exponent = Number(power);
  if (Math.abs(exponent) > MOST_EXPONENT) return undefined;
  const factor = (mark === "p" ? 2n : 10n) ** BigInt(Math.abs(exponent));
  return {
    numerator: BigInt(prefix + digits) * (exponent > 0 ? factor : 1n),
    denominator: BigInt(base) ** BigInt(part.length) * (exponent < 0 ? factor : 1n),
  };
}

/** Reads what big.Rat's SetString reads, such as `0.5`, `1/2`, `5e-1` and `0x1p-1`; undefined when it is none. */
export function parseRational(text: string): Rational | undefined {
  const plain = text.replace(/^[+-]/, "");
  const [above = "", below] = plain.split(/\/(.*)/s);
  const numerator = below === undefined ? undefined : readWhole(above);
  const denominator = below === undefined ? undefined : readWhole(below);
  const found =
    below === undefined
      ? readFraction(plain)
      : numerator !== undefined && denominator && { numerator, denominator };
  if (!found) return undefined;
  return text.startsWith("-") ? { ...found, numerator: -found.numerator } : found;
}

/** Reads what strconv's ParseFloat reads, but for words such as `inf`; undefined when it is none. May be infinite. */
export function parseFloat64(text: string): number | undefined {
  const plain = unspaced(text) ?? "";
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(plain)) return Number(plain);
  if (!/^[+-]?0x.*p/i.test(plain)) return undefined;
  const found = parseRational(text);
  return found && Number(found.numerator) / Number(found.denominator);
}
