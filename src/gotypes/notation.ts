/**
 * Go's types from a notation: `NAME: TYPE` for a type of its own over another, and `NAME:` for a struct, whose fields
 * follow in indented lines, `FIELD TYPE; …`. Of a field, `Name=json` says what it is called in JSON if otherwise,
 * `Name?` that JSON leaves it out when it is empty, `+Name` that it is embedded. Types are written as in Go. Pure.
 */
import {
  type Field,
  type Kind,
  mapOf,
  pointerTo,
  sliceOf,
  type Type,
  types,
  type Value,
} from "../gotemplate/index.ts";

/** What a type has besides its form: methods, and how it is printed. */
export type Behaviour = Pick<Type, "json" | "methods" | "text"> & {
  /** How a pointer to it is printed. */
  readonly pointerText?: (value: Value) => string;
};

/** A declared type: another one that it is over, or the fields of a struct. */
interface Declared {
  readonly over: string;
  fields: string;
}

function declarationsOf(notation: string): Map<string, Declared> {
  const all = new Map<string, Declared>();
  let last: Declared | undefined;
  for (const line of notation.split("\n").filter(Boolean)) {
    if (line.startsWith(" ") && last !== undefined) last.fields += `${line.trim()} `;
    else {
      const colon = line.indexOf(":");
      last = { over: line.slice(colon + 1).trim(), fields: "" };
      all.set(line.slice(0, colon), last);
    }
  }
  return all;
}

/** Types by their names, made when they are asked for. */
export class Types {
  readonly #declared: ReadonlyMap<string, Declared>;
  readonly #made = new Map<string, Type>();

  constructor(
    notation: string,
    private readonly behaviours: Readonly<Record<string, Behaviour>>,
  ) {
    this.#declared = declarationsOf(notation);
  }

  /** The type that is written so. Throws for one that is not declared. */
  of(written: string): Type {
    const known = this.#made.get(written);
    if (known !== undefined) return known;
    const made = this.#make(written);
    this.#made.set(written, made);
    return made;
  }

  #make(written: string): Type {
    if (written === "any") return types.any;
    if (written === "struct {}") return { kind: "struct", name: "struct {}", fields: [] };
    if (/^(?:bool|string|u?int\d*|float64)$/.test(written))
      return { kind: written as Kind, name: written };
    if (written.startsWith("*")) return this.#pointer(written.slice(1));
    const [, length, item] = /^\[(\d*)\](.+)$/.exec(written) ?? [];
    if (item !== undefined) {
      const elem = this.of(item);
      if (length === "") return sliceOf(elem);
      return { ...sliceOf(elem), name: `[${length}]${elem.name}`, length: Number(length) };
    }
    const [, key, value] = /^map\[([^\]]+)\](.+)$/.exec(written) ?? [];
    if (key !== undefined && value !== undefined) {
      const map = mapOf(this.of(value), key);
      return key === "string" ? map : { ...map, key: this.of(key) };
    }
    return this.#named(written);
  }

  #pointer(written: string): Type {
    const elem = this.of(written);
    const text = elem.text ?? this.behaviours[written]?.pointerText;
    if (text === undefined) return pointerTo(elem);
    // A method that is called through nil fails, and fmt says this instead.
    return {
      ...pointerTo(elem),
      text: (value) => (value.inner === undefined ? "<nil>" : text(value.inner)),
    };
  }

  #named(name: string): Type {
    const declared = this.#declared.get(name);
    if (declared === undefined) throw new Error(`the type ${name} is not declared`);
    const { pointerText: _, ...behaviour } = this.behaviours[name] ?? {};
    const { over, fields } = declared;
    if (over !== "") return { ...this.of(over), name, named: true, ...behaviour };
    const struct: Type = { kind: "struct", name, named: true, ...behaviour };
    // Known before its fields are: it may contain itself.
    this.#made.set(name, struct);
    struct.fields = fields
      .split(";")
      .filter((one) => one.trim() !== "")
      .map((one) => this.#field(one.trim()));
    return struct;
  }

  #field(written: string): Field {
    const [, plus, name = "", , json = name, optional, type = ""] =
      /^(\+?)(\w+)(=([\w.-]+))?(\??) (.+)$/.exec(written) ?? [];
    return {
      name,
      type: this.of(type),
      ...(plus === "+" ? { embedded: true } : json === "-" ? {} : { json }),
      ...(optional === "?" ? { omitempty: true } : {}),
    };
  }
}
