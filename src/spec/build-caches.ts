/**
 * What --cache-from and --cache-to say: caches of builds that hosts share. Pure.
 */
import { fault } from "../base/errors.ts";
import { parseReference } from "./reference.ts";

/** Where results of earlier builds may come from. */
export type CacheFrom =
  /** An image: one that is here, or else its registry's. */
  | { readonly type: "image"; readonly ref: string }
  | { readonly type: "registry"; readonly ref: string }
  /** A directory where the client is. */
  | { readonly type: "local"; readonly directory: string };

/** Steps of the image alone, or of all stages. */
export type CacheMode = "min" | "max";

/** Where results are to go. */
export type CacheTo =
  /** The image's own configuration. */
  | { readonly type: "inline" }
  | ({ readonly type: "registry"; readonly ref: string } & CacheToOptions)
  | ({ readonly type: "local"; readonly directory: string } & CacheToOptions);

/** How they go there. */
export interface CacheToOptions {
  readonly mode: CacheMode;
  /** A cache that cannot be written is no failure of the build. */
  readonly ignoreError: boolean;
}

/** BuildKit's fields that say how its caches are written: ours have one form. */
const FORMS: ReadonlySet<string> = new Set([
  ...["image-manifest", "oci-mediatypes", "compression", "compression-level"],
  "force-compression",
]);

function invalid(text: string, why: string): Error {
  return fault("invalid", "build-cache-option", `invalid cache ${JSON.stringify(text)}: ${why}`);
}

/** "type=…,name=value,…"; undefined for what is an image's name alone. */
function fieldsOf(text: string): Map<string, string> | undefined {
  if (text === "") throw invalid(text, "it is empty");
  if (!text.includes("=")) return undefined;
  const fields = new Map<string, string>();
  for (const field of text.split(",")) {
    const at = field.indexOf("=");
    if (at < 1) throw invalid(text, `${JSON.stringify(field)} must be a key=value pair`);
    fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
  }
  return fields;
}

function taken(text: string, fields: ReadonlyMap<string, string>, known: readonly string[]): void {
  for (const name of fields.keys())
    if (name !== "type" && !known.includes(name) && !FORMS.has(name))
      throw invalid(text, `it knows no ${name}`);
}

function needed(text: string, fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name) ?? "";
  if (value === "") throw invalid(text, `${name} is missing`);
  return value;
}

function reference(ref: string): string {
  parseReference(ref);
  return ref;
}

function unknownType(text: string, type: string): Error {
  return invalid(
    text,
    `unknown type ${JSON.stringify(type)}: berth has registry, local and inline`,
  );
}

/** Reads one --cache-from. Throws a Fault "invalid". */
export function parseCacheFrom(text: string): CacheFrom {
  const fields = fieldsOf(text);
  if (fields === undefined) return { type: "image", ref: reference(text) };
  const type = fields.get("type") ?? "";
  switch (type) {
    case "registry":
      taken(text, fields, ["ref"]);
      return { type, ref: reference(needed(text, fields, "ref")) };
    case "local":
      taken(text, fields, ["src"]);
      return { type, directory: needed(text, fields, "src") };
    default:
      throw unknownType(text, type);
  }
}

function switchOf(text: string, fields: ReadonlyMap<string, string>, name: string): boolean {
  const value = fields.get(name) ?? "false";
  if (/^(true|1)$/i.test(value)) return true;
  if (/^(false|0)$/i.test(value)) return false;
  throw invalid(text, `${name} is true or false`);
}

function optionsOf(text: string, fields: ReadonlyMap<string, string>): CacheToOptions {
  const mode = fields.get("mode") ?? "min";
  if (mode !== "min" && mode !== "max") throw invalid(text, "mode is min or max");
  return { mode, ignoreError: switchOf(text, fields, "ignore-error") };
}

/** Reads one --cache-to. Throws a Fault "invalid". */
export function parseCacheTo(text: string): CacheTo {
  const fields =
    fieldsOf(text) ??
    new Map([
      ["type", "registry"],
      ["ref", text],
    ]);
  const type = fields.get("type") ?? "";
  const usual = ["mode", "ignore-error"];
  switch (type) {
    case "inline":
      taken(text, fields, []);
      return { type };
    case "registry": {
      taken(text, fields, ["ref", ...usual]);
      const ref = reference(needed(text, fields, "ref"));
      return { type, ref, ...optionsOf(text, fields) };
    }
    case "local": {
      taken(text, fields, ["dest", ...usual]);
      return { type, directory: needed(text, fields, "dest"), ...optionsOf(text, fields) };
    }
    default:
      throw unknownType(text, type);
  }
}
