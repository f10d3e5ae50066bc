/**
 * One repository of a registry over the distribution protocol (OCI distribution-spec 1.1): manifests and blobs, in and out.
 */

import type { ByteStream } from "../base/compression.ts";
import { digestOf } from "../base/digest.ts";
import { Fault, fault, messageOf } from "../base/errors.ts";
import { familiarName, isSha256, isTag, type Reference } from "../spec/reference.ts";
import { readAhead } from "./ahead.ts";
import { anonymous, type Credentials } from "./authorization.ts";
import {
  DOCUMENT_MAX,
  documentOf,
  jsonObject,
  type Patience,
  patient,
  Watch,
  watched,
} from "./body.ts";
import { type Endpoint, findEndpoints, type RegistrySettings } from "./endpoints.ts";
import {
  parseContentRange,
  parseMediaType,
  parseNextLink,
  parseRateLimit,
  parseRetryAfter,
} from "./headers.ts";
import type { Capability } from "./hosts-file.ts";
import { dropBody, type Notice, Session, waitText } from "./session.ts";
import { ledTo } from "./targets.ts";
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

/** A manifest that refers to another (OCI 1.1). */
export interface Referrer {
  readonly digest: string;
  readonly artifactType: string | undefined;
}

/** Some of a blob's bytes: from `from` up to `to`. */
interface BlobPart extends BlobDescriptor {
  readonly from: number;
  readonly to: number;
}

/** So often in a row a blob may break off without PROGRESS more bytes than before. */
const BREAKS_MAX = 5;
const PROGRESS = 64 * 1024;
const PAGES_MAX = 1000;
const REFERRER_PAGES_MAX = 20;
const TAGS_MAX = 100_000;
/** Below so many left pulls one is told of them. */
const FEW = 10;

const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

function lying(what: string): Error {
  return fault("failed", "registry-content", what);
}

/** Where a list goes on; undefined: it does not. Throws a Fault when that is another host. */
function nextPage(response: Response, session: Session, what: string): string | undefined {
  const next = parseNextLink(response.headers.get("link"));
  if (next === undefined) return undefined;
  const home = new URL(session.endpoint.url);
  const target = ledTo(next, home);
  if (target.origin !== home.origin) throw lying(`${what} go on at another host`);
  return target.href;
}

function referrersIn(bytes: Uint8Array, what: string): Referrer[] {
  const list = jsonObject(bytes)?.manifests;
  if (!Array.isArray(list)) throw lying(`${what}: this is no list`);
  return (list as unknown[]).flatMap((one) => {
    const { digest, artifactType } = (one ?? {}) as { digest?: unknown; artifactType?: unknown };
    if (typeof digest !== "string" || !isSha256(digest)) return [];
    return { digest, artifactType: typeof artifactType === "string" ? artifactType : undefined };
  });
}

