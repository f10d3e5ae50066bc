/**
 * What stands before the routes where an administrator wants it: who asks, whether plugins allow it, and a note of what came of
 * it. Without any of that no request passes here.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { type Duplex, Readable } from "node:stream";
import { Fault, fault } from "../base/errors.ts";
import { readBody } from "./request.ts";
import type { Reply } from "./route.ts";

/** Who asks. */
export interface Peer {
  /** The name in a client's certificate; "" for others. */
  readonly user: string;
  readonly method: "" | "TLS";
  /** Of a Unix socket, as the kernel says it. */
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  /** Of a TCP connection. */
  readonly address?: string;
}

/** A request as plugins see it. */
export interface Question {
  readonly peer: Peer;
  readonly method: string;
  readonly uri: string;
  readonly headers: Readonly<Record<string, string>>;
  /** undefined: the body is no document, and no handler reads it as one. */
  readonly body: Uint8Array | undefined;
}

/** Decides. Both reject with a Fault for what is not allowed, and when nobody can be asked. */
export interface Authorization {
  request(question: Question): Promise<void>;
  response(question: Question, reply: Reply): Promise<void>;
}

/** What is noted of a request. */
export interface AuditEntry {
  readonly peer: Peer;
  readonly method: string;
  readonly uri: string;
  readonly status: number;
  readonly milliseconds: number;
}

/** What an administrator wants to stand before the routes. */
export interface Gate {
  readonly peerOf: (socket: Duplex) => Peer;
  readonly authorization?: Authorization | undefined;
  readonly audit?: ((entry: AuditEntry) => void) | undefined;
  /** Is told of what the policy of a daemon's guard does not allow. */
  readonly refused?: ((peer: Peer, refusal: Fault) => void) | undefined;
}

/** As Docker has it: plugins see bodies of up to a megabyte. What is larger is refused, and not passed on unseen (CVE-2024-41110). */
const SHOWN_MAX = 1 << 20;
const isDocument = /^\s*application\/json\s*(;|$)/i;
/** Docker keeps the first two from plugins, too: they are credentials of registries. The third has a build's secrets. */
const isSecret = /^(x-registry-(auth|config)|x-berth-secrets|authorization|proxy-authorization)$/;
/** A password stands in it, which is nobody's but the registry's; it does nothing else. */
const isLogin = /^(\/v\d+\.\d+)?\/auth(\?|$)/;

function headersOf(request: IncomingMessage): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined && !isSecret.test(name)) shown[name] = [value].flat().join(", ");
  return shown;
}

/** A request whose body has been read already: whoever reads it gets the same bytes. */
function replayed(request: IncomingMessage, body: Uint8Array): IncomingMessage {
  const { headers, rawHeaders, method, url, socket, httpVersion } = request;
  const replay = Readable.from(body.length === 0 ? [] : [body], { objectMode: false });
  const facts = { headers, rawHeaders, method, url, socket, httpVersion, complete: true };
  // Of an IncomingMessage the routes use its stream and these.
  return Object.assign(replay, facts) as unknown as IncomingMessage;
}

/** One request on its way through. */
export class Passage {
  private readonly peer: Peer;
  private readonly began = performance.now();
  private question: Question | undefined;

  constructor(
    private readonly gate: Gate,
    private readonly asked: IncomingMessage,
    socket: Duplex,
  ) {
    this.peer = gate.peerOf(socket);
  }

  /** Asks the plugins. Gives the request to go on with. Rejects with a Fault. */
  async admit(): Promise<IncomingMessage> {
    const { asked, peer } = this;
    const { authorization } = this.gate;
    if (authorization === undefined) return asked;
    const { method = "GET", url: uri = "/" } = asked;
    const shown = isDocument.test(asked.headers["content-type"] ?? "") && !isLogin.test(uri);
    const body = shown ? await readBody(asked, SHOWN_MAX) : undefined;
    this.question = { peer, method, uri, headers: headersOf(asked), body };
    await authorization.request(this.question);
    return body === undefined ? asked : replayed(asked, body);
  }

