/**
 * The registry over HTTP: who may, what is meant, who answers it, and every failure in the standard's form.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { RegistryError } from "./errors.ts";
import { type AddressStyle, Exchange } from "./exchange.ts";
import { deleteBlob, getBlob } from "./handlers/blobs.ts";
import { listReferrers, listRepositories, listTags, searchRepositories } from "./handlers/lists.ts";
import { deleteManifest, getManifest, putManifest } from "./handlers/manifests.ts";
import {
  beginUpload,
  cancelUpload,
  continueUpload,
  finishUpload,
  uploadStatus,
} from "./handlers/uploads.ts";
import type { Htpasswd } from "./htpasswd.ts";
import type { Service } from "./service.ts";
import { parseTarget, type Target } from "./target.ts";

/** A connection without a whole request for so long is closed. */
const IDLE_MS = 60_000;
/** What a refused client still sends is read away for so long, so that it hears the refusal. */
const DRAIN_MS = 2000;

/** How the registry is served. */
export interface ServerSettings {
  readonly address: { readonly host: string; readonly port: number };
  readonly tls:
    | {
        readonly cert: string;
        readonly key: string;
        readonly minVersion: "TLSv1.2" | "TLSv1.3";
      }
    | undefined;
  readonly style: AddressStyle;
  /** In every answer. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly auth: { readonly realm: string; readonly users: Htpasswd } | undefined;
  readonly readOnly: boolean;
  readonly deletion: boolean;
  /** The level at which answers are logged; undefined: they are not. */
  readonly accessLog: "info" | "debug" | undefined;
  /** Why nothing can be served just now; undefined when all is well. */
  readonly ailing: () => string | undefined;
}

type Action = (service: Service, exchange: Exchange) => void | Promise<void>;

/** What may be done with a target, by method. */
function actionsOf(target: Target): Readonly<Record<string, Action>> {
  switch (target.kind) {
    case "base":
      return { GET: (_, exchange) => exchange.json({}) };
    case "catalog":
      return { GET: listRepositories };
    case "search":
      return { GET: searchRepositories };
    case "tags":
      return { GET: (service, exchange) => listTags(service, exchange, target.name) };
    case "referrers": {
      const { name, digest } = target;
      return { GET: (service, exchange) => listReferrers(service, exchange, name, digest) };
    }
    case "manifest":
      return {
        GET: (service, exchange) => getManifest(service, exchange, target),
        PUT: (service, exchange) => putManifest(service, exchange, target),
        DELETE: (service, exchange) => deleteManifest(service, exchange, target),
      };
    case "blob": {
      const { name, digest } = target;
      return {
        GET: (service, exchange) => getBlob(service, exchange, name, digest),
        DELETE: (service, exchange) => deleteBlob(service, exchange, name, digest),
      };
    }
    case "uploads":
      return { POST: (service, exchange) => beginUpload(service, exchange, target.name) };
    case "upload": {
      const { name, id } = target;
      return {
        GET: (service, exchange) => uploadStatus(service, exchange, name, id),
        PATCH: (service, exchange) => continueUpload(service, exchange, name, id),
        PUT: (service, exchange) => finishUpload(service, exchange, name, id),
        DELETE: (service, exchange) => cancelUpload(service, exchange, name, id),
      };
    }
  }
}

/** What a failure means to the client. */
function refusalOf(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  const isFull = /^(ENOSPC|EDQUOT|SQLITE_FULL)$/.test(errnoOf(error) ?? "");
  if (!isFull) return new RegistryError("UNKNOWN");
  return new RegistryError("UNAVAILABLE", { message: "no space left on device", status: 507 });
}

/** A registry's server. */
export class RegistryServer {
  readonly http: Server;
  /** Connections, with the moment since which each is without a request; 0 while it has one. */
  private readonly idle = new Map<Socket, number>();
  private readonly sweeper: ReturnType<typeof setInterval>;
  private ended = false;
  /** Requests that are being answered. */
  active = 0;
  /** Requests that have come. */
  requests = 0;

  constructor(
    private readonly service: Service,
    private readonly settings: ServerSettings,
  ) {
    const answer: RequestListener = (request, response) => void this.answer(request, response);
    const { tls } = settings;
    this.http = tls === undefined ? createServer(answer) : createTlsServer({ ...tls }, answer);
    // Bodies take their time; the exchange watches over them.
    this.http.requestTimeout = 0;
    this.http.on("connection", (socket: Socket) => {
      this.idle.set(socket, Date.now());
      socket.on("close", () => this.idle.delete(socket));
    });
    this.sweeper = setInterval(() => this.closeIdle(), IDLE_MS / 4);
    this.sweeper.unref();
  }

  /** Listens. Rejects with a Fault when the address cannot be had. Gives the port. */
  async listen(): Promise<number> {
    const { host, port } = this.settings.address;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.http.once("error", (error) =>
      reject(
        fault(
          "failed",
          "registry-listen",
          `the registry cannot listen on ${host}:${port}: ${messageOf(error)}`,
          error,
        ),
      ),
    );
    this.http.listen(port, host, resolve);
    await promise;
    const address = this.http.address();
    return typeof address === "object" && address !== null ? address.port : port;
  }

