/**
 * A cache before another registry: what is asked for comes from there once, is kept, and is served from here when nobody
 * answers there. Tags are asked for anew each time; what a digest names never changes.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { Fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Downloads } from "../images/index.ts";
import type { Repository } from "../registry/index.ts";
import { RegistryError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { MANIFEST_MAX, parseManifest } from "./manifest.ts";
import type { Upstream } from "./service.ts";
import type { RegistryStore } from "./store.ts";

/** A registry that did not answer is not asked again for so long where something older will do. */
const AWAY_MS = 15_000;
const POLL_MS = 10;
const PIECE = 1 << 18;

/** The part of a registry's client that a cache needs. */
export type UpstreamRepository = Pick<
  Repository,
  "manifest" | "digestOf" | "blobSize" | "blob" | "tags"
>;

/** What a cache is made of. */
export interface PullThroughOptions {
  readonly store: RegistryStore;
  readonly downloads: Downloads;
  /** Opens a repository of the registry behind. */
  readonly open: (name: string) => UpstreamRepository;
}

/** What a failure upstream means; undefined: nothing is known of what was asked for, and something older will do. */
function refusalOf(error: unknown): RegistryError | undefined {
  if (error instanceof RegistryError) return error;
  if (!(error instanceof Fault)) throw error;
  const { message } = error;
  if (error.code === "manifest-unknown") return new RegistryError("MANIFEST_UNKNOWN");
  if (error.code === "registry-denied" || error.code === "registry-login")
    return new RegistryError("DENIED", { message });
  if (error.code === "registry-content")
    return new RegistryError("UNKNOWN", { message, status: 502 });
  return undefined;
}

function unavailable(error: unknown): RegistryError {
  return new RegistryError("UNAVAILABLE", {
    message: `the registry behind this cache cannot be asked: ${messageOf(error)}`,
  });
}

/** The cache. */
export class PullThrough implements Upstream {
  private awayUntil = 0;
  private readonly underway = new Map<string, Promise<void>>();

  constructor(private readonly options: PullThroughOptions) {}

