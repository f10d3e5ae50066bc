/**
 * Requests that nobody well-meaning sends, made from the daemon's own table of routes and the schemas of its bodies: fields of
 * the wrong type, huge, negative, deep or full of control characters, bodies that are cut off or come in odd pieces.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Glob } from "bun";
import { z } from "zod";
import * as schemas from "../../src/api/schemas.ts";
import { routes } from "../../src/api/server.ts";
import { pickFrom } from "./random.ts";

/** What is there, so that some requests get further than to a name that nobody has. */
export const known = {
  container: "kept",
  network: "kept-net",
  volume: "kept-vol",
  image: "busybox",
} as const;

/** One request, ready to be sent. */
export interface HostileRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
  /** How the body comes: pieces that are sent one after the other. */
  readonly pieces: readonly Uint8Array[];
  /** More was promised than comes: there need be no answer. */
  readonly cut: boolean;
}

type Json = Record<string, unknown>;
type Random = () => number;

const long = "a".repeat(70_000);
const nested = (levels: number): unknown =>
  JSON.parse(`${'[{"a":'.repeat(levels)}1${"}]".repeat(levels)}`);
const strings = [
  "",
  "\0",
  "\u0001\u001b[2J\u007f",
  "../../../etc/passwd",
  "/",
  "%00",
  "%ff",
  "a b",
  ":",
  "a:b:c:d",
  "@sha256:x",
  "\ud800",
  "\u202eevil",
  "-1",
  "1e999",
  "NaN",
  "99999999999999999999",
  "__proto__",
  "constructor",
  "$(reboot)",
  "{{.}}",
  long,
];
/** What is right somewhere. */
const sensible = [
  ...Object.values(known),
  "true",
  "/tmp",
  "kept-vol:/x:ro",
  "/tmp:/y",
  "bridge",
  "none",
  "host",
  "container:kept",
  "container:nobody",
  "unless-stopped",
  "10.77.0.0/24",
  "10.77.0.9",
  "fd00:7::/64",
  "80/tcp",
  "json-file",
  "SIGTERM",
  "0-1",
  "a=b",
  "no-new-privileges",
  "1000:1000",
  "local",
  "running",
];
const oddities: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  -0,
  2 ** 31,
  2 ** 53,
  1e308,
  [],
  [[]],
  [null],
  {},
  { a: { b: {} } },
  nested(200),
  Array.from({ length: 3000 }, (_, at) => at),
  ...strings,
];

/** Names of queries, as the sources ask for them. */
function queryNames(): string[] {
  const folder = join(import.meta.dir, "../../src/api");
  const asked =
    /(?:query\.(?:get|getAll|has)|boolean|integer|requiredInteger|textOf)\((?:context\.)?(?:query,\s*)?"(\w+)"/g;
  const texts = Array.from(new Glob("**/*.ts").scanSync(folder), (file) =>
    readFileSync(join(folder, file), "utf8"),
  );
  return [...new Set(texts.flatMap((text) => Array.from(text.matchAll(asked), (m) => m[1] ?? "")))];
}
const queries = [...queryNames(), "filters", "nosuch"].sort();

/** Which body a route reads. */
const bodies: readonly (readonly [RegExp, z.ZodType])[] = [
  [/^\/containers\/create/, schemas.createBody],
  [/^\/containers\/[^/]+\/update/, schemas.updateBody],
  [/^\/containers\/[^/]+\/exec/, schemas.execBody],
  [/^\/exec\/[^/]+\/start/, schemas.execStartBody],
  [/^\/commit/, schemas.commitBody],
  [/^\/networks\/create/, schemas.networkBody],
  [/^\/networks\/[^/]+\/connect/, schemas.connectBody],
  [/^\/networks\/[^/]+\/disconnect/, schemas.disconnectBody],
  [/^\/volumes\/create/, schemas.volumeBody],
  [/^\/auth/, schemas.authBody],
];
const described = bodies.map(
  ([path, schema]) =>
    [path, z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Json] as const,
);

/** A value that a schema describes, with something else in some of its places. */
function sample(schema: Json, random: Random, depth = 0): unknown {
  if (random() < 0.15 || depth > 6) return pickFrom(random, oddities);
  const choices = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(choices)) return sample(pickFrom(random, choices) as Json, random, depth);
  if (Array.isArray(schema.allOf))
    return Object.assign({}, ...schema.allOf.map((part) => sample(part as Json, random, depth)));
  if (schema.type === "array")
    return Array.from({ length: Math.floor(random() * 4) }, () =>
      sample((schema.items ?? {}) as Json, random, depth + 1),
    );
  if (schema.type === "object") return sampleObject(schema, random, depth);
  if (schema.type === "boolean") return random() < 0.5;
  if (schema.type === "integer" || schema.type === "number")
    return pickFrom(random, [0, 1, -1, 2, 64, 1024, 1 << 24, 2 ** 40, -(2 ** 40), 2 ** 53 - 1]);
  return pickFrom(random, random() < 0.7 ? sensible : strings);
}

