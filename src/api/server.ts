/**
 * The HTTP server: versions, routing, errors, and taking connections over.
 */
import { createServer, type IncomingMessage, type Server, ServerResponse } from "node:http";
import type { Server as NetServer, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer } from "node:tls";
import findMyWay from "find-my-way";
import { errnoOf, fault } from "../base/errors.ts";
import { checkHead, checkOrigin, checkTarget, type Gate, Passage } from "./gate.ts";
import { HeadPatience } from "./head-patience.ts";
import { hijackResponse, hijackSocket } from "./hijack.ts";
import type { ApiPorts } from "./ports.ts";
import { jsonBody, readBody } from "./request.ts";
import type { Context, Reply, Route } from "./route.ts";
import { buildRoutes } from "./routes/build.ts";
import { buildMountRoutes } from "./routes/build-mounts.ts";
import { containerRoutes } from "./routes/containers.ts";
import { diskRoutes } from "./routes/disk.ts";
import { imageRoutes } from "./routes/images.ts";
import { laterRoutes } from "./routes/later.ts";
import { networkRoutes } from "./routes/networks.ts";
import { ownRegistryRoutes } from "./routes/own-registry.ts";
import { registryRoutes } from "./routes/registry.ts";
import { securityRoutes } from "./routes/security.ts";
import { streamRoutes } from "./routes/streams.ts";
import { swarmRoutes } from "./routes/swarm.ts";
import { systemRoutes } from "./routes/system.ts";
import { volumeCopyRoutes } from "./routes/volume-copies.ts";
import { statusOf } from "./status.ts";
import { separateBody } from "./upgrade-body.ts";
import { streamType } from "./versions.ts";
import { hijackWebSocket, noWebSocket, webSocketAcceptance } from "./websocket.ts";

/** The newest API version that is spoken, and the oldest. */
export const API_VERSION = "1.51";
/** The oldest API version that is spoken. */
export const MIN_API_VERSION = "1.24";

const pingRoutes: readonly Route[] = (["GET", "HEAD"] as const).map((method) => ({
  method,
  path: "/_ping",
  handle({ response }) {
    response.writeHead(200, {
      "Content-Type": "text/plain; charset=utf-8",
      "Cache-Control": "no-cache, no-store, must-revalidate",
      Pragma: "no-cache",
      "Builder-Version": "1",
      "Docker-Experimental": "false",
      Swarm: "inactive",
    });
    response.end(method === "HEAD" ? undefined : "OK");
    return undefined;
  },
}));

/** Everything that is answered. */
export const routes: readonly Route[] = [
  ...pingRoutes,
  ...containerRoutes,
  ...streamRoutes,
  ...imageRoutes,
  ...systemRoutes,
  ...volumeCopyRoutes,
  ...networkRoutes,
  ...swarmRoutes,
  ...buildRoutes,
  ...buildMountRoutes,
  ...laterRoutes,
  ...diskRoutes,
  ...securityRoutes,
  ...registryRoutes,
  ...ownRegistryRoutes,
];

/** The status that is noted for a client that has not waited for an answer: others' servers, too, note that. */
const CLIENT_GONE = 499;
const NEWEST_MINOR = Number(API_VERSION.slice(2));

function checkVersion(path: string): { path: string; minor: number } {
  const match = /^\/v(\d+)\.(\d+)(\/.*)$/.exec(path);
  if (match === null) return { path, minor: NEWEST_MINOR };
  const [, major = "", minor = "", rest = "/"] = match;
  const version = `${major}.${minor}`;
  const number = Number(major) * 1000 + Number(minor);
  if (number > 1000 + NEWEST_MINOR)
    throw fault(
      "invalid",
      "version-new",
      `client version ${version} is too new. Maximum supported API version is ${API_VERSION}`,
    );
  if (number < 1024)
    throw fault(
      "invalid",
      "version-old",
      `client version ${version} is too old. Minimum supported API version is ${MIN_API_VERSION}, please upgrade your client to a newer version`,
    );
  return { path: rest, minor: number - 1000 };
}

/** A connection that asked for an upgrade. It is taken over, or answered as if it had not asked. */
class Upgrade {
  private use: "none" | "taken" | "answered" = "none";

  /** `head`: what has been read of the socket. */
  constructor(
    readonly socket: Duplex,
    readonly head: Uint8Array,
  ) {}

  /** The socket carries something other than HTTP by now. */
  get taken(): boolean {
    return this.use === "taken";
  }

  /** The socket, free of HTTP. */
  take(): Duplex {
    this.use = "taken";
    return this.socket;
  }