  /** Shows the plugins an answer before its client has it. Rejects with a Fault. */
  async release(reply: Reply): Promise<void> {
    const { question } = this;
    if (question === undefined) return;
    // What a registry answers to a login may be a token.
    const shown = isLogin.test(question.uri) ? { ...reply, json: undefined } : reply;
    await this.gate.authorization?.response(question, shown);
  }

  /** Tells of what has gone wrong, where somebody wants to know that. */
  failed(error: unknown): void {
    if (error instanceof Fault && error.code === "guarded") this.gate.refused?.(this.peer, error);
  }

  /** Notes what has come of it. */
  note(status: number): void {
    const { method = "GET", url: uri = "/" } = this.asked;
    const milliseconds = Math.round(performance.now() - this.began);
    this.gate.audit?.({ peer: this.peer, method, uri, status, milliseconds });
  }
}

/** As many lines as a head may have; where Bun accepts connections itself, it takes fewer. */
const LINES_MAX = 200;

/**
 * Throws a Fault "invalid" for a head that two readers could read as two requests, or that is too long. Most of that Bun's parsers
 * refuse; one takes a coding beside "chunked", and the first of several hosts, the other heads without a host, and any number of lines.
 */
export function checkHead(
  { headers, rawHeaders, httpVersion }: IncomingMessage,
  response: ServerResponse,
): void {
  const coding = headers["transfer-encoding"];
  if (rawHeaders.length > 2 * LINES_MAX) {
    response.shouldKeepAlive = false;
    throw fault("invalid", "head-lines", `the request's head has more than ${LINES_MAX} lines`);
  }
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.length === 4 && rawHeaders[at]?.toLowerCase() === "host") hosts++;
  const isNamed = hosts === 1 || (hosts === 0 && httpVersion === "1.0");
  if (isNamed && (coding === undefined || coding.toLowerCase() === "chunked")) return;
  // What comes behind it may be its body, or not.
  response.shouldKeepAlive = false;
  throw fault("invalid", "ambiguous-head", "the request's head can be read in two ways");
}

/** What stands for itself in an address, written as something else. */
const NEEDLESS_CODE = /%(3\d|[46][1-9a-f]|[57][0-9a]|2[de]|5f)/i;

/**
 * Throws a Fault "invalid" for a request's target that has another spelling: an address in front, a fragment behind, letters as
 * codes. Plugins decide by what stands in it, so that each place has one.
 */
export function checkTarget(url: string): void {
  const [path = ""] = url.split("?", 1);
  if (path.startsWith("/") && !url.includes("#") && !NEEDLESS_CODE.test(path)) return;
  throw fault("invalid", "bad-path", "the request's path is not well-formed");
}

/** Whether nobody but this host and its network can have given a name its address: it is one, or has no dots. */
function isOwnName(name: string): boolean {
  return isIP(name.replace(/^\[|\]$/g, "")) !== 0 || !name.includes(".") || name === hostname();
}

/**
 * Throws a Fault "forbidden" for what a page in somebody's browser asks over TCP: browsers send such requests to any address on behalf
 * of any page, and only keep the answer from it; a page whose name has come to lead here is not even kept from that. Proxies
 * of a web interface send what browsers have asked them, and say so in a line that pages cannot send elsewhere.
 */
export function checkOrigin({ headers, socket }: IncomingMessage): void {
  const { origin, host = "" } = headers;
  if (origin === undefined || !socket.remoteAddress) return;
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : ".";
  const isOwn = URL.canParse(origin) && new URL(origin).host === host;
  if (isOwnName(name) && (isOwn || headers["x-forwarded-for"] !== undefined)) return;
  throw fault(
    "forbidden",
    "cross-origin",
    `a page of ${origin.slice(0, 200)} has asked for this, and not a program: pages of other servers may not use this API`,
  );
}
