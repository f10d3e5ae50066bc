/**
 * What a route is, and the answers that it can give.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { z } from "zod";
import type { Hijacked } from "./hijack.ts";
import type { ApiPorts } from "./ports.ts";

/** One request, taken apart. */
export interface Context {
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

/** Begins a stream of JSON lines; gives what writes one. */
export function jsonLines(context: Context): (value: unknown) => void {
  context.response.writeHead(200, { "Content-Type": "application/json" });
  context.response.flushHeaders();
  return (value) => {
    context.response.write(`${JSON.stringify(value)}\r\n`);
  };
}
