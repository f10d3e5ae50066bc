/**
 * One request and its answer: reading bodies with patience that ends, and sending documents and files to clients of any
 * speed.
 */
import { closeSync, createReadStream, fstatSync, openSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { RegistryError } from "./errors.ts";
import { parseRange, type Span } from "./ranges.ts";
import type { Body } from "./uploads.ts";

/** Whoever sends or takes nothing for so long has gone. */
export const SILENCE_MS = 60_000;
/** How often whoever listens to a body that nothing comes of looks whether its client is still there. */
const LOOK_MS = 1000;
const PIECE = 1 << 18;

/** How addresses in answers are written. */
export interface AddressStyle {
  /** In front of "/v2"; "" for none. */
  readonly prefix: string;
  readonly relative: boolean;
  /** How this registry is reached when nobody in front of it says otherwise. */
  readonly scheme: "http" | "https";
  /** "https://registry.example"; undefined: as the client has called it. */
  readonly host: string | undefined;
}

/** A request that is being answered. */
export class Exchange {
  readonly query: URLSearchParams;

  constructor(
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
    url: URL,
    private readonly style: AddressStyle,
  ) {
    this.query = url.searchParams;
  }

  /** Whether the client has left, which is told of only once: to nobody, where nobody listened then. */
  private get gone(): boolean {
    const { request, response } = this;
    if (response.destroyed || request.socket?.destroyed) return true;
    return request.destroyed && !request.complete;
  }

  get method(): string {
    return this.request.method ?? "GET";
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  /** An address on this registry. */
  address(path: string): string {
    const { prefix, relative, host, scheme } = this.style;
    if (relative) return `${prefix}${path}`;
    if (host !== undefined) return `${host.replace(/\/+$/, "")}${prefix}${path}`;
    const name = this.header("x-forwarded-host") ?? this.header("host");
    if (name === undefined || !/^[\w.:[\]-]+$/.test(name)) return `${prefix}${path}`;
    const given = this.header("x-forwarded-proto")?.split(",")[0]?.trim();
    return `${given === "https" || given === "http" ? given : scheme}://${name}${prefix}${path}`;
  }

  /** The body. It breaks off, too, when nothing comes for a while. */
  readonly body: Body = (take, signal) => {
    const { request, response } = this;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const silence = new RegistryError("SIZE_INVALID", { status: 408, message: "nothing came" });
    const alarm = setTimeout(() => reject(silence), SILENCE_MS);
    const look = setInterval(() => {
      if (this.gone) return onGone();
      // A connection that is not read from tells of no end: reading is asked for again.
      request.pause();
      request.resume();
    }, LOOK_MS);
    const onData = (piece: Uint8Array) => {
      alarm.refresh();
      look.refresh();
      try {
        take(piece);
      } catch (error) {
        reject(error);
      }
    };
    const onEnd = () => (request.complete ? resolve() : reject(new RegistryError("SIZE_INVALID")));
    const onAbort = () => reject(signal?.reason);
    const onGone = () => reject(new RegistryError("SIZE_INVALID"));
    // A client that has gone before anybody listened is told of by nothing but this.
    if (this.gone) onGone();
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort);
    // Pieces are taken as they come and none is kept: a queue of promises would hold on to all of them.
    request.on("data", onData).on("end", onEnd).on("error", reject).on("close", onEnd);
    response.on("close", onGone);
    return promise.finally(() => {
      clearTimeout(alarm);
      clearInterval(look);
      signal?.removeEventListener("abort", onAbort);
      response.off("close", onGone);
      request.off("data", onData).off("end", onEnd).off("error", reject).off("close", onEnd);
    });
  };

  /** A body that is kept in memory. Throws 413 with MANIFEST_INVALID when it is larger than `most`. */
  async document(most: number): Promise<Uint8Array> {
    const large = new RegistryError("MANIFEST_INVALID", {
      message: `manifest invalid: it is larger than ${most} bytes`,
      status: 413,
    });
    if (Number(this.header("content-length") ?? 0) > most) throw large;
    const pieces: Uint8Array[] = [];
    let size = 0;
    await this.body((piece) => {
      size += piece.length;
      if (size > most) throw large;
      pieces.push(piece);
    });
    return Buffer.concat(pieces);
  }

  /** Answers without a body. */
  empty(status: number, headers: Readonly<Record<string, string>> = {}): void {
    const length = status === 204 || status === 304 ? {} : { "Content-Length": "0" };
    this.response.writeHead(status, { ...length, ...headers });
    this.response.end();
  }

  /** Answers with bytes; HEAD gets everything but them. */
  bytes(
    status: number,
    data: Uint8Array | string,
    type: string,
    headers: Readonly<Record<string, string>> = {},
  ): void {
    const length = Buffer.byteLength(data);
    this.response.writeHead(status, {
      "Content-Type": type,
      "Content-Length": String(length),
      ...headers,
    });
    this.response.end(this.method === "HEAD" ? undefined : data);
  }

  json(value: unknown, headers: Readonly<Record<string, string>> = {}): void {
    this.bytes(200, `${JSON.stringify(value)}\n`, "application/json; charset=utf-8", headers);
  }

  /** True after a 304, if the client has what it asks for. */
  isKnown(digest: string): boolean {
    const tags = (this.header("if-none-match") ?? "").split(",").map((tag) => tag.trim());
    const known = tags.some((tag) => tag.replace(/^W\//, "").replace(/^"(.*)"$/, "$1") === digest);
    if (known) this.empty(304, { ETag: `"${digest}"`, "Docker-Content-Digest": digest });
    return known;
  }

  /** The part that the client asks for; undefined after a 416. */
  part(
    size: number,
  ): { readonly span: Span; readonly headers: Record<string, string> } | undefined {
    const asked = parseRange(this.header("range"), size);
    if (asked === "unsatisfiable") {
      const { body, headers, status } = new RegistryError("RANGE_INVALID", {
        headers: { "Content-Range": `bytes */${size}` },
      });
      this.bytes(status, body, "application/json; charset=utf-8", headers);
      return undefined;
    }
    if (asked === undefined) return { span: { start: 0, end: size }, headers: {} };
    const { start, end } = asked;
    return { span: asked, headers: { "Content-Range": `bytes ${start}-${end - 1}/${size}` } };
  }

  /** Answers with a file or the part of it that was asked for. Resolves when it is sent, or the client has gone. */
  async file(path: string, headers: Readonly<Record<string, string>>): Promise<void> {
    // What is open can be read to its end, whatever is deleted meanwhile.
    const fd = openSync(path, "r");
    const part = this.part(fstatSync(fd).size);
    if (part === undefined) return closeSync(fd);
    const { start, end } = part.span;
    const status = "Content-Range" in part.headers ? 206 : 200;
    const length = { "Content-Length": String(end - start) };
    this.response.writeHead(status, { ...headers, ...length, ...part.headers });
    if (this.method === "HEAD" || end === start) {
      closeSync(fd);
      this.response.end();
      return;
    }
    const stream = createReadStream("", { fd, start, end: end - 1, highWaterMark: PIECE });
    await this.send(stream as AsyncIterable<Uint8Array>);
  }

  /** Sends pieces after the head, at the client's pace, and ends the answer; destroys it when the pieces fail. */
  async send(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    const { response } = this;
    const alarm = setTimeout(() => this.request.socket.destroy(), SILENCE_MS);
    try {
      for await (const piece of pieces) {
        if (response.destroyed) return;
        alarm.refresh();
        if (!response.write(piece)) await drained(response);
      }
      response.end();
    } catch (error) {
      this.request.socket.destroy();
      throw error;
    } finally {
      clearTimeout(alarm);
    }
  }
}

/** Resolves when there is room again, or nobody to take it. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
