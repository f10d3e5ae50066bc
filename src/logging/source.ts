/**
 * What is known of the container whose records are forwarded: its tag and its extra attributes.
 */
import { fault } from "../base/errors.ts";
import type { LogOptions } from "./options.ts";

/** A container, as log drivers know it. */
export interface LogSource {
  readonly id: string;
  readonly name: string;
  readonly imageId: string;
  readonly imageName: string;
  readonly command: string;
  /** RFC 3339. */
  readonly created: string;
  readonly hostname: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly env: readonly string[];
}

/** The labels and variables that --log-opt asks for, by name; variables go over labels. */
export function extraAttributes(source: LogSource, options: LogOptions): Record<string, string> {
  const wanted = (list: string | undefined, regex: string | undefined) => {
    const names = new Set((list ?? "").split(",").filter(Boolean));
    const pattern = regex ? new RegExp(regex) : undefined;
    return (name: string) => names.has(name) || pattern?.test(name) === true;
  };
  const found = new Map<string, string>();
  const label = wanted(options.labels, options["labels-regex"]);
  for (const [name, value] of Object.entries(source.labels))
    if (label(name)) found.set(name, value);
  const variable = wanted(options.env, options["env-regex"]);
  for (const item of source.env) {
    const equals = item.indexOf("=");
    const name = item.slice(0, equals);
    if (equals > 0 && variable(name)) found.set(name, item.slice(equals + 1));
  }
  return Object.fromEntries(found);
}

const fields: Readonly<Record<string, (source: LogSource) => string>> = {
  ID: ({ id }) => id.slice(0, 12),
  FullID: ({ id }) => id,
  Name: ({ name }) => name,
  ImageID: ({ imageId }) => imageId.replace(/^sha256:/, "").slice(0, 12),
  ImageFullID: ({ imageId }) => imageId,
  ImageName: ({ imageName }) => imageName,
  DaemonName: () => "docker",
  Hostname: ({ hostname }) => hostname,
};

/** Throws a Fault "invalid" for a tag that is not understood. */
export function checkTag(template: string): void {
  const nobody = { id: "", name: "", imageId: "", imageName: "", command: "", created: "" };
  tagOf({ ...nobody, hostname: "", labels: {}, env: [] }, template);
}

/** The attributes of a container's records: what the options ask for, and the tag if they have one. */
export function logAttributes(source: LogSource, options: LogOptions): Record<string, string> {
  const tag = options.tag === undefined ? {} : { tag: tagOf(source, options.tag) };
  return { ...extraAttributes(source, options), ...tag };
}

/** As Go's url.QueryEscape has it. */
function queryEscape(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}

/** Attributes as `logs --details` shows them. */
export function detailsText(attributes: Readonly<Record<string, string>>): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${queryEscape(name)}=${queryEscape(value)}`)
    .sort()
    .join(",");
}

/** Attributes as they stand in a json-file's records: sorted and escaped as Go's encoding/json does; "" for none. */
export function attributesText(attributes: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  if (sorted.length === 0) return "";
  return JSON.stringify(Object.fromEntries(sorted)).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A tag, with {{.Name}} and the like filled in. Throws a Fault "invalid" for a field that there is not. */
export function tagOf(source: LogSource, template: string): string {
  return template.replace(/\{\{\s*(.*?)\s*\}\}/g, (_whole, inner: string) => {
    const field = fields[inner.replace(/^\./, "")];
    if (field === undefined || !inner.startsWith("."))
      throw fault(
        "invalid",
        "log-tag",
        `template: log-tag: "${inner}" is not understood: use ${Object.keys(fields)
          .map((name) => `{{.${name}}}`)
          .join(", ")}`,
      );
    return field(source);
  });
}
