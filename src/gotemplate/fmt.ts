/**
 * Go's fmt: Sprint, Sprintln and Sprintf over values. Pure.
 */
import { formatFloat } from "./format-number.ts";
import { isPrint, quote } from "./quote.ts";
import {
  indirectInterface,
  isFloat,
  isSigned,
  isUnsigned,
  sortedKeys,
  type Type,
  type Value,
} from "./values.ts";

/** What stands between % and the verb. */
interface Flags {
  plus: boolean;
  minus: boolean;
  sharp: boolean;
  space: boolean;
  zero: boolean;
  /** %+v and %#v: the flag is for all that is inside. */
  plusV: boolean;
  sharpV: boolean;
  width: number | undefined;
  precision: number | undefined;
}

const noFlags = (): Flags => ({
  ...{ plus: false, minus: false, sharp: false, space: false, zero: false },
  ...{ plusV: false, sharpV: false, width: undefined, precision: undefined },
});

const letters = (text: string) => [...text].length;

function pad(text: string, { width, minus, zero }: Flags): string {
  const missing = (width ?? 0) - letters(text);
  if (missing <= 0) return text;
  if (minus) return text + " ".repeat(missing);
  return (zero ? "0" : " ").repeat(missing) + text;
}

/** Pads a number: zeros go behind its sign. */
function padSigned(text: string, flags: Flags): string {
  const { zero, minus, width } = flags;
  const signed = /^[+\- ]/.test(text);
  if (!zero || minus || !signed) return pad(text, flags);
  return text[0] + pad(text.slice(1), { ...flags, width: (width ?? 0) - 1 });
}

const BASES: Readonly<Record<string, number>> = { d: 10, v: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };

function formatInteger(value: bigint, verb: string, flags: Flags): string {
  const negative = value < 0n;
  const sign = negative ? "-" : flags.plus ? "+" : flags.space ? " " : "";
  let digits = (negative ? -value : value).toString(BASES[verb] ?? 10);
  if (flags.precision !== undefined) {
    if (flags.precision === 0 && value === 0n) return pad("", { ...flags, zero: false });
    digits = digits.padStart(flags.precision, "0");
  } else if (flags.zero && !flags.minus && flags.width !== undefined)
    digits = digits.padStart(flags.width - sign.length, "0");
  let prefix = "";
  if (flags.sharp) {
    if (verb === "b") prefix = "0b";
    else if (verb === "o" && !digits.startsWith("0")) prefix = "0";
    else if (verb === "x" || verb === "X") prefix = "0x";
  }
  if (verb === "O") prefix = "0o";
  const text = prefix + digits;
  return pad(sign + (verb === "X" ? text.toUpperCase() : text), { ...flags, zero: false });
}

function runeOf(value: bigint): string {
  const bad = value < 0n || value > 0x10ffffn || (value >= 0xd800n && value < 0xe000n);
  return bad ? "\ufffd" : String.fromCodePoint(Number(value));
}

function formatUnicode(value: bigint, flags: Flags): string {
  const code = BigInt.asUintN(64, value).toString(16).toUpperCase();
  const rune = runeOf(value);
  const shown =
    flags.sharp && value >= 0n && value <= 0x10ffffn && isPrint(rune) ? ` '${rune}'` : "";
  const text = `U+${code.padStart(Math.max(4, flags.precision ?? 0), "0")}${shown}`;
  return pad(text, { ...flags, zero: false });
}

function formatHex(text: string, verb: string, flags: Flags): string {
  const bytes = [...Buffer.from(text)].slice(0, flags.precision);
  const pairs = bytes.map((byte) => {
    const pair = byte.toString(16).padStart(2, "0");
    return verb === "X" ? pair.toUpperCase() : pair;
  });
  const prefix = flags.sharp ? `0${verb}` : "";
  if (pairs.length === 0) return pad("", flags);
  return pad(
    flags.space ? pairs.map((pair) => prefix + pair).join(" ") : prefix + pairs.join(""),
    flags,
  );
}

function truncated(text: string, { precision }: Flags): string {
  return precision === undefined ? text : [...text].slice(0, precision).join("");
}

