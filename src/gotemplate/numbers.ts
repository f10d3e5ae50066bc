/**
 * Constants of numbers in all of Go's forms. Pure.
 */
import { quote, unquote } from "./quote.ts";
import { GoError } from "./values.ts";

/** What a constant can be: any of these that is set. */
export interface NumberConstant {
  readonly int?: bigint;
  readonly uint?: bigint;
  readonly float?: number;
}

const INTEGER =
  /^([+-]?)(0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)$/;
const DECIMAL =
  /^[+-]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+(?:_\d+)*)?$/;
const HEXADECIMAL =
  /^([+-]?)0[xX]_?([0-9a-fA-F]*(?:_[0-9a-fA-F]+)*)(?:\.([0-9a-fA-F]*))?[pP]([+-]?\d+)$/;

function parseInteger(text: string): bigint | undefined {
  const [, sign, digits = ""] = INTEGER.exec(text) ?? [];
  if (digits === "") return undefined;
  const plain = digits.replaceAll("_", "");
  const value = BigInt(/^0[0-7]+$/.test(plain) ? `0o${plain.slice(1)}` : plain);
  return sign === "-" ? -value : value;
}

function parseFloating(text: string): number | undefined {
  const hexadecimal = HEXADECIMAL.exec(text);
  if (hexadecimal !== null) {
    const [, sign, whole = "", part = "", power] = hexadecimal;
    if (whole + part === "") return undefined;
    const mantissa = Number(`0x${whole.replaceAll("_", "")}${part}`);
    return (sign === "-" ? -1 : 1) * mantissa * 2 ** (Number(power) - 4 * part.length);
  }
  const value = DECIMAL.test(text) ? Number(text.replaceAll("_", "")) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}

const fits = (value: bigint, signed: boolean) =>
  (signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) === value;

/** A character in single quotes as a number. */
export function characterConstant(text: string): NumberConstant {
  const malformed = () => new GoError(`malformed character constant: ${text}`);
  let meant: string;
  try {
    meant = unquote(text);
  } catch {
    throw text.startsWith("'\\") ? new GoError("invalid syntax") : malformed();
  }
  if (text === "''") throw new GoError("invalid syntax");
  if ([...meant].length !== 1) throw malformed();
  const code = meant.codePointAt(0) ?? 0;
  return { int: BigInt(code), uint: BigInt(code), float: code };
}

/** A number's constant. Throws for what is none, and for imaginary ones. */
export function numberConstant(text: string): NumberConstant {
  if (text.endsWith("i")) throw new GoError(`complex numbers are not supported: ${quote(text)}`);
  const integer = parseInteger(text);
  const int = integer !== undefined && fits(integer, true) ? integer : undefined;
  const unsigned = integer !== undefined && (integer === 0n || /^\d/.test(text));
  const uint = unsigned && fits(integer, false) ? integer : undefined;
  const whole = int ?? uint;
  if (whole !== undefined)
    return {
      float: Number(whole),
      ...(int !== undefined && { int }),
      ...(uint !== undefined && { uint }),
    };
  const float = parseFloating(text);
  if (float === undefined) throw new GoError(`illegal number syntax: ${quote(text)}`);
  if (!/[.eEpP]/.test(text)) throw new GoError(`integer overflow: ${quote(text)}`);
  const exact = Number.isInteger(float) ? BigInt(float) : undefined;
  return {
    float,
    ...(exact !== undefined && fits(exact, true) && { int: exact }),
    ...(exact !== undefined && fits(exact, false) && { uint: exact }),
  };
}
