/**
 * One repository of a registry over the distribution protocol (OCI distribution-spec 1.1): manifests and blobs, in and out.
 */
import type { ByteStream } from "../base/compression.ts";
import { Fault, fault, messageOf } from "../base/errors.ts";
import { familiarName, isSha256, type Reference } from "../spec/reference.ts";
import { type Credentials, reasonOf } from "./authorization.ts";
import { type Capability, endpointsOf, type RegistrySettings } from "./endpoints.ts";
import { type Notice, Redirected, type RegistryRequest, Session } from "./session.ts";
import { BlobUpload } from "./upload.ts";

/** A manifest or an index, as the registry has it: the bytes are those that the digest is of. */
export interface Manifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

/** What is known of a blob before it is here. */
export interface BlobDescriptor {
  readonly digest: string;
  readonly size: number;
}

/** No manifest is larger (distribution-spec, "Pushing Manifests": at least 4 MiB are to be taken). */
const MANIFEST_MAX = 8 << 20;
/** After so long without a byte the rest is asked for anew. */
const SILENCE_MS = 30_000;
/** So often in a row a blob may break off without a byte more than before. */
const BREAKS_MAX = 5;
const PAGES_MAX = 1000;

const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

function digestOf(bytes: Uint8Array): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

function lying(what: string): Error {
  return fault("failed", "registry-content", what);
}

