/**
 * Requests made from the contract and answers checked against it. What has been seen to hold is written down; nothing counts
 * that this run has not seen.
 */
import { expect } from "bun:test";
import { connect } from "node:net";
import type { Contract, Operation } from "./contract.ts";

/** What a request sends. */
export interface Ask {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes, or what becomes JSON. */
  readonly body?: unknown;
  /** The status that is expected; without it the first that the contract has. */
  readonly status?: number;
  /** Ends after so many lines of an endless answer. */
  readonly lines?: number;
}

/** What was seen of each operation: items of the contract, and what is beyond it. */
export class Ledger {
  private readonly items = new Map<string, Set<string>>();
  private readonly others = new Map<string, Set<string>>();

  private static add(map: Map<string, Set<string>>, operation: string, item: string): void {
    const known = map.get(operation);
    if (known === undefined) map.set(operation, new Set([item]));
    else known.add(item);
  }

  /** An item of the contract held. */
  prove(operation: string, item: string): void {
    Ledger.add(this.items, operation, item);
  }

  /** Something occurred that the contract does not have. */
  beyond(operation: string, item: string): void {
    Ledger.add(this.others, operation, item);
  }

  proved(operation: string): ReadonlySet<string> {
    return this.items.get(operation) ?? new Set();
  }

  foundBeyond(operation: string): ReadonlySet<string> {
    return this.others.get(operation) ?? new Set();
  }
}

const errorSchema = { $ref: "#/definitions/ErrorResponse" };
const streamTypes = /vnd\.docker\.(raw|multiplexed)-stream/;

/** An answer that has been checked. */
export class Answer {
  constructor(
    private readonly ledger: Ledger,
    private readonly operation: Operation,
    private readonly sent: ReadonlySet<string>,
    readonly status: number,
    readonly headers: Headers,
    readonly bytes: Uint8Array,
    /** The values of a JSON answer: one, or each line of a stream. */
    readonly values: readonly unknown[],
  ) {}

  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  /** What a field of the answer has, by its path: "State.Pid", "0.Names.0". */
  at(path: string): unknown {
    return field(this.values[0], path);
  }

  /** The same field of every item of a list. */
  each(path: string): unknown[] {
    const list = this.values[0];
    return Array.isArray(list) ? list.map((item: unknown) => field(item, path)) : [];
  }

  get message(): unknown {
    return this.at("message");
  }