function sampleObject(schema: Json, random: Random, depth: number): Json {
  const out: Json = {};
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Json>);
  const wanted = depth === 0 ? 6 : 3;
  for (const [key, child] of properties)
    if (random() < wanted / Math.max(properties.length, 1))
      out[key] = sample(child, random, depth + 1);
  const rest = schema.additionalProperties;
  if (typeof rest === "object" && rest !== null)
    for (let n = Math.floor(random() * 3); n > 0; n--)
      Object.defineProperty(out, pickFrom(random, [...sensible, ...strings]), {
        value: sample(rest as Json, random, depth + 1),
        enumerable: true,
        configurable: true,
      });
  return out;
}

function pathOf(template: string, random: Random): string {
  return template.replace(/:(\w+)|\*/g, (_all, _name, at: number) => {
    const before = template.slice(0, at);
    const real = before.includes("volumes")
      ? known.volume
      : before.includes("networks")
        ? known.network
        : before.includes("images")
          ? `${known.image}${pickFrom(random, ["", "/json", "/tag", "/push", "/history", "/get"])}`
          : known.container;
    if (random() < 0.6) return real;
    const odd = pickFrom(random, strings).slice(0, 5000).toWellFormed();
    return random() < 0.5
      ? encodeURIComponent(odd) || "x"
      : odd.replace(/[^!-~]|[?#]/g, "%01") || "x";
  });
}

function queryOf(random: Random): string {
  const pairs = Array.from({ length: Math.floor(random() * 4) }, () => {
    const value = pickFrom(random, [
      ...strings.map((text) => text.slice(0, 3000).toWellFormed()),
      ...sensible,
      "1",
      "0",
      '{"name":["kept"]}',
      '{"until":["x"]}',
      '{"a":{"b":true}}',
      "[[[[",
    ]);
    return `${pickFrom(random, queries)}=${encodeURIComponent(value)}`;
  });
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

/** Some text that is nearly JSON, or not at all. */
function bodyOf(path: string, random: Random): string {
  const found = described.find(([pattern]) => pattern.test(path));
  const schema = found?.[1] ?? pickFrom(random, described)[1];
  const text = JSON.stringify(sample(schema, random)) ?? "";
  const kind = random();
  if (kind < 0.8) return text;
  if (kind < 0.85) return text.slice(0, Math.floor(text.length * random()));
  if (kind < 0.9) return text.replace(/\d+/, pickFrom(random, ["NaN", "Infinity", "1e999", "-"]));
  return pickFrom(random, ["", "\0", "[]", '"x"', "nonsense", "\ufeff{}", "{".repeat(100_000)]);
}

/** Cuts bytes into pieces of odd sizes. */
function cutUp(bytes: Uint8Array, random: Random): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + Math.floor(random() ** 3 * Math.max(1, bytes.length / 2));
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

function chunked(pieces: readonly Uint8Array[], random: Random): Uint8Array[] {
  // A piece of nothing would be the end.
  const some = pieces.filter((piece) => piece.length > 0);
  const framed = some.map((piece) => {
    const size = piece.length.toString(16);
    const head = pickFrom(random, [size, size.toUpperCase(), `0${size}`, `${size};a=b`]);
    return Buffer.concat([Buffer.from(`${head}\r\n`), piece, Buffer.from("\r\n")]);
  });
  return [...framed, Buffer.from("0\r\n\r\n")];
}

/** Makes up a request. */
export function hostileRequest(random: Random): HostileRequest {
  const route = pickFrom(random, routes);
  const version = pickFrom(random, ["", "", "", "/v1.24", "/v1.44", "/v1.51", "/v1.99", "/v1.x"]);
  const path = `${version}${pathOf(route.path, random)}`;
  const type = pickFrom(random, [
    "application/json",
    "application/json",
    "text/plain",
    "application/x-tar",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    ",;=",
  ]);
  const headers = ["Host: x", `Content-Type: ${type}`];
  if (random() < 0.05) headers.push("X-Registry-Auth: e30=", "X-Registry-Config: %%%");
  if (random() < 0.05) headers.push("Upgrade: tcp", "Connection: Upgrade");
  if (route.method === "GET" || route.method === "HEAD" || random() < 0.1)
    return {
      method: route.method,
      path: path + queryOf(random),
      headers,
      pieces: [],
      cut: false,
    };
  const bytes = Buffer.from(bodyOf(path.replace(/^\/v1\.\w+/, ""), random));
  const pieces = random() < 0.7 ? [bytes] : cutUp(bytes, random);
  const cut = random() < 0.05;
  const odd = random() < 0.2;
  headers.push(
    odd ? "Transfer-Encoding: chunked" : `Content-Length: ${bytes.length + (cut ? 10 : 0)}`,
  );
  const sent = odd ? chunked(pieces, random) : pieces;
  return {
    method: route.method,
    path: path + queryOf(random),
    headers,
    pieces: cut ? sent.slice(0, -1) : sent,
    cut,
  };
}

/** What came of a request: status 0 when there was no answer. */
export interface Outcome {
  readonly status: number;
  readonly text: string;
  /** The connection was still open when patience had ended. */
  readonly open: boolean;
}

/** The first answer's body. Behind it there may be another: that what followed the request was none. */
function bodyIn(text: string): string {
  const end = text.indexOf("\r\n\r\n") + 4;
  const length = /^content-length: (\d+)/im.exec(text.slice(0, end))?.[1];
  return text.slice(end, length === undefined ? undefined : end + Number(length));
}

/** Whether an answer is there to its end. It is not waited for the connection's: who closes it first would lose what is on its way. */
function isWhole(method: string, text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0 || / 101 /.test(text.slice(0, 13))) return false;
  if (method === "HEAD" || /^HTTP\/1\.1 (204|304)/.test(text)) return true;
  const length = /^content-length: (\d+)/im.exec(text.slice(0, end))?.[1];
  if (length !== undefined) return text.length - end - 4 >= Number(length);
  return text.endsWith("0\r\n\r\n");
}

/** Sends it on a connection of its own and reads until the end, or until nothing has come for so long. */
export function sendRequest(
  socketPath: string,
  request: HostileRequest,
  patience: { readonly head: number; readonly rest: number },
): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const socket = connect(socketPath);
  let text = "";
  const finish = (open: boolean) => {
    clearTimeout(timer);
    socket.destroy();
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
    resolve({ status, text: bodyIn(text), open });
  };
  let timer = setTimeout(() => finish(true), patience.head);
  socket.on("data", (chunk: Uint8Array) => {
    text += Buffer.from(chunk).toString("latin1");
    clearTimeout(timer);
    if (isWhole(request.method, text)) return finish(false);
    timer = setTimeout(() => finish(true), patience.rest);
  });
  socket.on("error", () => finish(false));
  socket.on("close", () => finish(false));
  const head = `${request.method} ${request.path} HTTP/1.1\r\n${request.headers.join("\r\n")}\r\n\r\n`;
  socket.write(head);
  for (const piece of request.pieces) socket.write(piece);
  if (request.cut) socket.end();
  return promise;
}
