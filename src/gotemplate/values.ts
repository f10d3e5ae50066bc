/**
 * Values with Go's types, as a template sees them by reflection. Pure.
 */

/** What a type is made like. */
export type Kind =
  | "bool"
  | "int"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "float32"
  | "float64"
  | "string"
  | "slice"
  | "map"
  | "struct"
  | "pointer"
  | "interface"
  | "func"
  | "reflect";

/** A field of a struct; `json` is its name in JSON, and undefined what is promoted from an embedded struct. */
export interface Field {
  readonly name: string;
  readonly type: Type;
  readonly json?: string;
  readonly omitempty?: boolean;
  /** Its own fields are reached without its name. */
  readonly embedded?: boolean;
}

/** A function's form and what it does. It throws a GoError for what Go returns as an error. */
export interface Callable {
  readonly params: readonly Type[];
  /** The last parameter may come any number of times; its type is that of one. */
  readonly variadic?: boolean;
  /** Arguments have the parameters' types; undefined is an invalid reflect.Value. */
  call(args: readonly (Value | undefined)[]): Value | undefined;
}

/** A type. Two types with one name are one type. */
export interface Type {
  readonly kind: Kind;
  /** As %T prints it. */
  readonly name: string;
  /** A type of its own over another of this kind: what `type Port string` makes. */
  readonly named?: boolean;
  readonly elem?: Type;
  /** Of a map whose keys have a type of their own over string. */
  readonly key?: Type;
  /** Of an array, which is a slice that has always so many items. */
  readonly length?: number;
  /** Set later for types that contain themselves. */
  fields?: readonly Field[];
  /** Of a map: a key that it does not have is an error, as a field is that a struct does not have. */
  readonly isClosed?: boolean;
  /** Methods of a value and of a pointer to it. */
  readonly methods?: (value: Value) => Readonly<Record<string, Callable>>;
  /** How fmt prints a value that has String() or Error(). */
  readonly text?: (value: Value) => string;
  /** How encoding/json writes a value that has MarshalJSON(). */
  readonly json?: (value: Value) => string;
}

/** What Go returns as an error: text for the user, without the place. */
export class GoError extends Error {}

/** A value of a type. What `data` is depends on the kind; the accessors say it. */
export class Value {
  constructor(
    readonly type: Type,
    readonly data: unknown,
  ) {}

  get kind(): Kind {
    return this.type.kind;
  }

  /** Of a bool. */
  get bool(): boolean {
    return this.data as boolean;
  }

  /** Of any integer. */
  get int(): bigint {
    return this.data as bigint;
  }

  get float(): number {
    return this.data as number;
  }

  get string(): string {
    return this.data as string;
  }

  /** Of a slice; nil has none. */
  get items(): readonly Value[] {
    return (this.data as readonly Value[] | null) ?? [];
  }

  /** Of a map, whose keys are strings; nil has none. */
  get entries(): ReadonlyMap<string, Value> {
    return (this.data as ReadonlyMap<string, Value> | null) ?? new Map();
  }

  /** Of a struct, by its fields' names in Go. */
  get fields(): ReadonlyMap<string, Value> {
    return this.data as ReadonlyMap<string, Value>;
  }

  /** Of a pointer or an interface. */
  get inner(): Value | undefined {
    return (this.data as Value | null) ?? undefined;
  }

  get callable(): Callable {
    return this.data as Callable;
  }

  /** Of what may be nil. */
  get isNil(): boolean {
    return this.data === null;
  }
}

const basic = (kind: Kind): Type => ({ kind, name: kind });

/** Types that need no making. */
export const types = {
  bool: basic("bool"),
  int: basic("int"),
  int64: basic("int64"),
  uint8: basic("uint8"),
  float64: basic("float64"),
  string: basic("string"),
  any: { kind: "interface", name: "interface {}" },
  func: { kind: "func", name: "func()" },
  /** A parameter that takes anything as it is, nothing included. */
  reflect: { kind: "reflect", name: "reflect.Value" },
} as const satisfies Record<string, Type>;

/** []T */
export function sliceOf(elem: Type): Type {
  return { kind: "slice", name: `[]${elem.name}`, elem };
}

/** map[string]T, or with another key that is a string. */
export function mapOf(elem: Type, key = "string"): Type {
  return { kind: "map", name: `map[${key}]${elem.name}`, elem };
}

/** *T */
export function pointerTo(elem: Type): Type {
  return { kind: "pointer", name: `*${elem.name}`, elem };
}

/** A json.Number: a string that is a number's text. */
export const jsonNumber: Type = {
  kind: "string",
  name: "json.Number",
  named: true,
  text: (value) => value.string,
  json: (value) => value.string || "0",
  methods: (value) => ({
    String: { params: [], call: () => stringValue(value.string) },
    Float64: { params: [], call: () => new Value(types.float64, Number(value.string)) },
    Int64: {
      params: [],
      call: () => {
        if (!/^-?\d+$/.test(value.string))
          throw new GoError(
            `strconv.ParseInt: parsing ${JSON.stringify(value.string)}: invalid syntax`,
          );
        return new Value(types.int64, BigInt(value.string));
      },
    },
  }),
};

