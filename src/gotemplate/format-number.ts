/**
 * Numbers as Go's fmt and strconv print them, without padding. Pure.
 */

/** An exponent in at least two digits. */
function exponent(power: number, mark: string): string {
  const sign = power < 0 ? "-" : "+";
  return `${mark}${sign}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** A finite number exactly: an integer, times 10 to a power of at most 0. */
function exact(value: number): { whole: bigint; power: number } {
  let scaled = value;
  let halvings = 0;
  while (!Number.isInteger(scaled)) {
    scaled *= 2;
    halvings++;
  }
  return { whole: BigInt(scaled) * 5n ** BigInt(halvings), power: -halvings };
}

/** Times 10 to a power, rounded to an integer; half goes to the even one, as Go has it and JavaScript has not. */
function scaledBy(value: number, power: number): bigint {
  const { whole, power: own } = exact(value);
  const shift = own + power;
  if (shift >= 0) return whole * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  const twice = (whole % divisor) * 2n;
  const quotient = whole / divisor;
  const up = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  return up ? quotient + 1n : quotient;
}

function fixed(value: number, digits: number): string {
  const text = scaledBy(value, digits)
    .toString()
    .padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** So many digits behind the point, and a power of 10. */
function rounded(value: number, digits: number): { mantissa: string; power: number } {
  let power = value === 0 ? 0 : Number(value.toExponential().split("e")[1]);
  let text = scaledBy(value, digits - power)
    .toString()
    .padEnd(digits + 1, "0");
  if (text.length > digits + 1) {
    power++;
    text = text.slice(0, -1);
  }
  return { mantissa: digits === 0 ? text : `${text.slice(0, 1)}.${text.slice(1)}`, power };
}

/** As many digits as say the number. */
function shortest(value: number): { mantissa: string; power: number } {
  const [mantissa = "", power] = value.toExponential().split("e");
  return { mantissa, power: Number(power) };
}

function scientific(value: number, digits: number | undefined): string {
  const { mantissa, power } = digits === undefined ? shortest(value) : rounded(value, digits);
  return mantissa + exponent(power, "e");
}

/** The shortest decimal notation without an exponent. */
function plain(value: number): string {
  const [mantissa = "", power = "0"] = value.toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const point = Number(power) + 1;
  if (point <= 0) return `0.${"0".repeat(-point)}${digits}`.replace(/^0\.0$/, "0");
  if (point >= digits.length) return digits + "0".repeat(point - digits.length);
  return `${digits.slice(0, point)}.${digits.slice(point)}`;
}

function general(value: number, digits: number | undefined): string {
  const significant = digits === 0 ? 1 : digits;
  const { mantissa, power } =
    significant === undefined ? shortest(value) : rounded(value, significant - 1);
  const trim = (all: string) => (all.includes(".") ? all.replace(/\.?0+$/, "") : all);
  const length = trim(mantissa).replace(".", "").length;
  const limit =
    significant !== undefined && significant > length && length >= power + 1 ? length : significant;
  if (value !== 0 && (power < -4 || power >= (limit ?? 6)))
    return trim(mantissa) + exponent(power, "e");
  if (significant === undefined) return plain(value);
  return trim(fixed(value, Math.max(0, significant - 1 - power)));
}

function binary(value: number): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const power = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const mantissa = power === 0 ? fraction : fraction | (1n << 52n);
  const shift = (power === 0 ? 1 : power) - 1075;
  return `${mantissa}p${shift < 0 ? "-" : "+"}${Math.abs(shift)}`;
}

function hexadecimal(value: number, digits: number | undefined): string {
  if (value === 0)
    return `0x0${digits !== undefined && digits > 0 ? `.${"0".repeat(digits)}` : ""}p+00`;
  let power = Math.floor(Math.log2(value));
  let scaled = value / 2 ** power;
  if (scaled >= 2) {
    scaled /= 2;
    power++;
  } else if (scaled < 1) {
    scaled *= 2;
    power--;
  }
  let bits = BigInt(Math.round(scaled * 2 ** 52));
  let kept = 13;
  if (digits !== undefined && digits < 13) {
    const drop = BigInt(4 * (13 - digits));
    const half = 1n << (drop - 1n);
    const rest = bits & ((1n << drop) - 1n);
    bits >>= drop;
    if (rest > half || (rest === half && (bits & 1n) === 1n)) bits++;
    kept = digits;
    if (bits >= 2n << BigInt(4 * kept)) {
      bits >>= 1n;
      power++;
    }
  }
  const text = bits.toString(16);
  let fraction = kept === 0 ? "" : text.slice(-kept);
  if (digits === undefined) fraction = fraction.replace(/0+$/, "");
  else fraction = fraction.padEnd(digits, "0");
  const whole = kept === 0 ? text : text.slice(0, -kept);
  return `0x${whole}${fraction === "" ? "" : `.${fraction}`}${exponent(power, "p")}`;
}

/**
 * A float by a verb of fmt, with a sign only when it is negative. `digits`: the precision, undefined for as many as say the number exactly.
 */
export function formatFloat(value: number, verb: string, digits: number | undefined): string {
  if (Number.isNaN(value)) return "NaN";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const size = Math.abs(value);
  if (size === Number.POSITIVE_INFINITY) return sign === "" ? "+Inf" : "-Inf";
  const lower = verb.toLowerCase();
  let text: string;
  if (lower === "e") text = scientific(size, digits);
  else if (lower === "f") text = digits === undefined ? plain(size) : fixed(size, digits);
  else if (lower === "g") text = general(size, digits);
  else if (lower === "b") text = binary(size);
  else text = hexadecimal(size, digits);
  return sign + (verb === lower || verb === "F" ? text : text.toUpperCase());
}