  /**
   * What was sent had an effect: the actual is as expected. `items`: "query all", or "body HostConfig.Memory", with all that
   * is below it. Throws for an item that was not sent.
   */
  shows(items: string | readonly string[], actual: unknown, expected: unknown): this {
    const names = typeof items === "string" ? [items] : items;
    expect(actual, `${this.operation.id}: ${names.join(", ")}`).toEqual(expected);
    for (const name of names) {
      const matching = [...this.sent].filter(
        (item) =>
          item === name || (item.startsWith(name) && /[.[{]/.test(item.charAt(name.length))),
      );
      if (matching.length === 0)
        throw new Error(`${this.operation.id} did not send ${name}, but ${[...this.sent]}`);
      for (const item of matching) this.ledger.prove(this.operation.id, item);
    }
    return this;
  }
}

/** A field by its path; undefined when it is not there. */
export function field(value: unknown, path: string): unknown {
  let at = value;
  for (const key of path.split("."))
    at = typeof at === "object" && at !== null ? (at as Record<string, unknown>)[key] : undefined;
  return at;
}

/** Calls operations of a daemon. */
export class Caller {
  constructor(
    readonly contract: Contract,
    readonly ledger: Ledger,
    readonly socket: string,
  ) {}

  /** Makes a request and checks its answer: status, type, schema, headers. */
  async call(id: string, ask: Ask = {}): Promise<Answer> {
    const operation = this.contract.operation(id);
    const sent = this.sentItems(operation, ask);
    const isBytes = ask.body instanceof Uint8Array;
    const response = await fetch(`http://x${pathOf(operation, ask)}`, {
      method: operation.method,
      unix: this.socket,
      headers: {
        ...(ask.body === undefined || isBytes ? {} : { "Content-Type": "application/json" }),
        ...ask.headers,
      },
      ...(ask.body === undefined
        ? {}
        : { body: isBytes ? (ask.body as Uint8Array<ArrayBuffer>) : JSON.stringify(ask.body) }),
    });
    const bytes = await readAnswer(response, ask.lines);
    return this.check(operation, ask, sent, response.status, response.headers, bytes);
  }

  /** Makes a request that takes the connection over; gives what came until it ended. `input` is sent, then the end of it. */
  async upgrade(id: string, ask: Ask & { readonly input?: string | Uint8Array }): Promise<Answer> {
    const operation = this.contract.operation(id);
    const sent = this.sentItems(operation, ask);
    const body = ask.body === undefined ? "" : JSON.stringify(ask.body);
    const headers: Readonly<Record<string, string>> = {
      Host: "x",
      Connection: "Upgrade",
      Upgrade: "tcp",
      ...(body === "" ? {} : { "Content-Type": "application/json" }),
      "Content-Length": String(Buffer.byteLength(body)),
      ...ask.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `${operation.method} ${pathOf(operation, ask)} HTTP/1.1\r\n${lines.join("")}\r\n`;
    const all = await exchange(this.socket, head + body, ask.input, headers.Upgrade === "tcp");
    const end = all.indexOf("\r\n\r\n");
    const [status = "", ...rest] = all.subarray(0, end).toString().split("\r\n");
    const given = new Headers(rest.map((line): [string, string] => cut(line)));
    const code = Number(status.split(" ")[1]);
    return this.check(operation, ask, sent, code, given, all.subarray(end + 4));
  }

  /** Items that a request sends. Throws for a query that the contract does not have, unless it is named with a leading "+". */
  private sentItems(operation: Operation, ask: Ask): Set<string> {
    const sent = new Set<string>();
    const has = (place: string, name: string) =>
      operation.parameters.some(
        (parameter) =>
          parameter.in === place && parameter.name.toLowerCase() === name.toLowerCase(),
      );
    for (const [name, value] of Object.entries(ask.query ?? {})) {
      if (value === undefined) continue;
      if (!name.startsWith("+") && !has("query", name))
        throw new Error(`${operation.id} has no query ${name}`);
      sent.add(`query ${name}`);
    }
    for (const { in: place, name, schema } of operation.parameters) {
      if (place === "path") sent.add(`path ${name}`);
      if (place === "header" && new Headers(ask.headers).has(name)) sent.add(`header ${name}`);
      if (place !== "body" || ask.body === undefined) continue;
      if (ask.body instanceof Uint8Array) sent.add("body");
      else
        for (const leaf of this.contract.leavesIn(schema ?? {}, ask.body).known)
          sent.add(`body ${leaf}`.trim());
    }
    return sent;
  }

  private check(
    operation: Operation,
    ask: Ask,
    sent: ReadonlySet<string>,
    status: number,
    headers: Headers,
    bytes: Uint8Array,
  ): Answer {
    const { id, responses } = operation;
    const wanted = ask.status ?? Number(Object.keys(responses)[0]);
    const shown = `${id} ${JSON.stringify(ask).slice(0, 300)} -> ${new TextDecoder().decode(bytes.subarray(0, 300))}`;
    expect(status, shown).toBe(wanted);
    const described = responses[status];
    if (described === undefined) this.ledger.beyond(id, `status ${status}`);
    else this.ledger.prove(id, `status ${status}`);
    const type = (headers.get("content-type") ?? "").split(";")[0] ?? "";
    const values = type === "application/json" ? jsonValues(bytes) : [];
    if (status >= 400 && operation.method !== "HEAD") {
      expect(type, shown).toBe("application/json");
      expect(this.contract.faults(errorSchema, values[0]).faults, shown).toEqual([]);
      expect(Object.keys(values[0] as object), shown).toEqual(["message"]);
    } else if (bytes.length > 0 && status === 200) this.checkType(operation, type, shown);
    for (const name of Object.keys(described?.headers ?? {}))
      if (headers.has(name)) this.ledger.prove(id, `${status} header ${name}`);
    if (status < 400) {
      for (const item of sent) if (item.startsWith("path ")) this.ledger.prove(id, item);
      this.checkSchema(operation, status, type, bytes, values, shown);
    }
    return new Answer(this.ledger, operation, sent, status, headers, bytes, values);
  }

  private checkType({ id, produces }: Operation, type: string, shown: string): void {
    if (!produces.includes(type) && !streamTypes.test(type)) {
      this.ledger.beyond(id, `type ${type}`);
      return;
    }
    expect(type, shown).not.toBe("");
  }

  private checkSchema(
    { id, responses }: Operation,
    status: number,
    type: string,
    bytes: Uint8Array,
    values: readonly unknown[],
    shown: string,
  ): void {
    const schema = responses[status]?.schema;
    if (schema === undefined) return;
    const seen = type === "application/json" ? values : bytes.length > 0 ? [decoded(bytes)] : [];
    for (const value of seen) {
      const { faults, nulls } = this.contract.faults(schema, value);
      expect(faults, shown).toEqual([]);
      for (const path of nulls)
        this.ledger.beyond(id, `${status} ${path.replace(/\b\d+\b/g, "[]")} null`);
      const { known, unknown } = this.contract.leavesIn(schema, value);
      for (const leaf of known) this.ledger.prove(id, `${status} ${leaf}`.trim());
      for (const leaf of unknown) this.ledger.beyond(id, `${status} ${leaf}`);
    }
  }
}

function decoded(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function cut(line: string): [string, string] {
  const at = line.indexOf(":");
  return [line.slice(0, at), line.slice(at + 1).trim()];
}

function jsonValues(bytes: Uint8Array): unknown[] {
  const text = decoded(bytes).trim();
  if (text === "") return [];
  // A stream has one value a line; a value itself is never broken into lines.
  return text.split(/\r?\n/).map((line) => JSON.parse(line) as unknown);
}

function queryText(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function pathOf(operation: Operation, { path = {}, query = {} }: Ask): string {
  const filled = operation.path.replace(/\{(\w+)\}/g, (_whole, name: string) => {
    const value = path[name];
    if (value === undefined) throw new Error(`${operation.id} needs ${name}`);
    return operation.id.startsWith("Image") || operation.id.startsWith("Distribution")
      ? value
      : encodeURIComponent(value);
  });
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== undefined) search.append(name.replace(/^\+/, ""), queryText(one));
  return `/v1.51${filled}${search.size === 0 ? "" : `?${search}`}`;
}

async function readAnswer(response: Response, lines: number | undefined): Promise<Uint8Array> {
  if (lines === undefined || response.body === null) return response.bytes();
  const chunks: Uint8Array[] = [];
  let count = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    count += chunk.filter((byte: number) => byte === 10).length;
    if (count >= lines) break;
  }
  const all = Buffer.concat(chunks);
  return all.subarray(0, all.lastIndexOf(10) + 1);
}

/** Sends a request, then input once the head has come (and the end of it, with `end`); gives all that comes until the other side ends. */
function exchange(
  path: string,
  request: string,
  input: string | Uint8Array | undefined,
  end: boolean,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let begun = false;
  const socket = connect(path, () => socket.write(request));
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    if (begun || input === undefined) return;
    begun = true;
    if (end) socket.end(input);
    else socket.write(input);
  });
  socket.on("end", () => {
    socket.end();
    resolve(Buffer.concat(chunks));
  });
  socket.on("error", reject);
  return promise;
}
