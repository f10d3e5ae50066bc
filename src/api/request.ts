/**
 * Taking requests apart: queries and JSON bodies, with Docker's rules for booleans, numbers and filters.
 */
import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import { fault, messageOf } from "../base/errors.ts";
import type { Selection } from "../base/selection.ts";
import { type Platform, parsePlatform, parsePlatformJson } from "../spec/platform.ts";
import { withSchemaNames } from "./field-names.ts";
import type { QueryFilters } from "./ports.ts";

const BODY_MAX = 8 << 20;
const BODY_PATIENCE_MS = 60_000;

/** Docker's booleans: empty, 0, no, false and none are false, anything else is true. */
export function boolean(query: URLSearchParams, name: string, fallback = false): boolean {
  const value = query.get(name);
  return value === null
    ? fallback
    : !["", "0", "no", "false", "none"].includes(value.trim().toLowerCase());
}

/** A whole number. Throws a Fault "invalid" for anything else. */
export function integer(query: URLSearchParams, name: string, fallback: number): number {
  const value = query.get(name);
  if (value === null || value === "") return fallback;
  const number = Number(value);
  if (!/^[+-]?\d{1,15}$/.test(value) || !Number.isSafeInteger(number))
    throw fault(
      "invalid",
      "query-number",
      `strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax: ${name}`,
    );
  return number;
}

/** A number that must be there. Throws a Fault "invalid" when it is not, or is none. */
export function requiredInteger(query: URLSearchParams, name: string): number {
  if (!query.get(name))
    throw fault("invalid", "query-number", `strconv.Atoi: parsing "": invalid syntax: ${name}`);
  return integer(query, name, 0);
}

/** Filters: a JSON object of lists, or, as old clients send it, of objects whose keys count. */
export function filters(query: URLSearchParams): QueryFilters {
  const text = query.get("filters");
  if (text === null || text === "") return {};
  const bad = () => fault("invalid", "filters", `invalid filter: ${text.slice(0, 200)}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad();
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad();
  const all = Object.entries(value).map(([key, list]): [string, string[]] => {
    const items: unknown = Array.isArray(list)
      ? list
      : typeof list === "object" && list !== null
        ? Object.keys(list)
        : undefined;
    if (!Array.isArray(items) || !items.every((item) => typeof item === "string")) throw bad();
    return [key, items];
  });
  // Not one after the other: to set "__proto__" is not to have it.
  return Object.fromEntries(all);
}

/** Reads a body. Rejects with a Fault "invalid" when it is larger than any request needs, or when its client stops to send. */
export function readBody(request: IncomingMessage, max = BODY_MAX): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const tooSlow = () =>
    reject(fault("invalid", "body-slow", "nothing has come of the request's body for a minute"));
  // Most bodies are there whole: only what is waited for needs a clock.
  const patience = request.complete ? undefined : setTimeout(tooSlow, BODY_PATIENCE_MS);
  const done = () => clearTimeout(patience);
  promise.then(done, done);
  // By its events, not by iterating: that takes several turns of the event loop, for every request.
  request.on("data", (chunk: Uint8Array) => {
    length += chunk.length;
    patience?.refresh();
    if (length <= max) chunks.push(chunk);
    else reject(fault("invalid", "body-size", `the request's body is larger than ${max} bytes`));
  });
  request.on("end", () => resolve(Buffer.concat(chunks)));
  request.on("error", reject);
  request.on("close", () => {
    if (!request.readableEnded) reject(new Error("the client has gone"));
  });
  // Of what is over already no event tells.
  if (request.readableEnded) resolve(new Uint8Array(0));
  else if (request.destroyed) reject(new Error("the client has gone"));
  return promise;
}

/** null is as good as absent, at any depth. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null)
      .map(([key, item]) => [key, withoutNulls(item)]),
  );
}

/** Parses JSON by a schema; unknown fields are ignored, wrong types are a Fault "invalid" that names the field. */
export function parseJson<T>(bytes: Uint8Array, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = withoutNulls(
      bytes.length === 0 ? {} : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
    );
  } catch (error) {
    throw fault("invalid", "body-json", `invalid JSON: ${messageOf(error)}`);
  }
  const result = schema.safeParse(withSchemaNames(value, schema));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw fault(
    "invalid",
    "body-field",
    `invalid JSON: ${issue?.path.join(".") || "body"}: ${issue?.message ?? "wrong type"}`,
  );
}