async function bounded(response: Response, most: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of (response.body ?? []) as ByteStream) {
    length += piece.length;
    if (length > most) throw lying(`the registry sends more than ${most} bytes for a manifest`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** The pieces of a body; throws when nothing has come for a while. */
async function* watched(response: Response, silent: AbortController): ByteStream {
  let alarm: ReturnType<typeof setTimeout> | undefined;
  const listen = () => {
    clearTimeout(alarm);
    alarm = setTimeout(() => silent.abort(new Error("no byte came for 30 s")), SILENCE_MS);
  };
  listen();
  try {
    for await (const piece of (response.body ?? []) as ByteStream) {
      listen();
      yield piece;
    }
  } finally {
    clearTimeout(alarm);
  }
}

/** A repository. All methods reject with Faults in Docker's words. */
export class Repository {
  /** "library/busybox" */
  readonly name: string;
  private readonly shown: string;
  private readonly sessions: readonly Session[];
  /** Endpoints that could not be reached, and are asked no more. */
  private readonly silent = new Set<Session>();

  constructor(
    private readonly reference: Reference,
    settings: RegistrySettings,
    credentials: Credentials,
    actions: "pull" | "pull,push",
    private readonly notice: Notice = () => {},
  ) {
    this.name = reference.path;
    this.shown = familiarName(reference);
    const scope = `repository:${reference.path}:${actions}`;
    this.sessions = endpointsOf(reference.domain, settings).map(
      (endpoint) => new Session(endpoint, credentials, scope, notice),
    );
  }

  /** Asks one endpoint after the other until one has what is wanted; the last one's refusal is the answer. */
  private async ask<T>(capability: Capability, work: (session: Session) => Promise<T>): Promise<T> {
    let failure: unknown = fault(
      "failed",
      "registry-endpoint",
      `no endpoint may ${capability} ${this.shown}`,
    );
    let reached = false;
    for (const session of this.sessions) {
      if (!session.endpoint.capabilities.has(capability) || this.silent.has(session)) continue;
      try {
        return await work(session);
      } catch (error) {
        if (error instanceof Redirected) throw lying(`${this.shown}: ${error.message}`);
        // Where nobody answers over plain HTTP either, what TLS has said is the reason.
        if (!isUnreachable(error) || !reached) failure = error;
        reached ||= isUnreachable(error);
        if (isUnreachable(error) && session !== this.sessions.at(-1)) this.silent.add(session);
      }
    }
    throw failure;
  }

  /** A manifest or index by tag or digest. A digest is checked. */
  async manifest(reference: string): Promise<Manifest> {
    return this.ask(isSha256(reference) ? "pull" : "resolve", async (session) => {
      const target = `/${this.name}/manifests/${reference}`;
      const response = await session.request({ target, headers: { Accept: ACCEPT } });
      if (!response.ok) throw await this.refusal(response, reference);
      this.tellQuota(response);
      const bytes = await bounded(response, MANIFEST_MAX);
      const digest = digestOf(bytes);
      const named = isSha256(reference) ? reference : response.headers.get("docker-content-digest");
      if (named !== null && isSha256(named) && named !== digest)
        throw lying(`manifest verification failed for digest ${named}: it is ${digest}`);
      const type = response.headers.get("content-type") ?? "";
      return { digest, mediaType: type.split(";")[0]?.trim() ?? "", bytes };
    });
  }

  /** Every tag, page by page. */
  async tags(): Promise<string[]> {
    return this.ask("resolve", async (session) => {
      const tags: string[] = [];
      let target: string | undefined = `/${this.name}/tags/list`;
      for (let page = 0; target !== undefined && page < PAGES_MAX; page++) {
        const response: Response = await session.request({ target });
        if (!response.ok) throw await this.refusal(response, "tags");
        const list = JSON.parse(new TextDecoder().decode(await bounded(response, MANIFEST_MAX)));
        tags.push(...((list as { tags?: string[] | null }).tags ?? []));
        const next = /<([^>]+)>;\s*rel="?next"?/.exec(response.headers.get("link") ?? "")?.[1];
        target = next === undefined ? undefined : new URL(next, session.endpoint.url).href;
      }
      return tags;
    });
  }

  private tellQuota(response: Response): void {
    const [left] = (response.headers.get("ratelimit-remaining") ?? "").split(";");
    if (left !== "" && Number(left) <= 10)
      this.notice(`The registry allows ${left} more pulls in this window`);
  }

  /** A blob from its byte `from` on; broken connections are taken up where they broke. Never more bytes than it has. */
  async *blob({ digest, size }: BlobDescriptor, from = 0, signal?: AbortSignal): ByteStream {
    let at = from;
    for (let breaks = 0; at < size; ) {
      const silent = new AbortController();
      const both = AbortSignal.any([silent.signal, ...(signal ? [signal] : [])]);
      const before = at;
      try {
        const { response, skip } = await this.open(digest, at, both);
        let ignore = skip;
        for await (const piece of watched(response, silent)) {
          const own =
            ignore >= piece.length ? piece.subarray(piece.length) : piece.subarray(ignore);
          ignore -= piece.length - own.length;
          at += own.length;
          if (at > size) throw lying(`blob ${digest} is larger than the ${size} bytes announced`);
          if (own.length > 0) yield own;
        }
        if (at < size) throw new Error(`unexpected EOF after ${at} of ${size} bytes`);
      } catch (error) {
        if (error instanceof Fault || signal?.aborted) throw error;
        breaks = at > before ? 1 : breaks + 1;
        if (breaks >= BREAKS_MAX)
          throw fault(
            "failed",
            "registry-broken",
            `${this.shown}: blob ${digest}: ${messageOf(error)}`,
            error,
          );
      }
    }
  }

  /** A blob's answer, and how many of its bytes are to be passed over. */
  private async open(
    digest: string,
    at: number,
    signal: AbortSignal,
  ): Promise<{ response: Response; skip: number }> {
    return this.ask("pull", async (session) => {
      const target = `/${this.name}/blobs/${digest}`;
      const headers: Record<string, string> = at > 0 ? { Range: `bytes=${at}-` } : {};
      const response = await session.request({ target, headers, signal });
      if (!response.ok) throw await this.refusal(response, digest);
      if (response.status !== 206) return { response, skip: at };
      const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
      if (Number(start) !== at)
        throw lying(`blob ${digest}: the registry sends from byte ${start}, not from ${at}`);
      return { response, skip: 0 };
    });
  }

  /** Sends a request that writes, to the first endpoint that can be reached. */
  private async write(request: RegistryRequest): Promise<Response> {
    return this.ask("push", (session) => session.request(request));
  }

  async hasBlob(digest: string): Promise<boolean> {
    const target = `/${this.name}/blobs/${digest}`;
    const response = await this.write({ method: "HEAD", target });
    if (response.ok) return true;
    if (response.status === 404) return false;
    throw await this.refusal(response, digest, "push");
  }

  /**
   * Takes a blob over from another repository of the same registry, when that has it. What comes back is where to send the
   * blob otherwise; undefined when it is there now.
   */
  async beginUpload(digest: string, from?: string): Promise<BlobUpload | undefined> {
    const mount = from === undefined ? "" : `?${new URLSearchParams({ mount: digest, from })}`;
    const target = `/${this.name}/blobs/uploads/${mount}`;
    return this.ask("push", async (session) => {
      const response = await session.request({ method: "POST", target });
      if (response.status === 201) return undefined;
      const location = response.headers.get("location");
      if (response.status !== 202 || location === null)
        throw await this.refusal(response, digest, "push");
      const url = new URL(location, `${session.endpoint.url}/`).href;
      return new BlobUpload(session, url, (answer) => this.refusal(answer, digest, "push"));
    });
  }

  /** Stores a manifest under a tag or its digest. */
  async putManifest(reference: string, { mediaType, bytes }: Manifest): Promise<void> {
    const target = `/${this.name}/manifests/${reference}`;
    const headers = { "Content-Type": mediaType };
    const response = await this.write({
      method: "PUT",
      target,
      headers,
      body: () => bytes.slice(),
    });
    if (!response.ok) throw await this.refusal(response, reference, "push");
    await response.body?.cancel();
  }

  /** What a registry's refusal means, in Docker's words. */
  private async refusal(response: Response, what: string, doing = "pull"): Promise<Error> {
    const reason = await reasonOf(response);
    const { status } = response;
    if (status === 401 || status === 403)
      return doing === "push"
        ? fault("forbidden", "registry-denied", `push access denied for ${this.shown}: ${reason}`)
        : fault(
            "not-found",
            "registry-denied",
            `pull access denied for ${this.shown}, repository does not exist or may require 'docker login': ${reason}`,
          );
    if (status === 429)
      return fault(
        "unavailable",
        "registry-busy",
        `toomanyrequests: ${reason}; log in, use a mirror (certs.d), or try again later`,
      );
    if (status === 404 && doing === "pull") {
      const named = isSha256(what) ? `${this.shown}@${what}` : `${this.shown}:${what}`;
      return fault("not-found", "manifest-unknown", `manifest for ${named} not found: ${reason}`);
    }
    return fault(
      "failed",
      "registry-answer",
      `${this.reference.domain}: unexpected status ${status}: ${reason}`,
    );
  }
}

function isUnreachable(error: unknown): boolean {
  return error instanceof Fault && error.code === "registry-unreachable";
}