/** A repository. All methods reject with Faults in Docker's words. */
export class Repository {
  /** "library/busybox" */
  readonly name: string;
  private readonly shown: string;
  private readonly sessions: Promise<readonly Session[]>;
  private readonly patience: Patience;
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
    this.patience = settings.patience ?? patient;
    const scope = `repository:${reference.path}:${actions}`;
    const { patience } = this;
    const sessionOf = (endpoint: Endpoint) => {
      // A mirror is another host, and has no claim to what the registry was told.
      const own = endpoint.own ? credentials : anonymous;
      return new Session(endpoint, { credentials: own, scope, patience, notice });
    };
    const found = findEndpoints(reference.domain, settings);
    this.sessions = found.then((endpoints) => endpoints.map(sessionOf));
    // Whoever asks hears of it.
    this.sessions.catch(() => {});
  }

  /**
   * Asks one endpoint after the other until one has what is wanted; the last one's refusal is the answer. Those that have
   * failed already are passed over while there are others.
   */
  private async ask<T>(
    capability: Capability,
    work: (session: Session) => Promise<T>,
    failed: ReadonlySet<Session> = new Set(),
  ): Promise<T> {
    let failure: unknown = fault(
      "failed",
      "registry-endpoint",
      `no endpoint may ${capability} ${this.shown}`,
    );
    const asked = new Map<string, "answered" | "silent">();
    const sessions = await this.sessions;
    const able = sessions.filter(({ endpoint }) => endpoint.capabilities.has(capability));
    const fresh = able.filter((one) => !failed.has(one) && !this.silent.has(one));
    for (const session of fresh.length > 0 ? fresh : able.slice(-1)) {
      const { host } = new URL(session.endpoint.url);
      // Whoever speaks TLS is not asked without.
      if (asked.get(host) === "answered") continue;
      try {
        return await work(session);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        // Where nobody answers over plain HTTP either, what TLS has said is the reason.
        if (!isUnreachable(error) || !asked.has(host)) failure = error;
        asked.set(host, isUnreachable(error) ? "silent" : "answered");
        if (isUnreachable(error) && session !== sessions.at(-1)) this.silent.add(session);
      }
    }
    throw failure;
  }

  /** A manifest or index by tag or digest. A digest is checked. */
  async manifest(reference: string, signal?: AbortSignal): Promise<Manifest> {
    if (reference.includes(":") && !isSha256(reference))
      throw fault("unsupported", "digest-algorithm", `unsupported digest algorithm: ${reference}`);
    return this.ask(isSha256(reference) ? "pull" : "resolve", async (session) => {
      const target = `/${this.name}/manifests/${reference}`;
      const response = await session.request({ target, headers: { Accept: ACCEPT }, signal });
      if (!response.ok) throw await this.refusal(session, response, reference);
      this.tellQuota(response);
      const what = `the manifest of ${this.shown}`;
      const bytes = await documentOf(response, what, DOCUMENT_MAX, this.patience);
      const digest = digestOf(bytes);
      const named = isSha256(reference) ? reference : response.headers.get("docker-content-digest");
      if (named !== null && isSha256(named) && named !== digest)
        throw lying(`manifest verification failed for digest ${named}: it is ${digest}`);
      return { digest, mediaType: parseMediaType(response.headers.get("content-type")), bytes };
    });
  }

  /** What a tag leads to, without fetching it; undefined when the registry does not say. */
  async digestOf(tag: string): Promise<string | undefined> {
    return this.ask("resolve", async (session) => {
      const target = `/${this.name}/manifests/${tag}`;
      const response = await session.request({
        method: "HEAD",
        target,
        headers: { Accept: ACCEPT },
      });
      if (!response.ok) throw await this.refusal(session, response, tag);
      const digest = response.headers.get("docker-content-digest");
      return digest !== null && isSha256(digest) ? digest : undefined;
    });
  }

  /** The bytes of a blob that the registry has; undefined when it does not have it. */
  async blobSize(digest: string): Promise<number | undefined> {
    return this.ask("pull", async (session) => {
      const target = `/${this.name}/blobs/${digest}`;
      const response = await session.request({ method: "HEAD", target });
      if (response.status === 404) return undefined;
      if (!response.ok) throw await this.refusal(session, response, digest);
      const size = Number(response.headers.get("content-length") ?? Number.NaN);
      return Number.isSafeInteger(size) ? size : undefined;
    });
  }

  /**
   * What refers to a manifest, from the registry's own list, or where it has none from the index under the tag that stands in
   * for it.
   */
  async referrers(digest: string, signal?: AbortSignal): Promise<Referrer[]> {
    const listed = await this.ask("resolve", async (session) => {
      const found: Referrer[] = [];
      let target: string | undefined = `/${this.name}/referrers/${digest}`;
      for (let page = 0; target !== undefined && page < REFERRER_PAGES_MAX; page++) {
        const response: Response = await session.request({ target, signal });
        if (response.status === 404 && page === 0) return dropBody(response);
        if (!response.ok) throw await this.refusal(session, response, digest);
        const what = `the referrers of ${this.shown}`;
        const bytes = await documentOf(response, what, DOCUMENT_MAX, this.patience);
        found.push(...referrersIn(bytes, what));
        target = nextPage(response, session, what);
      }
      return found;
    });
    if (listed !== undefined) return listed;
    try {
      const { bytes } = await this.manifest(digest.replace(":", "-"), signal);
      return referrersIn(bytes, `the referrers of ${this.shown}`);
    } catch (error) {
      if (error instanceof Fault && error.code === "manifest-unknown") return [];
      throw error;
    }
  }

  /** Every tag, page by page. */
  async tags(signal?: AbortSignal): Promise<string[]> {
    return this.ask("resolve", async (session) => {
      const tags: string[] = [];
      let target: string | undefined = `/${this.name}/tags/list`;
      for (let page = 0; target !== undefined && page < PAGES_MAX; page++) {
        const response: Response = await session.request({ target, signal });
        if (!response.ok) throw await this.refusal(session, response, "tags");
        const what = `the tags of ${this.shown}`;
        const list = jsonObject(await documentOf(response, what, DOCUMENT_MAX, this.patience));
        const found = list?.tags ?? [];
        if (list === undefined || !Array.isArray(found)) throw lying(`${what}: this is no list`);
        for (const tag of found as unknown[]) {
          if (typeof tag !== "string" || !isTag(tag))
            throw lying(`${what}: ${JSON.stringify(tag).slice(0, 200)} is no tag`);
          tags.push(tag);
        }
        if (tags.length > TAGS_MAX) throw lying(`${what} are more than ${TAGS_MAX}`);
        target = nextPage(response, session, what);
      }
      return tags;
    });
  }

  private tellQuota({ headers }: Response): void {
    const left = parseRateLimit(headers.get("ratelimit-remaining"));
    if (left === undefined || left.count > FEW) return;
    const all = parseRateLimit(headers.get("ratelimit-limit"));
    const ofAll = all === undefined ? "" : ` of ${all.count}`;
    const within = left.window === undefined ? "this window" : waitText(left.window * 1000);
    this.notice(`The registry allows ${left.count}${ofAll} more pulls within ${within}`);
  }

  /**
   * A blob from its byte `from` on; broken connections are taken up where they broke, and a slow one is helped by others.
   * Never more bytes than it has.
   */
  blob(blob: BlobDescriptor, from = 0, signal?: AbortSignal): ByteStream {
    let sendsParts = false;
    const heard = ({ headers, status }: Response) => {
      sendsParts = status === 206 || /\bbytes\b/i.test(headers.get("accept-ranges") ?? "");
    };
    const source = {
      sendsParts: () => sendsParts,
      part: (first: number, to: number, until: AbortSignal) =>
        this.part({ ...blob, from: first, to }, until, heard),
    };
    return readAhead(source, { from, size: blob.size, hurry: this.patience.hurry, signal });
  }

  /** A part of a blob, or its rest. */
  private async *part(
    wanted: BlobPart,
    signal: AbortSignal,
    heard: (response: Response) => void,
  ): ByteStream {
    const { digest, size, to } = wanted;
    const failed = new Set<Session>();
    let at = wanted.from;
    for (let breaks = 0, before = at; at < to; ) {
      const watch = new Watch(this.patience);
      const both = AbortSignal.any([watch.signal, signal]);
      let session: Session | undefined;
      try {
        const opened = await this.open({ ...wanted, from: at }, both, failed);
        session = opened.session;
        heard(opened.response);
        let ignore = opened.skip;
        for await (const piece of watched(opened.response, watch)) {
          const own =
            ignore >= piece.length ? piece.subarray(piece.length) : piece.subarray(ignore);
          ignore -= piece.length - own.length;
          at += own.length;
          if (at > to) throw lying(`blob ${digest} is larger than the ${size} bytes announced`);
          if (own.length > 0) yield own;
        }
        if (at < to) throw new Error(`unexpected EOF after ${at} of ${size} bytes`);
      } catch (error) {
        if (signal.aborted || (error instanceof Fault && !watch.signal.aborted)) throw error;
        // A drop now and then is no progress.
        breaks = at - before >= PROGRESS ? 1 : breaks + 1;
        before = at;
        const why = watch.signal.aborted ? watch.signal.reason : error;
        if (breaks >= BREAKS_MAX)
          throw fault(
            "failed",
            "registry-broken",
            `${this.shown}: blob ${digest}: ${messageOf(why)}`,
            error,
          );
        if (session !== undefined) failed.add(session);
      } finally {
        watch.end();
      }
    }
  }

  /** A blob's answer, and how many of its bytes are to be passed over. */
  private async open(
    { digest, size, from, to }: BlobPart,
    signal: AbortSignal,
    failed: ReadonlySet<Session>,
  ): Promise<{ session: Session; response: Response; skip: number }> {
    const work = async (session: Session) => {
      const target = `/${this.name}/blobs/${digest}`;
      const range = `bytes=${from}-${to < size ? to - 1 : ""}`;
      const headers: Record<string, string> = from > 0 ? { Range: range } : {};
      const response = await session.request({ target, headers, signal });
      if (response.status === 416)
        throw lying(`blob ${digest} is shorter than the ${size} bytes announced`);
      if (!response.ok) throw await this.refusal(session, response, digest);
      if (response.status !== 206) {
        if (to === size) return { session, response, skip: from };
        dropBody(response);
        throw lying(`blob ${digest}: the registry sends parts now and then only`);
      }
      const part = parseContentRange(response.headers.get("content-range"));
      if (part?.first === from && (part.total ?? size) === size)
        return { session, response, skip: 0 };
      dropBody(response);
      const sent = part === undefined ? "nobody knows where" : `byte ${part.first}`;
      const total = part?.total ?? "unknown";
      throw lying(
        `blob ${digest}: the registry sends from ${sent} of ${total} bytes, not from ${from} of ${size}`,
      );
    };
    return this.ask("pull", work, failed);
  }

  async hasBlob(digest: string, signal?: AbortSignal): Promise<boolean> {
    const target = `/${this.name}/blobs/${digest}`;
    return this.ask("push", async (session) => {
      const response = await session.request({ method: "HEAD", target, signal });
      dropBody(response);
      if (response.ok) return true;
      if (response.status === 404) return false;
      throw await this.refusal(session, response, digest, "push");
    });
  }

  /**
   * Takes a blob over from another repository of the same registry, when that has it. What comes back is where to send the
   * blob otherwise; undefined when it is there now.
   */
  async beginUpload(
    digest: string,
    from?: string,
    signal?: AbortSignal,
  ): Promise<BlobUpload | undefined> {
    const mount = from === undefined ? "" : `?${new URLSearchParams({ mount: digest, from })}`;
    const target = `/${this.name}/blobs/uploads/${mount}`;
    const scope = from === undefined ? undefined : `repository:${from}:pull`;
    return this.ask("push", async (session) => {
      const response = await session.request({ method: "POST", target, scope, signal });
      const location = response.headers.get("location");
      if (response.status !== 201 && (response.status !== 202 || location === null))
        throw await this.refusal(session, response, digest, "push");
      dropBody(response);
      if (response.status === 201) return undefined;
      const url = ledTo(location ?? "", new URL(`${session.endpoint.url}/`)).href;
      return new BlobUpload(session, url, this.patience, (answer) =>
        this.refusal(session, answer, digest, "push"),
      );
    });
  }

  /** Stores a manifest under a tag or its digest. Gives whether the registry lists it by itself as what its subject says. */
  async putManifest(
    reference: string,
    { mediaType, bytes }: Manifest,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const target = `/${this.name}/manifests/${reference}`;
    const headers = { "Content-Type": mediaType };
    const body = () => bytes.slice();
    return this.ask("push", async (session) => {
      const response = await session.request({ method: "PUT", target, headers, body, signal });
      if (!response.ok) throw await this.refusal(session, response, reference, "push");
      dropBody(response);
      return response.headers.has("oci-subject");
    });
  }

  /** What a registry's refusal means, in Docker's words. */
  private async refusal(
    session: Session,
    response: Response,
    what: string,
    doing: "pull" | "push" = "pull",
  ): Promise<Error> {
    const reason = await session.reason(response);
    const { status } = response;
    if (status === 401 || status === 403)
      return doing === "push"
        ? fault("forbidden", "registry-denied", `push access denied for ${this.shown}: ${reason}`)
        : fault(
            "not-found",
            "registry-denied",
            `pull access denied for ${this.shown}, repository does not exist or may require 'docker login': ${reason}`,
          );
    if (status === 429) {
      const asked = parseRetryAfter(response.headers.get("retry-after"), Date.now());
      const when = asked === undefined ? "later" : `in ${waitText(asked)}`;
      return fault(
        "unavailable",
        "registry-busy",
        `toomanyrequests: ${reason}; log in, use a mirror (certs.d), or try again ${when}`,
      );
    }
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