  /** Joins the answer with the socket. Not before it is needed: a socket that has had an answer tells nobody of its end. */
  answerWith(response: ServerResponse): ServerResponse {
    if (this.use !== "none") return response;
    this.use = "answered";
    response.shouldKeepAlive = false;
    response.assignSocket(this.socket as Socket);
    response.once("finish", () => this.socket.end());
    return response;
  }
}

/** Tells of the end of a connection by a signal, which is made when somebody asks for it: few do, and it costs. */
class Closing {
  private closed = false;
  private abort: AbortController | undefined;

  constructor(response: ServerResponse, socket: Duplex | undefined) {
    const close = () => {
      this.closed = true;
      this.abort?.abort();
    };
    response.on("close", close);
    socket?.on("close", close);
  }

  get signal(): AbortSignal {
    if (this.abort === undefined) {
      this.abort = new AbortController();
      if (this.closed) this.abort.abort();
    }
    return this.abort.signal;
  }
}

/**
 * Who went in the middle of a request wants no answer to it, and work that has ended for that is no bug: nothing else lets
 * the signal of a request go off.
 */
function clientHasGone(error: unknown, request: IncomingMessage): boolean {
  if (errnoOf(error) === "ECONNRESET") return !request.complete;
  if (!(error instanceof Error)) return false;
  // Bun's for a body that breaks off has neither name nor code.
  return error.name === "AbortError" || error.message === "The operation was aborted.";
}

function send(response: ServerResponse, reply: Reply): void {
  if (response.headersSent) return;
  if (reply.json === undefined || reply.status === 204 || reply.status === 304) {
    response.writeHead(reply.status, { "Content-Length": "0" });
    response.end();
    return;
  }
  const text = `${JSON.stringify(reply.json)}\n`;
  response.writeHead(reply.status, {
    "Content-Type": "application/json",
    "Content-Length": String(Buffer.byteLength(text)),
  });
  response.end(text);
}

/** A certificate, its key, and whose clients are let in (undefined: everybody's); PEM. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  readonly clients: string | undefined;
}

/** A head that has not come by then is answered with 408; looked at twice a minute. */
const HEAD_PATIENCE_MS = 60_000;

/**
 * Bun's HTTPS server does not say whose certificate a client has shown; its TLS server does, and hands each connection over.
 */
function tlsServer({ cert, key, clients }: ServerTls, arrived: (socket: Socket) => void) {
  const checked = { ca: clients, requestCert: true, rejectUnauthorized: true };
  const server = createTlsServer(
    {
      ...{ cert, key, allowHalfOpen: true, handshakeTimeout: HEAD_PATIENCE_MS },
      ...(clients === undefined ? {} : checked),
    },
    arrived,
  );
  // Strangers, and who says nothing.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  return server;
}

/** The API over some ports. */
export class ApiServer {
  private readonly router = findMyWay({ maxParamLength: 4096 });
  readonly http: Server;
  /** What listens for it. */
  readonly listener: NetServer;
  /** Requests that are being answered, for a daemon that wants to go when idle. */
  active = 0;
  private readonly accepted = new WeakSet<Duplex>();
  /** Connections on which a head could be read in two ways: what comes behind it is nobody's request. */
  private readonly spoilt = new WeakSet<Duplex>();
  private readonly patience = new HeadPatience(HEAD_PATIENCE_MS);
  /** Requests since the start. */
  requests = 0;

