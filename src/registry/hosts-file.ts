/**
 * hosts.toml of a registry, as containerd's hosts.md describes it: read and checked.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fault, messageOf } from "../base/errors.ts";

/** What an endpoint is good for. */
export type Capability = "pull" | "resolve" | "push";

/** A host as the file describes it; paths are whole. */
export interface HostEntry {
  /** With the API's prefix, without a slash at the end. */
  readonly url: string;
  /** Undefined: everything. */
  readonly capabilities: ReadonlySet<Capability> | undefined;
  readonly skipVerify: boolean;
  readonly ca: readonly string[];
  readonly client: { readonly cert: string; readonly key: string } | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** What the file says. */
export interface HostsFile {
  /** In the file's order. */
  readonly hosts: readonly HostEntry[];
  /** What is asked last; undefined when the file names none. */
  readonly server: HostEntry | undefined;
}

type Table = Readonly<Record<string, unknown>>;

const capabilities: ReadonlySet<string> = new Set(["pull", "resolve", "push"]);

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads the entries of one file. */
class Reader {
  constructor(private readonly path: string) {}

  bad(why: string): Error {
    return fault(
      "invalid",
      "registry-hosts",
      `invalid registry configuration ${this.path}: ${why}`,
    );
  }

  table(value: unknown, what: string): Table {
    if (value === undefined) return {};
    if (!isTable(value)) throw this.bad(`${what} is no table`);
    return value;
  }

  private strings(value: unknown, what: string): string[] {
    const list = value === undefined ? [] : Array.isArray(value) ? value : [value];
    if (!list.every((one): one is string => typeof one === "string"))
      throw this.bad(`${what} is neither a string nor a list of strings`);
    return list;
  }

  private switched(value: unknown, what: string): boolean {
    if (value !== undefined && typeof value !== "boolean")
      throw this.bad(`${what} is neither true nor false`);
    return value === true;
  }

  private place(name: string): string {
    return resolve(dirname(this.path), name);
  }

  private url(text: string, overridden: boolean): string {
    const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
    if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "")
      throw this.bad(`${JSON.stringify(text)} is no address of a registry`);
    const plain = `${url.origin}${url.pathname}`.replace(/\/+$/, "");
    return overridden || /\/v2$/.test(plain) ? plain : `${plain}/v2`;
  }

  /** One file with both, a pair of files, or a list of either, of which the first is taken. */
  private client(value: unknown): HostEntry["client"] {
    const [first] = Array.isArray(value) ? value : [value];
    if (first === undefined) return undefined;
    const [cert, key = cert] = this.strings(first, "client");
    return cert === undefined || key === undefined
      ? undefined
      : { cert: this.place(cert), key: this.place(key) };
  }

  private headers(value: unknown): Record<string, string> {
    return Object.fromEntries(
      Object.entries(this.table(value, "header")).map(([name, given]) => {
        const text = this.strings(given, `header ${name}`).join(", ");
        try {
          new Headers([[name, text]]);
        } catch {
          throw this.bad(`${JSON.stringify(name)} is no header, or its value cannot be one`);
        }
        return [name, text];
      }),
    );
  }

  entry(text: string, table: Table): HostEntry {
    const named =
      table.capabilities === undefined
        ? undefined
        : this.strings(table.capabilities, "capabilities");
    for (const name of named ?? [])
      if (!capabilities.has(name)) throw this.bad(`unknown capability ${JSON.stringify(name)}`);
    return {
      url: this.url(text, this.switched(table.override_path, "override_path")),
      capabilities: named && new Set(named as Capability[]),
      skipVerify: this.switched(table.skip_verify, "skip_verify"),
      ca: this.strings(table.ca, "ca").map((name) => this.place(name)),
      client: this.client(table.client),
      headers: this.headers(table.header),
    };
  }
}

/** Parses the text of a file at `path`, for the registry `host`. Throws a Fault "invalid". */
export function parseHosts(text: string, path: string, host: string): HostsFile {
  const reader = new Reader(path);
  let file: Table;
  try {
    file = Bun.TOML.parse(text) as Table;
  } catch (error) {
    throw reader.bad(messageOf(error));
  }
  const hosts = Object.entries(reader.table(file.host, "host")).map(([name, table]) =>
    reader.entry(name, reader.table(table, `host ${JSON.stringify(name)}`)),
  );
  if (file.server !== undefined && typeof file.server !== "string")
    throw reader.bad("server is no string");
  // What stands above all hosts is said of the server.
  const { host: _hosts, server, ...own } = file;
  const says = server !== undefined || Object.keys(own).length > 0;
  return { hosts, server: says ? reader.entry(server ?? `https://${host}`, own) : undefined };
}

/** Reads a file. Throws a Fault "invalid". */
export function hostsIn(path: string, host: string): HostsFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw fault(
      "invalid",
      "registry-hosts",
      `invalid registry configuration ${path}: ${messageOf(error)}`,
    );
  }
  return parseHosts(text, path, host);
}