function formatQuoted(whole: string, flags: Flags): string {
  const text = truncated(whole, flags);
  // A raw string holds neither its own mark nor what does not show.
  const raw = !/[`\x00-\x08\x0a-\x1f\x7f\ufeff]/.test(text);
  if (flags.sharp && raw) return pad(`\`${text}\``, flags);
  return pad(quote(text, '"', flags.plus), flags);
}

function formatFloatVerb(value: number, verb: string, flags: Flags): string {
  const usual = /[eEfF]/.test(verb) ? 6 : undefined;
  const digits = flags.precision ?? usual;
  const by = verb === "v" ? "g" : verb;
  let text = formatFloat(value, by, digits);
  if (flags.sharp && /[gG]/.test(by) && Number.isFinite(value)) text = withPoint(text, digits ?? 6);
  else if (flags.sharp && Number.isFinite(value) && !text.includes(".") && by !== "b")
    text = text.replace(/^([+-]?\d+)/, "$1.");
  if (!/^[+-]/.test(text)) text = `+${text}`;
  if (flags.space && text.startsWith("+") && !flags.plus) text = ` ${text.slice(1)}`;
  const infinite = /Inf|NaN/.test(text);
  const shown = infinite ? { ...flags, zero: false } : flags;
  if (text === "+NaN" && !flags.plus && !flags.space) text = "NaN";
  if (flags.plus || !text.startsWith("+")) return padSigned(text, shown);
  return pad(text.slice(1), shown);
}

/** %#g: a point, and zeros to the number of digits that counts. */
function withPoint(text: string, digits: number): string {
  const [mantissa = "", power] = text.split(/(?=[eE])/);
  const pointed = mantissa.includes(".") ? mantissa : `${mantissa}.`;
  const significant = pointed.replace(/[-.]/g, "").replace(/^0+/, "").length;
  return pointed + "0".repeat(Math.max(0, digits - significant)) + (power ?? "");
}

/** One conversion. */
class Printer {
  constructor(private readonly flags: Flags) {}

  /** An argument; undefined is a nil interface. */
  argument(value: Value | undefined, verb: string): string {
    if (value === undefined)
      return verb === "v" || verb === "T" ? pad("<nil>", this.flags) : `%!${verb}(<nil>)`;
    if (verb === "T") return pad(truncated(value.type.name, this.flags), this.flags);
    if (verb === "p") return this.pointer(value, verb);
    return this.value(value, verb, 0);
  }

  private bad(value: Value, verb: string): string {
    // What is wrong inside shows its parts without flags of its own.
    const inside = new Printer(this.flags).plain(value);
    return `%!${verb}(${value.type.name}=${inside})`;
  }

  /** With %v, and no methods. */
  private plain(value: Value): string {
    return this.value(value, "v", 0, false);
  }

  private value(value: Value, verb: string, depth: number, methods = true): string {
    const { kind, type } = value;
    if (methods && type.text !== undefined && /[vsxXq]/.test(verb) && !this.flags.sharpV)
      return this.string(type.text(value), verb, value);
    if (kind === "bool")
      return verb === "t" || verb === "v"
        ? pad(String(value.bool), this.flags)
        : this.bad(value, verb);
    if (isSigned(kind) || isUnsigned(kind)) return this.integer(value, verb);
    if (isFloat(kind))
      return /[vbgGxXfFeE]/.test(verb)
        ? formatFloatVerb(value.float, verb, this.flags)
        : this.bad(value, verb);
    if (kind === "string") return this.string(value.string, verb, value);
    if (kind === "map" || kind === "struct" || kind === "slice")
      return this.composite(value, verb, depth);
    if (kind === "interface") return this.interface(value, verb, depth);
    return this.pointed(value, verb, depth);
  }

  private interface(value: Value, verb: string, depth: number): string {
    if (value.inner !== undefined) return this.value(value.inner, verb, depth + 1);
    return this.flags.sharpV ? `${value.type.name}(nil)` : "<nil>";
  }

  private integer(value: Value, verb: string): string {
    const { flags } = this;
    if (verb === "v" && flags.sharpV && isUnsigned(value.kind))
      return formatInteger(value.int, "x", { ...flags, sharp: true });
    if (verb in BASES) return formatInteger(value.int, verb, flags);
    if (verb === "c") return pad(runeOf(value.int), flags);
    if (verb === "q") return pad(quote(runeOf(value.int), "'", flags.plus), flags);
    if (verb === "U") return formatUnicode(value.int, flags);
    return this.bad(value, verb);
  }

