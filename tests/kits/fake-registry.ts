/**
 * A registry in memory that answers as it should, unless it is told to lie: one repository with one image, pushes, tags,
 * ranges. What it was asked is written down.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

/** A request as it came. */
export interface Asked {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** Answers instead of the registry; false leaves the request to it. */
export type Lie = (request: Asked, response: ServerResponse, registry: FakeRegistry) => boolean;

/** A document or a layer. */
export interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const BODY_MAX = 4096;

/** The sha256 digest of some bytes. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of request) pieces.push(piece as Uint8Array);
  return Buffer.concat(pieces);
}

/** The registry. Its repository is "app", whatever name is asked for. */
export class FakeRegistry {
  readonly asked: Asked[] = [];
  readonly blobs = new Map<string, Uint8Array>();
  readonly manifests = new Map<string, { mediaType: string; bytes: Uint8Array }>();
  lie: Lie = () => false;
  /** Whatever it waits for ends with it. */
  private readonly timers = new Set<ReturnType<typeof setInterval>>();
  private uploads = 0;
  private readonly parts = new Map<string, Buffer>();
  private readonly server;

  /** `tls`: its own certificate, and whose certificates it wants of clients. */
  constructor(tls?: { readonly cert: string; readonly key: string; readonly clients?: string }) {
    const listen = (request: IncomingMessage, response: ServerResponse) => {
      this.answer(request, response).catch(() => response.destroy());
    };
    const { clients, ...own } = tls ?? {};
    const wanting = clients && { ca: clients, requestCert: true, rejectUnauthorized: true };
    this.server =
      tls === undefined ? createServer(listen) : createTlsServer({ ...own, ...wanting }, listen);
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** "127.0.0.1:PORT" */
  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Does something every few milliseconds until the registry is stopped. */
  every(ms: number, work: () => void): void {
    this.timers.add(setInterval(work, ms));
  }

  blob(bytes: Uint8Array | string, mediaType: string): Blob {
    const plain = Buffer.from(bytes);
    const digest = digestOf(plain);
    this.blobs.set(digest, plain);
    return { mediaType, digest, size: plain.length };
  }

  /** Has a document under its digest, and under a tag. */
  document(value: unknown, mediaType: string, tag?: string): Blob {
    const bytes = Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
    const digest = digestOf(bytes);
    for (const name of [digest, ...(tag === undefined ? [] : [tag])])
      this.manifests.set(name, { mediaType, bytes });
    return { mediaType, digest, size: bytes.length };
  }

  /** Has an image of one layer, a tar that is not compressed. */
  image(tar: Uint8Array, tag?: string, platform: object = {}): Blob {
    const layer = this.blob(tar, "application/vnd.oci.image.layer.v1.tar");
    const config = {
      architecture: "amd64",
      os: "linux",
      ...platform,
      config: {},
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    };
    const configBlob = this.blob(
      JSON.stringify(config),
      "application/vnd.oci.image.config.v1+json",
    );
    const manifest = { schemaVersion: 2, mediaType: MANIFEST, config: configBlob, layers: [layer] };
    return this.document(manifest, MANIFEST, tag);
  }

  /** Has an index. */
  index(manifests: readonly object[], tag?: string): Blob {
    return this.document({ schemaVersion: 2, mediaType: INDEX, manifests }, INDEX, tag);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    const { method = "GET", url: path = "/", headers } = request;
    const asked = { method, path, headers, body: body.toString("latin1").slice(0, BODY_MAX) };
    this.asked.push(asked);
    if (this.lie(asked, response, this)) return;
    const { pathname, searchParams } = new URL(path, "http://x");
    if (pathname === "/v2/") response.end("{}");
    else if (pathname.includes("/blobs/uploads/"))
      this.upload(method, pathname, searchParams, body, response);
    else if (/\/blobs\/sha256:\w+$/.test(pathname)) this.sendBlob(asked, response);
    else if (/\/manifests\/[^/]+$/.test(pathname)) this.manifest(asked, body, response);
    else if (pathname.endsWith("/tags/list"))
      response.end(JSON.stringify({ name: "app", tags: this.tags() }));
    else this.unknown(response);
  }

  private tags(): string[] {
    return [...this.manifests.keys()].filter((name) => !name.includes(":"));
  }

  private unknown(response: ServerResponse, code = "MANIFEST_UNKNOWN"): void {
    const message = code.toLowerCase().replace("_", " ");
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ errors: [{ code, message }] }));
  }

  private manifest(asked: Asked, body: Buffer, response: ServerResponse): void {
    const name = decodeURIComponent(asked.path.replace(/^.*\//, "").replace(/\?.*$/, ""));
    if (asked.method === "PUT") {
      const mediaType = asked.headers["content-type"] ?? "";
      this.document(body.toString(), mediaType, name);
      response.writeHead(201, { location: asked.path, "docker-content-digest": digestOf(body) });
      response.end();
      return;
    }
    const found = this.manifests.get(name);
    if (found === undefined) {
      this.unknown(response);
      return;
    }
    response.writeHead(200, {
      "content-type": found.mediaType,
      "content-length": found.bytes.length,
      "docker-content-digest": digestOf(found.bytes),
    });
    response.end(asked.method === "HEAD" ? undefined : found.bytes);
  }

  /** Sends a blob, or the part of it that is asked for. */
  sendBlob(asked: Asked, response: ServerResponse): void {
    const bytes = this.blobs.get(/sha256:\w+/.exec(asked.path)?.[0] ?? "");
    if (bytes === undefined) {
      this.unknown(response, "BLOB_UNKNOWN");
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(asked.headers.range ?? "")?.[1] ?? 0);
    const head = { "content-length": bytes.length - from };
    if (from === 0) response.writeHead(200, head);
    else {
      const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
      response.writeHead(206, { ...head, "content-range": range });
    }
    response.end(asked.method === "HEAD" ? undefined : bytes.subarray(from));
  }

  private upload(
    method: string,
    pathname: string,
    query: URLSearchParams,
    body: Buffer,
    response: ServerResponse,
  ): void {
    if (method === "POST") {
      const mounted = this.blobs.has(query.get("mount") ?? "");
      const id = `${pathname}${++this.uploads}`;
      if (!mounted) this.parts.set(id, Buffer.alloc(0));
      response.writeHead(mounted ? 201 : 202, { location: id });
    } else if (method === "GET")
      response.writeHead(204, { location: pathname, range: this.rangeOf(pathname) });
    else {
      const whole = Buffer.concat([this.parts.get(pathname) ?? Buffer.alloc(0), body]);
      this.parts.set(pathname, whole);
      const digest = query.get("digest");
      if (method === "PATCH")
        response.writeHead(202, { location: pathname, range: this.rangeOf(pathname) });
      else if (digest !== digestOf(whole)) response.writeHead(400);
      else {
        this.blobs.set(digest, whole);
        response.writeHead(201, { location: `/v2/app/blobs/${digest}` });
      }
    }
    response.end();
  }

  private rangeOf(pathname: string): string {
    return `0-${Math.max((this.parts.get(pathname)?.length ?? 0) - 1, 0)}`;
  }
}
