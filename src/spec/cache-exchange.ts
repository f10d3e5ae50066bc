/**
 * What a build's daemon and its client say to each other about caches in directories of the client's. The daemon speaks by events
 * of the build, the client by requests of its own, which name the exchange by a token that the client has made up.
 *
 *     event    {kind: "cache-wanted", want, source, digest}    send a blob of the cache `source`; without a digest, what it is
 *     request  POST /berth/build-exchange?token=&want=         the bytes, or with error= why there are none
 *     event    {kind: "cache-offered", offer, target, …}       a cache for the directory `target`
 *     request  GET  /berth/build-exchange?token=&digest=       a blob of it, as long as it is offered
 *     request  POST /berth/build-exchange?token=&taken=        it is written, or with error= why not
 */

/** A blob. */
export interface ExchangedBlob {
  readonly mediaType?: string;
  readonly digest: string;
  readonly size: number;
}

/** What a cache is: the answer to a want without a digest. */
export interface ExchangedCache {
  /** The configuration's JSON. */
  readonly config: unknown;
  readonly layers: readonly ExchangedBlob[];
}

/** The daemon's events. */
export type CacheEvent =
  | {
      readonly kind: "cache-wanted";
      readonly want: number;
      /** The number of a --cache-from. */
      readonly source: number;
      readonly digest: string | undefined;
    }
  | {
      readonly kind: "cache-offered";
      readonly offer: number;
      /** The number of a --cache-to. */
      readonly target: number;
      readonly manifest: ExchangedBlob;
      /** The manifest's text, and the configuration's. */
      readonly texts: Readonly<Record<string, string>>;
      readonly layers: readonly ExchangedBlob[];
    };

/** A token that nobody guesses. */
export const EXCHANGE_TOKEN: RegExp = /^[0-9a-f]{32}$/;
/** No description of a cache is longer; bytes. */
export const EXCHANGED_MAX: number = 64 << 20;