/** Throws a Fault "invalid" for a body that is not declared as JSON. */
function checkJsonType(type: string): void {
  if (/^\s*application\/json\s*(;|$)/i.test(type)) return;
  throw fault(
    "invalid",
    "content-type",
    type === ""
      ? "malformed Content-Type header (): mime: no media type"
      : `unsupported Content-Type header (${type}): must be 'application/json'`,
  );
}

/** A JSON body by a schema. An empty one counts as an empty object unless it is `required`. */
export async function jsonBody<T>(
  request: IncomingMessage,
  schema: z.ZodType<T>,
  required = false,
): Promise<T> {
  const bytes = await readBody(request);
  const type = request.headers["content-type"] ?? "";
  if (bytes.length > 0 || type !== "") checkJsonType(type);
  if (bytes.length === 0 && required)
    throw fault("invalid", "body-json", "invalid JSON: got EOF while reading request body");
  return parseJson(bytes, schema);
}

/** A time of a query (seconds with fractions, or RFC 3339) as milliseconds since 1970; undefined when absent. */
export function timeOf(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null || value === "" || value === "0") return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const parsed = Date.parse(value);
  if (Number.isNaN(parsed))
    throw fault(
      "invalid",
      "query-time",
      `failed to parse value as time or duration: ${JSON.stringify(value)}`,
    );
  return parsed;
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A filter's moment: a time, or how long ago as Go writes it ("1h30m"). Throws a Fault "invalid" for anything else. */
export function untilOf(filters: QueryFilters): number | undefined {
  const [text, ...more] = filters.until ?? [];
  if (text === undefined) return undefined;
  if (more.length > 0) throw fault("invalid", "filter", "more than one until filter specified");
  if (/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    const ago = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce(
      (sum, [, count, unit = ""]) => sum + Number(count) * (units[unit] ?? 0),
      0,
    );
    return Date.now() - ago;
  }
  return timeOf(new URLSearchParams({ until: text }), "until");
}

/** What a prune's filters select. `more`: keys that mean something else. Throws a Fault "invalid" for other filters. */
export function selectionOf(filters: QueryFilters, more: readonly string[] = []): Selection {
  checkFilters(filters, ["until", "label", "label!", ...more]);
  return {
    until: untilOf(filters),
    labels: filters.label ?? [],
    withoutLabels: filters["label!"] ?? [],
  };
}

/** The platform that a query names, as text or as a JSON object; undefined when it names none. */
export function platformOf(text: string | null): Platform | undefined {
  if (text === null || text === "") return undefined;
  return text.startsWith("{") ? parsePlatformJson(text) : parsePlatform(text);
}

/** "repo:tag" of a query that names an image to be; undefined when it names none. */
export function newReference(query: URLSearchParams): string | undefined {
  const [repository, tag] = [query.get("repo") ?? "", query.get("tag") ?? ""];
  if (repository === "") return undefined;
  return tag === "" ? repository : `${repository}:${tag}`;
}

/** Throws a Fault "invalid" for a filter that is not one of `known`. */
export function checkFilters(filters: QueryFilters, known: readonly string[]): void {
  for (const key of Object.keys(filters))
    if (!known.includes(key)) throw fault("invalid", "filter", `invalid filter '${key}'`);
}

/** The same with nanoseconds kept, as RFC 3339 text in UTC; empty when absent. */
export function preciseTimeOf(query: URLSearchParams, name: string): string {
  const ms = timeOf(query, name);
  if (ms === undefined) return "";
  const text = query.get(name) ?? "";
  const fraction = /^\d+\.(\d{1,9})$/.exec(text)?.[1] ?? /T[\d:]+\.(\d{1,9})/.exec(text)?.[1] ?? "";
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction.padEnd(9, "0")}Z`;
}
