/**
 * What a route is, and the answers that it can give.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { z } from "zod";
import type { Hijacked } from "./hijack.ts";
import type { ApiPorts } from "./ports.ts";

/** One request, taken apart. */
export interface Context {
  /** The API's minor version that the client speaks: 44 for /v1.44; the newest without one. */
  readonly version: number;
  readonly params: Readonly<Record<string, string | undefined>>;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The body as bytes; for hijacked requests what came with the head. */
  body(): Promise<Uint8Array>;
  /** The body as JSON by a schema; an empty one counts as an empty object unless one is required. */
  json<T>(schema: z.ZodType<T>, options?: { readonly required: boolean }): Promise<T>;
  /** Takes the connection over, once. */
  hijack(tty: boolean): Hijacked;
  /** The same for a WebSocket. Throws a Fault "invalid" when the request is no handshake. */
  hijackWebSocket(tty: boolean): Hijacked;
  /** Ends when the client goes away. */
  readonly signal: AbortSignal;
}

/** An answer as a whole; a handler that has answered by itself gives undefined. */
export interface Reply {
  readonly status: number;
  readonly json?: unknown;
}

/** A route. */
export interface Route {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  handle(context: Context, ports: ApiPorts): Promise<Reply | undefined> | Reply | undefined;
}

/** 200 with JSON. */
export function ok(json: unknown): Reply {
  return { status: 200, json };
}

/** 204. */
export const noContent: Reply = { status: 204 };

/** Begins a stream of JSON lines. */
export function beginJsonLines(response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "application/json" });
  response.flushHeaders();
}

/** Begins one of a few lines; gives what writes one. What goes on and on waits for its client: sendAll. */
export function jsonLines({ response }: Context): (value: unknown) => void {
  beginJsonLines(response);
  return (value) => {
    response.write(jsonLine(value));
  };
}

/** One of them. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\r\n`;
}

/** Resolves when the client has gone. */
export function goneOf(signal: AbortSignal): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  if (signal.aborted) resolve(undefined);
  signal.addEventListener("abort", () => resolve(undefined), { once: true });
  return promise;
}

/** What takes bytes, and says when to wait. */
interface Sink<Chunk> {
  /** False when there should be no more until it has drained. */
  write(chunk: Chunk): boolean;
  onDrain(callback: () => void): void;
}

/** Hands on everything that comes, at the pace of who takes it, until there is no more or the signal goes off. */
export async function pump<T, Chunk>(
  sink: Sink<Chunk>,
  signal: AbortSignal,
  source: AsyncIterable<T>,
  bytesOf: (item: T) => Chunk,
): Promise<void> {
  // One listener for all the waits, however many there are.
  let go = () => {};
  sink.onDrain(() => go());
  signal.addEventListener("abort", () => go(), { once: true });
  for await (const item of source) {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    go = resolve;
    if (!sink.write(bytesOf(item)) && !signal.aborted) await promise;
  }
}

/** Answers with everything that comes. */
export async function sendAll<T>(
  { response, signal }: Pick<Context, "response" | "signal">,
  source: AsyncIterable<T>,
  bytesOf: (item: T) => Uint8Array | string,
): Promise<undefined> {
  const sink = {
    write: (chunk: Uint8Array | string) => response.write(chunk),
    onDrain: (callback: () => void) => response.on("drain", callback),
  };
  await pump(sink, signal, source, bytesOf);
  response.end();
  return undefined;
}