  constructor(
    private readonly ports: ApiPorts,
    version: string,
    tls: ServerTls | undefined,
    /** Undefined: nobody is asked, and nothing noted. */
    private readonly gate?: Gate,
  ) {
    for (const route of routes) this.router.on(route.method, route.path, () => {}, route);
    const serverHeader = `Berth/${version} (linux)`;
    const prepare = (response: ServerResponse) => {
      response.setHeader("Api-Version", API_VERSION);
      response.setHeader("Ostype", "linux");
      response.setHeader("Server", serverHeader);
    };
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      prepare(response);
      if (this.spoilt.has(request.socket)) return void request.socket.destroy();
      if (this.accepted.has(request.socket)) this.patience.request(request.socket, response);
      void this.answer(request, response, undefined);
    };
    this.http = createServer(answer);
    this.listener = tls === undefined ? this.http : tlsServer(tls, (socket) => this.accept(socket));
    this.http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Uint8Array) => {
      socket.on("error", () => {});
      if (this.spoilt.has(socket)) return void socket.destroy();
      this.patience.heard(socket);
      const response = new ServerResponse(request);
      prepare(response);
      if (this.accepted.has(socket)) void this.answerAccepted(request, response, socket, head);
      else void this.answer(request, response, new Upgrade(socket, head));
    });
    this.http.keepAliveTimeout = 60_000;
    this.http.requestTimeout = 0;
    this.http.headersTimeout = HEAD_PATIENCE_MS;
  }

  /** Serves a connection that something else has accepted. */
  accept(socket: Socket): void {
    this.accepted.add(socket);
    this.patience.begin(socket);
    this.http.emit("connection", socket);
  }

  /** Nobody else is let in; who is here is served to the end. */
  close(): void {
    this.listener.close();
    this.http.close();
  }

  private async answerAccepted(
    request: IncomingMessage,
    response: ServerResponse,
    socket: Duplex,
    head: Uint8Array,
  ): Promise<void> {
    try {
      const separate = await separateBody(request, socket, head);
      await this.answer(separate.request, response, new Upgrade(socket, separate.head));
    } catch (error) {
      if (errnoOf(error) === "ECONNRESET") return;
      const { status, message } = statusOf(error, `${request.method} ${request.url}`);
      send(new Upgrade(socket, head).answerWith(response), { status, json: { message } });
    }
  }

  private async answer(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: Upgrade | undefined,
  ): Promise<void> {
    this.active++;
    this.requests++;
    const passage = this.gate && new Passage(this.gate, request, upgrade?.socket ?? request.socket);
    try {
      this.checkHead(request, response);
      checkOrigin(request);
      const admitted = passage === undefined ? request : await passage.admit();
      const reply = await this.route(admitted, response, upgrade);
      if (reply !== undefined) await passage?.release(reply);
      passage?.note(reply?.status ?? (upgrade?.taken ? 101 : response.statusCode));
      if (reply !== undefined) send(upgrade?.answerWith(response) ?? response, reply);
    } catch (error) {
      if (clientHasGone(error, request)) return passage?.note(CLIENT_GONE);
      const { status, message } = statusOf(error, `${request.method} ${request.url}`);
      passage?.failed(error);
      passage?.note(status);
      if (upgrade?.taken) upgrade.socket.destroy();
      else if (response.headersSent) response.destroy();
      else
        send(
          upgrade?.answerWith(response) ?? response,
          status === 304 ? { status } : { status, json: { message } },
        );
    } finally {
      this.active--;
    }
  }

  /** Throws a Fault "invalid", and nothing more is read from the connection. */
  private checkHead(request: IncomingMessage, response: ServerResponse): void {
    try {
      checkHead(request, response);
    } catch (error) {
      const { socket } = request;
      // Where Bun's server has accepted the connection itself, it ends it.
      if (this.accepted.has(socket)) response.once("finish", () => socket.end());
      this.spoilt.add(socket);
      throw error;
    }
  }

  private async route(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: Upgrade | undefined,
  ): Promise<Reply | undefined> {
    const url = request.url ?? "/";
    checkTarget(url);
    const mark = url.indexOf("?");
    const { path, minor } = checkVersion(mark < 0 ? url : url.slice(0, mark));
    let found: ReturnType<typeof this.router.find>;
    try {
      found = this.router.find((request.method ?? "GET") as "GET", path);
    } catch {
      throw fault("invalid", "bad-path", "the request's path is not well-formed");
    }
    // dockerd answers it for every path, for browsers that ask before they send.
    if (request.method === "OPTIONS") return { status: 200 };
    if (found === null) throw fault("not-found", "no-such-page", "page not found");
    const closing = new Closing(response, upgrade?.socket);
    const context: Context = {
      version: minor,
      params: decoded(found.params),
      query: new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)),
      request,
      get response() {
        return upgrade?.answerWith(response) ?? response;
      },
      get signal() {
        return closing.signal;
      },
      // Bun gives the body to the request even when the connection is to be taken over.
      body: () => readBody(request),
      json: (schema, options) => jsonBody(request, schema, options?.required ?? false),
      hijack: (tty) =>
        upgrade === undefined
          ? hijackResponse(request, response, streamType(minor, tty))
          : hijackSocket(upgrade.take(), upgrade.head, streamType(minor, tty)),
      hijackWebSocket: (tty) => {
        const accept = webSocketAcceptance(request.headers);
        if (upgrade === undefined) throw noWebSocket();
        return hijackWebSocket(upgrade.take(), upgrade.head, accept, tty);
      },
    };
    return (found.store as Route).handle(context, this.ports);
  }
}

function decoded(params: Record<string, string | undefined>): Record<string, string | undefined> {
  for (const value of Object.values(params))
    if (value?.includes("\0")) throw fault("invalid", "nul-byte", "a name has a NUL byte");
  return params;
}
