/**
 * Caches in directories of clients: what builds want of them and offer for them, as the clients come for it
 * (spec/cache-exchange.ts).
 */
import { createReadStream } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import {
  type CacheEvent,
  EXCHANGED_MAX,
  type ExchangedBlob,
  type ExchangedCache,
} from "../spec/cache-exchange.ts";

interface Want {
  give(body: ByteStream): void;
  fail(why: string): void;
  /** Resolves when nobody reads the bytes any more. */
  readonly read: Promise<void>;
}

interface Offer {
  readonly taken: PromiseWithResolvers<void>;
  readonly paths: ReadonlyMap<string, string>;
}

function unknown(): Error {
  return fault("not-found", "build-exchange", "no build waits for that");
}

/** What one build and its client exchange. */
export class CacheExchange {
  private count = 0;
  private readonly wants = new Map<number, Want>();
  private readonly offers = new Map<number, Offer>();

  constructor(
    private readonly tell: (event: CacheEvent) => void,
    private readonly signal: AbortSignal,
  ) {}

  /** Bytes of a client's cache. Rejects when it has none, and with the signal's reason. */
  private async *wanted(source: number, digest: string | undefined): ByteStream {
    const begun = Promise.withResolvers<ByteStream>();
    const read = Promise.withResolvers<void>();
    const leave = () => begun.reject(this.signal.reason);
    const want = ++this.count;
    this.wants.set(want, {
      give: begun.resolve,
      fail: (why) => begun.reject(fault("failed", "build-cache-blob", why)),
      read: read.promise,
    });
    this.signal.addEventListener("abort", leave);
    try {
      this.signal.throwIfAborted();
      this.tell({ kind: "cache-wanted", want, source, digest });
      yield* await begun.promise;
    } finally {
      this.signal.removeEventListener("abort", leave);
      this.wants.delete(want);
      read.resolve();
    }
  }

  /** What a client's cache is. */
  async describe(source: number): Promise<ExchangedCache> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of this.wanted(source, undefined)) {
      length += piece.length;
      if (length > EXCHANGED_MAX)
        throw fault("invalid", "build-cache-format", "what the cache says is too long");
      pieces.push(piece);
    }
    return JSON.parse(Buffer.concat(pieces).toString("utf8")) as ExchangedCache;
  }

  /** A blob of it from a byte on, and no more than it has. */
  async *blob(source: number, { digest, size }: ExchangedBlob, from = 0): ByteStream {
    let at = 0;
    for await (const piece of this.wanted(source, digest)) {
      const begin = Math.min(piece.length, Math.max(0, from - at));
      at += piece.length;
      if (at > size)
        throw fault(
          "failed",
          "build-cache-blob",
          `${digest} is larger than the ${size} bytes announced`,
        );
      if (begin < piece.length) yield piece.subarray(begin);
    }
  }

  /** Takes what a client sends. Resolves when it is read, or is not to be. */
  async give(want: number, body: ByteStream, error: string | undefined): Promise<void> {
    const waiting = this.wants.get(want);
    if (waiting === undefined) throw unknown();
    if (error !== undefined) waiting.fail(error);
    else waiting.give(body);
    await waiting.read;
  }

  /** Offers a cache until its client has it. Rejects with what the client failed for. */
  async offer(
    cache: Omit<Extract<CacheEvent, { kind: "cache-offered" }>, "kind" | "offer">,
    paths: ReadonlyMap<string, string>,
  ): Promise<void> {
    const taken = Promise.withResolvers<void>();
    const offer = ++this.count;
    const leave = () => taken.reject(this.signal.reason);
    this.offers.set(offer, { taken, paths });
    this.signal.addEventListener("abort", leave);
    try {
      this.signal.throwIfAborted();
      this.tell({ kind: "cache-offered", offer, ...cache });
      await taken.promise;
    } finally {
      this.signal.removeEventListener("abort", leave);
      this.offers.delete(offer);
    }
  }

  /** A blob that is offered. */
  offered(digest: string): ByteStream {
    for (const { paths } of this.offers.values()) {
      const path = paths.get(digest);
      if (path !== undefined) return createReadStream(path, { highWaterMark: 1 << 20 });
    }
    throw unknown();
  }

  /** The client has what was offered, or says why not. */
  taken(offer: number, error: string | undefined): void {
    const waiting = this.offers.get(offer);
    if (waiting === undefined) throw unknown();
    if (error === undefined) waiting.taken.resolve();
    else waiting.taken.reject(fault("failed", "build-cache-write", error));
  }
}

/** The exchanges of one daemon, by their tokens. */
export class CacheExchanges {
  private readonly all = new Map<string, CacheExchange>();

  /** Opens one while the work goes on. */
  async during<T>(token: string, exchange: CacheExchange, work: () => Promise<T>): Promise<T> {
    if (token === "") return work();
    if (this.all.has(token))
      throw fault("conflict", "build-exchange-use", "another build has this token");
    this.all.set(token, exchange);
    try {
      return await work();
    } finally {
      this.all.delete(token);
    }
  }

  /** The one of a token. */
  of(token: string): CacheExchange {
    const found = this.all.get(token);
    if (found === undefined) throw unknown();
    return found;
  }
}