  private string(text: string, verb: string, value: Value): string {
    const { flags } = this;
    if (verb === "v" && flags.sharpV) return formatQuoted(text, flags);
    if (verb === "v" || verb === "s") return pad(truncated(text, flags), flags);
    if (verb === "x" || verb === "X") return formatHex(text, verb, flags);
    if (verb === "q") return formatQuoted(text, flags);
    return this.bad(value, verb);
  }

  private composite(value: Value, verb: string, depth: number): string {
    const { sharpV, plusV } = this.flags;
    const name = sharpV ? value.type.name : "";
    if (value.isNil && sharpV) return `${name}(nil)`;
    const between = sharpV ? ", " : " ";
    const part = (item: Value) => this.value(item, verb, depth + 1);
    if (value.kind === "slice") {
      const items = value.items.map(part).join(between);
      return sharpV ? `${name}{${items}}` : `[${items}]`;
    }
    if (value.kind === "map") {
      const keyType: Type = { kind: "string", name: "string" };
      const key = (text: string) =>
        this.string(text, verb, { ...value, type: keyType, data: text } as Value);
      const entries = sortedKeys(value).map((text) => {
        const item = value.entries.get(text);
        return `${key(text)}:${item === undefined ? "" : part(item)}`;
      });
      return sharpV ? `${name}{${entries.join(between)}}` : `map[${entries.join(between)}]`;
    }
    const fields = [...value.fields].map(([field, item]) =>
      sharpV || plusV ? `${field}:${part(item)}` : part(item),
    );
    return `${name}{${fields.join(between)}}`;
  }

  private pointed(value: Value, verb: string, depth: number): string {
    const { inner } = value;
    const within = ["slice", "struct", "map"].includes(inner?.kind ?? "");
    if (value.kind === "pointer" && depth === 0 && inner !== undefined && within)
      return `&${this.value(inner, verb, depth + 1)}`;
    return this.pointer(value, verb);
  }

  /** Values have no addresses here: a made one stands for all. */
  private pointer(value: Value, verb: string): string {
    if (!["pointer", "func", "map", "slice"].includes(value.kind)) return this.bad(value, verb);
    const { sharpV } = this.flags;
    if (sharpV) return `(${value.type.name})(${value.isNil ? "nil" : "0xc000000000"})`;
    if (value.isNil)
      return verb === "v" ? pad("<nil>", this.flags) : `%!${verb}(${value.type.name}=<nil>)`;
    return pad("0xc000000000", this.flags);
  }
}

function show(value: Value | undefined): string {
  return new Printer(noFlags()).argument(indirectInterface(value), "v");
}

/** fmt.Sprint: spaces between operands when neither is a string. */
export function sprint(args: readonly (Value | undefined)[]): string {
  let text = "";
  let afterString = true;
  for (const arg of args) {
    const isString = indirectInterface(arg)?.kind === "string";
    if (!isString && !afterString) text += " ";
    text += show(arg);
    afterString = isString;
  }
  return text;
}

/** fmt.Sprintln. */
export function sprintln(args: readonly (Value | undefined)[]): string {
  return `${args.map(show).join(" ")}\n`;
}

/** Numbers over this are refused as widths. */
const TOO_LARGE = 1_000_000;

/** One pass over a format. */
class Formatter {
  private out = "";
  private at = 0;
  private next = 0;
  private reordered = false;
  private goodIndex = true;
  private afterIndex = false;

  constructor(
    private readonly format: string,
    private readonly args: readonly (Value | undefined)[],
  ) {}

  run(): string {
    while (this.at < this.format.length) {
      const percent = this.format.indexOf("%", this.at);
      this.out += this.format.slice(this.at, percent < 0 ? undefined : percent);
      if (percent < 0) break;
      this.at = percent + 1;
      this.goodIndex = true;
      this.afterIndex = false;
      if (!this.conversion()) break;
    }
    if (!this.reordered && this.next < this.args.length) this.extra();
    return this.out;
  }