const anySlice = sliceOf(types.any);
const anyMap = mapOf(types.any);

/** A string. */
export function stringValue(text: string): Value {
  return new Value(types.string, text);
}

/** An int. */
export function intValue(number: number | bigint): Value {
  return new Value(types.int, BigInt(number));
}

/** A bool. */
export function boolValue(truth: boolean): Value {
  return new Value(types.bool, truth);
}

/** A []string. */
export function stringsValue(texts: readonly string[]): Value {
  return new Value(sliceOf(types.string), texts.map(stringValue));
}

/** A number whose text is what JSON had. */
export class NumberText {
  constructor(readonly text: string) {}
}

/**
 * What encoding/json makes of JSON for an interface: undefined for null. Numbers are float64, and json.Number for a
 * NumberText, or for all of them when `keepNumbers` is set.
 */
export function fromJson(json: unknown, keepNumbers = false): Value | undefined {
  if (json === null || json === undefined) return undefined;
  if (typeof json === "string") return stringValue(json);
  if (typeof json === "boolean") return boolValue(json);
  if (typeof json === "number")
    return keepNumbers ? new Value(jsonNumber, String(json)) : new Value(types.float64, json);
  if (json instanceof NumberText) return new Value(jsonNumber, json.text);
  const inside = (item: unknown) => new Value(types.any, fromJson(item, keepNumbers) ?? null);
  if (Array.isArray(json)) return new Value(anySlice, json.map(inside));
  return new Value(
    anyMap,
    new Map(Object.entries(json as object).map(([key, item]) => [key, inside(item)])),
  );
}

/** The value of a type that nothing was assigned to. */
export function zeroOf(type: Type): Value {
  switch (type.kind) {
    case "bool":
      return new Value(type, false);
    case "string":
      return new Value(type, "");
    case "float32":
    case "float64":
      return new Value(type, 0);
    case "slice": {
      const { length, elem = types.any } = type;
      return new Value(type, length === undefined ? null : Array(length).fill(zeroOf(elem)));
    }
    case "map":
    case "pointer":
    case "interface":
    case "func":
    case "reflect":
      return new Value(type, null);
    case "struct":
      return new Value(
        type,
        new Map((type.fields ?? []).map((field) => [field.name, zeroOf(field.type)])),
      );
    default:
      return new Value(type, 0n);
  }
}

/** Whether a kind is a signed integer's. */
export function isSigned(kind: Kind | undefined): boolean {
  return kind?.startsWith("int") === true && kind !== "interface";
}

/** Whether a kind is an unsigned integer's. */
export function isUnsigned(kind: Kind | undefined): boolean {
  return kind?.startsWith("uint") === true;
}

/** Whether a kind is that of a floating point number. */
export function isFloat(kind: Kind | undefined): boolean {
  return kind === "float32" || kind === "float64";
}

/** Through interfaces alone; undefined for nil in one. */
export function indirectInterface(value: Value | undefined): Value | undefined {
  return value?.kind === "interface" ? value.inner : value;
}

/** Through pointers and interfaces, as far as there is something behind. */
export function indirect(value: Value | undefined): { value: Value | undefined; isNil: boolean } {
  let at = value;
  while (at !== undefined && (at.kind === "pointer" || at.kind === "interface")) {
    if (at.isNil) return { value: at, isNil: true };
    at = at.inner;
  }
  return { value: at, isNil: false };
}

/** Go's idea of what is true: what is not empty. */
export function truth(wrapped: Value | undefined): boolean {
  const value = indirectInterface(wrapped);
  if (value === undefined) return false;
  switch (value.kind) {
    case "bool":
      return value.bool;
    case "string":
      return value.string !== "";
    case "slice":
      return value.items.length > 0;
    case "map":
      return value.entries.size > 0;
    case "struct":
      return true;
    case "pointer":
    case "func":
    case "interface":
      return !value.isNil;
    default:
      return Number(value.data) !== 0;
  }
}

/** What a value of this type looks like inside: the type without its own name. */
function underlying(type: Type): string {
  if (type.named !== true) return type.name;
  if (type.kind === "slice") return `[]${type.elem?.name}`;
  if (type.kind === "map") return `map[${type.key?.name ?? "string"}]${type.elem?.name}`;
  return type.name;
}

/** Types that can be written without a name of their own. */
function isComposite({ kind }: Type): boolean {
  return kind === "slice" || kind === "map" || kind === "pointer";
}

/** Whether a value of a type can be given where another type is wanted. */
export function assignable(from: Type, to: Type): boolean {
  if (to.kind === "reflect" || to.kind === "interface" || from.name === to.name) return true;
  const oneIsPlain = from.named !== true || to.named !== true;
  return oneIsPlain && isComposite(from) && underlying(from) === underlying(to);
}

/** Keys in the order in which Go prints and ranges over maps. */
export function sortedKeys(map: Value): string[] {
  return [...map.entries.keys()].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
