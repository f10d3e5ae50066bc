/**
 * The Docker Engine API over one host: requests with a kept-alive connection, hijacked streams, errors.
 *
 * An own client because start-up is what a short command costs: node:http takes 50 ms to load, and fetch
 * cannot hijack a connection.
 */
import type { Connection } from "./connection.ts";
import type { Exchanges } from "./exchanges.ts";
import { ApiError, ATTEMPTS, BETWEEN_ATTEMPTS_MS, NoAnswer } from "./head.ts";
import type { Host } from "./host.ts";
import { askOnce } from "./once.ts";
import type { ApiResponse } from "./response.ts";

/** Values of a query string; undefined ones are left out, lists repeat. */
export type Query = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/** What a request carries. */
export interface RequestOptions {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, chunked, instead of `body`. */
  readonly stream?: AsyncIterable<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Tells what to do about a daemon that does not answer: true means try once more. */
export type OnUnreachable = (error: unknown) => Promise<boolean>;

const newest = "1.51";

/** Of a request that takes its connection over. */
const UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

function encodeQuery(query: Query | undefined): string {
  if (query === undefined) return "";
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue;
    if (typeof value === "object") for (const one of value) parts.append(key, one);
    else parts.append(key, typeof value === "boolean" ? (value ? "1" : "0") : String(value));
  }
  const text = parts.toString();
  return text === "" ? "" : `?${text}`;
}

/** A client of one daemon. It speaks the newest API version and steps down when the daemon is older. */
export class ApiClient {
  #version = newest;
  #agreed = false;
  #exchanges: Promise<Exchanges> | undefined;

  constructor(
    readonly host: Host,
    readonly onUnreachable: OnUnreachable,
  ) {}

  /** The version in use; final after the first answer. */
  get version(): string {
    return this.#version;
  }

  /** Sends a request; a status of 400 and up is thrown as an ApiError. Redirects are not followed. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<ApiResponse> {
    if (options.stream && !this.#agreed) await this.json("GET", "/version");
    for (;;) {
      const used = this.#version;
      const response = await this.#exchange(method, path, options, "");
      if (response.head.status < 400) {
        this.#agreed = true;
        return response;
      }
      const error = errorOf(response.head.status, await response.text());
      if (!this.#stepDown(error, used)) throw error;
    }
  }

  /** A request whose answer is JSON (or nothing: undefined). */
  async json<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const text =
      (await this.#first(method, path, options)) ??
      (await (await this.request(method, path, options)).text());
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  /** A command's first request, after which most have no other; undefined when it must be asked in another way. */
  async #first(method: string, path: string, options: RequestOptions): Promise<string | undefined> {
    const { target } = this.host;
    if (this.#agreed || options.stream || "ssh" in target || ("tls" in target && target.tls))
      return undefined;
    const used = this.#version;
    const request = this.#requestOf(method, path, options, "Connection: close\r\n");
    const attempt = async (left: number): ReturnType<typeof askOnce> =>
      askOnce(target, request).catch(async (error) => {
        if (error instanceof NoAnswer && method === "GET" && left > 1) {
          await Bun.sleep(BETWEEN_ATTEMPTS_MS);
          return attempt(left - 1);
        }
        if ("code" in error && (await this.onUnreachable(error))) return askOnce(target, request);
        throw error;
      });
    const { status, text } = await attempt(ATTEMPTS);
    if (status < 400) {
      this.#agreed = true;
      return text;
    }
    const error = errorOf(status, text);
    if (this.#stepDown(error, used)) return undefined;
    throw error;
  }

  /** A request that takes over its connection (`Upgrade: tcp`): the raw duplex that follows the head. */
  async hijack(path: string, options: RequestOptions = {}): Promise<Connection> {
    for (;;) {
      const used = this.#version;
      const response = await this.#exchange("POST", path, options, UPGRADE);
      if (response.head.status < 300) return response.connection;
      const error = errorOf(response.head.status, await response.text());
      if (!this.#stepDown(error, used)) throw error;
    }
  }

  /** A connection of its own, on which nothing has been said. */
  async connect(): Promise<Connection> {
    return (await this.#connections()).open();
  }

  /** Closes what is kept open. */
  close(): void {
    this.#exchanges?.then((exchanges) => exchanges.close());
  }

  /** Loaded by whoever has more to say than one request. */
  #connections(): Promise<Exchanges> {
    this.#exchanges ??= import("./exchanges.ts").then(
      ({ Exchanges }) => new Exchanges(this.host, this.onUnreachable),
    );
    return this.#exchanges;
  }

  async #exchange(
    method: string,
    path: string,
    options: RequestOptions,
    connection: string,
  ): Promise<ApiResponse> {
    const exchanges = await this.#connections();
    const request = this.#requestOf(method, path, options, connection);
    return exchanges.exchange(request, options.stream, method === "HEAD");
  }

  #stepDown(error: ApiError, used: string): boolean {
    const most = /client version \S+ is too new\. Maximum supported API version is (\d+\.\d+)/.exec(
      error.message,
    )?.[1];
    if (most === undefined || most === used) return false;
    this.#version = most;
    return true;
  }

  /** A request's head, with the connection's headers as they are given, and its body, if that is no stream. */
  #requestOf(method: string, path: string, options: RequestOptions, connection: string): string {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    let head = `${method} /v${this.#version}${path}${encodeQuery(options.query)} HTTP/1.1\r\nHost: berth\r\nUser-Agent: berth\r\n${connection}`;
    if (options.stream) head += "Transfer-Encoding: chunked\r\n";
    else head += `Content-Length: ${body === undefined ? 0 : Buffer.byteLength(body)}\r\n`;
    const type = options.stream ? "application/x-tar" : body && "application/json";
    if (type && options.headers?.["Content-Type"] === undefined)
      head += `Content-Type: ${type}\r\n`;
    for (const name in options.headers) head += `${name}: ${options.headers[name]}\r\n`;
    return `${head}\r\n${body ?? ""}`;
  }
}

function errorOf(status: number, text: string): ApiError {
  let message = text.trim();
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === "object" && "message" in value)
      message = String(value.message);
  } catch {
    // A proxy or an old daemon may answer in plain text; that is the message then.
  }
  return new ApiError(status, message || `status ${status}`);
}