  async refresh({ name, tag, digest }: Parameters<Upstream["refresh"]>[0]): Promise<void> {
    const { store } = this.options;
    const known = store.manifest(name, tag === undefined ? { digest: digest ?? "" } : { tag });
    if (known !== undefined && (tag === undefined || Date.now() < this.awayUntil)) return;
    try {
      await this.shared(`${name}:${tag ?? digest}`, () =>
        this.bring(name, tag, digest ?? "", known?.digest),
      );
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal?.code === "MANIFEST_UNKNOWN" && tag !== undefined)
        store.data.removeTag(name, tag);
      if (refusal !== undefined) throw refusal;
      this.awayUntil = Date.now() + AWAY_MS;
      if (known === undefined) throw unavailable(error);
      log.warn("registry: serves what it has, since nobody answers upstream", {
        name,
        tag,
        error: messageOf(error),
      });
    }
  }

  /** Whoever wants what is on its way waits for it. */
  private shared(key: string, work: () => Promise<void>): Promise<void> {
    const found = this.underway.get(key);
    if (found !== undefined) return found;
    const begun = work().finally(() => this.underway.delete(key));
    this.underway.set(key, begun);
    return begun;
  }

  private async bring(
    name: string,
    tag: string | undefined,
    digest: string,
    known: string | undefined,
  ): Promise<void> {
    const { store, open } = this.options;
    const repository = open(name);
    // A question about a tag costs nothing where pulls are counted.
    if (tag !== undefined && known !== undefined && (await repository.digestOf(tag)) === known)
      return;
    const manifest = await repository.manifest(tag ?? digest);
    if (manifest.bytes.length > MANIFEST_MAX)
      throw new RegistryError("UNKNOWN", { message: "the manifest is too large", status: 502 });
    const parsed = parseManifest(manifest.bytes, manifest.mediaType || undefined);
    await store.putManifest(name, { ...manifest, parsed }, { tag, complete: false });
  }

  async sendBlob(
    exchange: Exchange,
    name: string,
    digest: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { store, open } = this.options;
    const size = await this.sizeOf(open(name), name, digest);
    const length = { ...headers, "Content-Length": String(size) };
    if (exchange.method === "HEAD") return exchange.empty(200, length);
    const gone = new AbortController();
    exchange.response.on("close", () => gone.abort(new Error("the client has gone")));
    const done = this.keep(open(name), name, digest, size, gone.signal);
    if (exchange.header("range") !== undefined || store.content.has(digest)) {
      await done.catch((error) => {
        throw refusalOf(error) ?? unavailable(error);
      });
      return exchange.file(store.content.path(digest), headers);
    }
    exchange.response.writeHead(200, length);
    await exchange.send(this.follow(digest, size, done)).catch((error) => {
      if (!gone.signal.aborted)
        log.warn("registry: a blob did not come", { name, digest, error: messageOf(error) });
    });
  }

  private async sizeOf(
    repository: UpstreamRepository,
    name: string,
    digest: string,
  ): Promise<number> {
    const named = this.options.store.data.namedSize(name, digest);
    if (named !== undefined) return named;
    try {
      const size = await repository.blobSize(digest);
      if (size !== undefined) return size;
    } catch (error) {
      throw refusalOf(error) ?? unavailable(error);
    }
    throw new RegistryError("BLOB_UNKNOWN", { detail: { digest } });
  }

  /** Brings a blob in and makes it the repository's; one that is on its way is waited for. */
  private keep(
    repository: UpstreamRepository,
    name: string,
    digest: string,
    size: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, downloads } = this.options;
    return store.holding(digest, async () => {
      await downloads.fetch(repository, { digest, size }, () => {}, signal);
      store.data.putBlob(name, digest);
    });
  }

  /** A blob while it comes in. Its last bytes are given only once all of it has been verified. */
  private async *follow(digest: string, size: number, done: Promise<void>): ByteStream {
    const { content } = this.options.store;
    let there = false;
    let failure: unknown;
    done.then(
      () => {
        there = true;
      },
      (error) => {
        failure = error ?? new Error("it did not come");
      },
    );
    let fd: number | undefined;
    try {
      for (let at = 0; at < size; ) {
        fd ??= openFirst([content.partial(digest), content.path(digest)]);
        if (failure !== undefined) throw failure;
        const stored = fd === undefined ? 0 : fstatSync(fd).size;
        const end = there ? size : Math.min(stored, size - 1);
        if (fd === undefined || at >= end) {
          await Bun.sleep(POLL_MS);
          continue;
        }
        const piece = new Uint8Array(Math.min(PIECE, end - at));
        const length = readSync(fd, piece, 0, piece.length, at);
        at += length;
        if (length > 0) yield piece.subarray(0, length);
        else throw new Error("the file of the download is shorter than it was");
      }
      await done;
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  async tags(name: string): Promise<string[] | undefined> {
    if (Date.now() < this.awayUntil) return undefined;
    try {
      return (await this.options.open(name).tags()).sort();
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal?.code === "MANIFEST_UNKNOWN") throw new RegistryError("NAME_UNKNOWN");
      if (refusal !== undefined) throw refusal;
      this.awayUntil = Date.now() + AWAY_MS;
      return undefined;
    }
  }

  /** Forgets what nobody has asked for since `before`. Gives how much that was. */
  expire(before: number): number {
    const { store } = this.options;
    const old = store.data.unusedSince(before);
    for (const { kind, repository, digest } of old)
      if (kind === "blobs") store.removeBlob(repository, digest);
      else store.removeManifest(repository, digest);
    return old.length;
  }
}

function openFirst(paths: readonly string[]): number | undefined {
  for (const path of paths)
    try {
      return openSync(path, "r");
    } catch {
      // It is not there yet, or not there any more.
    }
  return undefined;
}
