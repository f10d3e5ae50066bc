/**
 * Sizes in Docker's words: pure.
 */
import { parseFloat64 } from "./go-numbers.ts";

const units = ["b", "k", "m", "g", "t", "p"];

/** Bytes of a size such as `64m`, `1e3` or `1.5GiB` (powers of 1024), or what is wrong with it, in Docker's words. */
export function readSize(
  text: string,
): { readonly bytes: number; readonly mistake?: undefined } | { readonly mistake: string } {
  const invalid = { mistake: `invalid size: '${text}'` };
  const last = text.search(/[0-9. ][^0-9. ]*$/);
  if (last < 0) return invalid;
  const number = text.slice(0, text[last] === " " ? last : last + 1);
  const suffix = text.slice(last + 1);
  const size = parseFloat64(number);
  if (size === undefined || !Number.isFinite(size)) {
    const why = size === undefined ? "invalid syntax" : "value out of range";
    return { mistake: `strconv.ParseFloat: parsing ${JSON.stringify(number)}: ${why}` };
  }
  if (size < 0) return invalid;
  // Docker repeats a short suffix in small letters.
  const unit = suffix.length > 3 ? suffix : suffix.toLowerCase();
  if (!/^(?:b|[kmgtp](?:i?b)?)?$/.test(unit)) return { mistake: `invalid suffix: '${unit}'` };
  return { bytes: Math.trunc(Math.abs(size) * 1024 ** units.indexOf(unit[0] ?? "b")) };
}

/** Bytes of a size, or undefined when it is none. */
export function parseBytes(text: string): number | undefined {
  const read = readSize(text);
  return read.mistake === undefined ? read.bytes : undefined;
}