  private extra(): void {
    const rest = this.args.slice(this.next).map((arg) => {
      const value = indirectInterface(arg);
      return value === undefined ? "<nil>" : `${value.type.name}=${show(value)}`;
    });
    this.out += `%!(EXTRA ${rest.join(", ")})`;
  }

  /** From behind the % to behind the verb; false when the format ends before. */
  private conversion(): boolean {
    const flags = noFlags();
    const names = { "#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space" } as const;
    for (; this.at < this.format.length; this.at++) {
      const name = names[this.format[this.at] as keyof typeof names];
      if (name === undefined) break;
      flags[name] = true;
    }
    this.index();
    this.width(flags);
    if (this.at + 1 < this.format.length && this.format[this.at] === ".") this.precision(flags);
    if (!this.afterIndex) this.index();
    const code = this.format.codePointAt(this.at);
    if (code === undefined) {
      this.out += "%!(NOVERB)";
      return false;
    }
    const verb = String.fromCodePoint(code);
    this.at += verb.length;
    if (verb === "%") this.out += "%";
    else if (!this.goodIndex) this.out += `%!${verb}(BADINDEX)`;
    else if (this.next >= this.args.length) this.out += `%!${verb}(MISSING)`;
    else this.print(verb, flags);
    return true;
  }

  private print(verb: string, flags: Flags): void {
    if (verb === "v") {
      [flags.sharpV, flags.sharp] = [flags.sharp, false];
      [flags.plusV, flags.plus] = [flags.plus, false];
    }
    this.out += new Printer(flags).argument(indirectInterface(this.args[this.next++]), verb);
  }

  private digits(): number | undefined {
    const match = /\d+/y;
    match.lastIndex = this.at;
    const text = match.exec(this.format)?.[0];
    if (text === undefined) return undefined;
    this.at += text.length;
    // Go looks before it takes the last digit.
    if (Number(text.slice(0, -1)) <= TOO_LARGE) return Number(text);
    this.at = this.format.length;
    return undefined;
  }

  /** "[3]": the operand that comes next. */
  private index(): void {
    this.afterIndex = false;
    if (this.format[this.at] !== "[") return;
    this.reordered = true;
    const close = this.format.indexOf("]", this.at);
    const text = this.format.slice(this.at + 1, close < 0 ? undefined : close);
    if (close < 0) {
      this.goodIndex = false;
      this.at++;
      return;
    }
    this.at = close + 1;
    const wanted = /^\d+$/.test(text) ? Number(text) - 1 : -1;
    this.afterIndex = /^\d+$/.test(text);
    if (wanted >= 0 && wanted < this.args.length) this.next = wanted;
    else this.goodIndex = false;
  }

  /** The operand that a * stands for. */
  private star(): number | undefined {
    this.at++;
    if (this.next >= this.args.length) return undefined;
    const value = indirectInterface(this.args[this.next++]);
    if (!isSigned(value?.kind) && !isUnsigned(value?.kind)) return undefined;
    const number = Number(value?.int);
    return Math.abs(number) > TOO_LARGE ? undefined : number;
  }

  private width(flags: Flags): void {
    if (this.format[this.at] !== "*") {
      flags.width = this.digits();
      if (this.afterIndex && flags.width !== undefined) this.goodIndex = false;
      return;
    }
    flags.width = this.star();
    if (flags.width === undefined) this.out += "%!(BADWIDTH)";
    else if (flags.width < 0) {
      flags.width = -flags.width;
      flags.minus = true;
      flags.zero = false;
    }
    this.afterIndex = false;
  }

  private precision(flags: Flags): void {
    this.at++;
    if (this.afterIndex) this.goodIndex = false;
    this.index();
    if (this.format[this.at] !== "*") {
      flags.precision = this.digits() ?? 0;
      return;
    }
    flags.precision = this.star();
    if (flags.precision === undefined || flags.precision < 0) {
      flags.precision = undefined;
      this.out += "%!(BADPREC)";
    }
    this.afterIndex = false;
  }
}

/** fmt.Sprintf. */
export function sprintf(format: string, args: readonly (Value | undefined)[]): string {
  return new Formatter(format, args).run();
}
