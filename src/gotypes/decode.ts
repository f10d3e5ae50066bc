/** JSON as values of Go's types, as encoding/json makes them: what is missing, or of another kind, stays zero. Pure. */
import { fromJson, isSigned, isUnsigned, type Type, Value, zeroOf } from "../gotemplate/index.ts";
import { reshaped } from "./behaviours.ts";

/** A value of this type. */
export function decode(type: Type, json: unknown): Value {
  const zero = zeroOf(type);
  if (json === null || json === undefined) return zero;
  const { kind } = type;
  if (kind === "pointer" && type.elem) return new Value(type, decode(type.elem, json));
  if (kind === "interface") return new Value(type, fromJson(json) ?? null);
  if (kind === "slice") return decodeList(type, json);
  if (kind === "bool") return typeof json === "boolean" ? new Value(type, json) : zero;
  if (kind === "string") return typeof json === "string" ? new Value(type, json) : zero;
  if (isSigned(kind) || isUnsigned(kind))
    // By its digits: a number beyond 2^53 came as these, and is another one in binary.
    return /^-?\d+$/.test(String(json)) ? new Value(type, BigInt(String(json))) : zero;
  if (kind === "struct") return structOf(type, reshaped[type.name]?.(json) ?? json);
  if (typeof json !== "object") return zero;
  if (kind === "map" && type.elem) {
    const { elem } = type;
    const entries = Object.entries(json).map(([key, item]) => [key, decode(elem, item)] as const);
    return new Value(type, new Map(entries));
  }
  return zero;
}

function decodeList(type: Type, json: unknown): Value {
  const { elem } = type;
  if (elem?.kind === "uint8" && typeof json === "string")
    return new Value(
      type,
      [...Buffer.from(json, "base64")].map((byte) => new Value(elem, BigInt(byte))),
    );
  if (!Array.isArray(json) || elem === undefined) return zeroOf(type);
  const items = json.map((item: unknown) => decode(elem, item));
  while (type.length !== undefined && items.length < type.length) items.push(zeroOf(elem));
  return new Value(type, items.slice(0, type.length));
}

/** A struct; the fields of an embedded one lie in the same JSON. */
function structOf(type: Type, json: unknown): Value {
  if (typeof json !== "object" || json === null) return zeroOf(type);
  const members = json as Readonly<Record<string, unknown>>;
  const fields = (type.fields ?? []).map(({ name, embedded, json: key, type: of }) => {
    const item = embedded === true ? json : key === undefined ? undefined : members[key];
    return [name, decode(of, item)] as const;
  });
  return new Value(type, new Map(fields));
}
