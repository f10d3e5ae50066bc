/**
 * Values as Go's encoding/json writes them. Pure.
 */
import { sortedKeys, types, type Value } from "./values.ts";

/** A string in JSON; with `html`, what could be markup is escaped, as json.Marshal does. */
export function jsonString(text: string, html: boolean): string {
  const escaped = JSON.stringify(text.toWellFormed())
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
  if (!html) return escaped;
  return escaped.replaceAll("<", "\\u003c").replaceAll(">", "\\u003e").replaceAll("&", "\\u0026");
}

function isEmpty(value: Value): boolean {
  switch (value.kind) {
    case "bool":
      return !value.bool;
    case "string":
      return value.string === "";
    case "slice":
      return value.items.length === 0;
    case "map":
      return value.entries.size === 0;
    case "pointer":
    case "interface":
      return value.isNil;
    case "struct":
      return false;
    default:
      return Number(value.data) === 0;
  }
}

function structMembers(value: Value, html: boolean): string[] {
  return (value.type.fields ?? []).flatMap((field) => {
    const item = value.fields.get(field.name);
    if (item === undefined) return [];
    if (field.json === undefined) {
      const inner = item.kind === "pointer" ? item.inner : item;
      return field.embedded && inner?.kind === "struct" ? structMembers(inner, html) : [];
    }
    if (field.omitempty && isEmpty(item)) return [];
    return [`${jsonString(field.json, html)}:${toJson(item, html)}`];
  });
}

/** A value as compact JSON. `html`: with what could be markup escaped. */
export function toJson(value: Value | undefined, html = false): string {
  if (value === undefined) return "null";
  if (value.type.json !== undefined) return value.type.json(value);
  switch (value.kind) {
    case "bool":
      return String(value.bool);
    case "string":
      return jsonString(value.string, html);
    case "float32":
    case "float64":
      return JSON.stringify(value.float);
    case "slice":
      if (value.isNil) return "null";
      if (value.type.elem?.name === types.uint8.name)
        return `"${Buffer.from(value.items.map((item) => Number(item.int))).toString("base64")}"`;
      return `[${value.items.map((item) => toJson(item, html)).join(",")}]`;
    case "map": {
      if (value.isNil) return "null";
      const members = sortedKeys(value).map(
        (key) => `${jsonString(key, html)}:${toJson(value.entries.get(key), html)}`,
      );
      return `{${members.join(",")}}`;
    }
    case "struct":
      return `{${structMembers(value, html).join(",")}}`;
    case "pointer":
    case "interface":
      return toJson(value.inner, html);
    case "func":
    case "reflect":
      return "null";
    default:
      return String(value.int);
  }
}