  /** Takes no more requests, lets those under way end for a while, and cuts the rest. */
  async close(patienceMs: number): Promise<void> {
    this.ended = true;
    clearInterval(this.sweeper);
    const deadline = Date.now() + patienceMs;
    this.http.close();
    while (this.active > 0 && Date.now() < deadline) await Bun.sleep(20);
    this.http.closeAllConnections();
  }

  private closeIdle(): void {
    const before = Date.now() - IDLE_MS;
    for (const [socket, since] of this.idle) if (since !== 0 && since < before) socket.destroy();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const begun = performance.now();
    this.active++;
    this.requests++;
    this.idle.set(request.socket, 0);
    response.on("close", () => {
      this.active--;
      if (this.idle.has(request.socket)) this.idle.set(request.socket, Date.now());
      this.tell(request, response, performance.now() - begun);
    });
    // A client that goes away is nothing to be told of.
    request.on("error", () => {});
    response.on("error", () => {});
    try {
      this.head(response);
      await this.serve(request, response);
    } catch (error) {
      this.refuse(request, response, error);
    }
  }

  private head(response: ServerResponse): void {
    response.setHeader("Docker-Distribution-API-Version", "registry/2.0");
    response.setHeader("X-Content-Type-Options", "nosniff");
    for (const [name, values] of Object.entries(this.settings.headers))
      response.setHeader(name, [...values]);
    if (this.ended) response.setHeader("Connection", "close");
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { style, auth, ailing } = this.settings;
    const url = URL.parse(`http://registry${request.url ?? "/"}`);
    const why = ailing();
    if (why !== undefined) throw new RegistryError("UNAVAILABLE", { message: why });
    const exchange = new Exchange(request, response, url ?? new URL("http://registry/"), style);
    if (url === null || !`${url.pathname}/`.startsWith(`${style.prefix}/`))
      return exchange.bytes(404, "404 page not found\n", "text/plain; charset=utf-8");
    const path = url.pathname.slice(style.prefix.length);
    if (path === "/" || path === "") return exchange.empty(200, { "Cache-Control": "no-cache" });
    if (!/^\/(?:v2(?:\/|$)|v1\/search$)/.test(path))
      return exchange.bytes(404, "404 page not found\n", "text/plain; charset=utf-8");
    if (auth !== undefined && !(await auth.users.admits(exchange.header("authorization"))))
      throw new RegistryError("UNAUTHORIZED", {
        headers: { "WWW-Authenticate": `Basic realm=${JSON.stringify(auth.realm)}` },
      });
    const target = parseTarget(path);
    if (target === undefined)
      return exchange.bytes(404, "404 page not found\n", "text/plain; charset=utf-8");
    await this.actionFor(target, exchange.method)(this.service, exchange);
  }

  /** What a method does. Throws UNSUPPORTED for what is not to be had, or not here. */
  private actionFor(target: Target, method: string): Action {
    const actions = actionsOf(target);
    const action = actions[method === "HEAD" ? "GET" : method];
    if (action === undefined)
      throw new RegistryError("UNSUPPORTED", {
        headers: {
          Allow: Object.keys(actions)
            .flatMap((m) => (m === "GET" ? [m, "HEAD"] : [m]))
            .join(", "),
        },
      });
    if (method === "GET" || method === "HEAD") return action;
    if (this.service.upstream !== undefined)
      throw new RegistryError("UNSUPPORTED", {
        message: "this registry is a cache: push to the one that it stands before",
      });
    if (this.settings.readOnly)
      throw new RegistryError("UNSUPPORTED", { message: "this registry is read-only" });
    if (method === "DELETE" && target.kind !== "upload" && !this.settings.deletion)
      throw new RegistryError("UNSUPPORTED", {
        message: "deletion is not enabled on this registry",
      });
    return action;
  }

  private refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    // A request that has been read to its end counts as destroyed, too.
    const gone = response.destroyed || (request.destroyed && !request.complete);
    if (!(error instanceof RegistryError) && !gone)
      log.error("registry: answer a request", { method: request.method, url: request.url, error });
    // The connection is cut, not the answer: destroying that would tell the client of a success (Bun sends its head).
    if (response.headersSent || gone) return void request.socket.destroy();
    const refusal = refusalOf(error);
    const text = refusal.body;
    if (!request.complete) response.setHeader("Connection", "close");
    response.writeHead(refusal.status, {
      "Content-Type": "application/json; charset=utf-8",
      "Content-Length": String(Buffer.byteLength(text)),
      ...refusal.headers,
    });
    response.end(request.method === "HEAD" ? undefined : text);
    if (request.complete) return;
    // The client may be sending still: it hears the answer only if its bytes are taken for a moment.
    request.resume();
    setTimeout(() => request.socket.destroy(), DRAIN_MS).unref();
  }

  private tell(request: IncomingMessage, response: ServerResponse, ms: number): void {
    const { accessLog } = this.settings;
    if (accessLog === undefined) return;
    log[accessLog]("registry: response", {
      method: request.method,
      path: request.url?.split("?")[0],
      status: response.headersSent ? response.statusCode : 0,
      from: request.socket?.remoteAddress,
      ms: Math.round(ms),
    });
  }
}
