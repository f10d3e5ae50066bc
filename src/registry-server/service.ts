/**
 * What answers requests: a store, and for a cache the registry behind it.
 */
import type { Exchange } from "./exchange.ts";
import type { RegistryStore } from "./store.ts";
import type { Target } from "./target.ts";

/** The registry that a cache stands before. */
export interface Upstream {
  /** Brings a manifest in, or up to date. What is here stays good when nobody answers. */
  refresh(target: Extract<Target, { readonly kind: "manifest" }>): Promise<void>;
  /** Answers with a blob that is not here, and keeps it. */
  sendBlob(
    exchange: Exchange,
    name: string,
    digest: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<void>;
  /** Every tag in order; undefined when nobody answers. */
  tags(name: string): Promise<string[] | undefined>;
}

/** A registry as the handlers of requests see it. */
export interface Service {
  readonly store: RegistryStore;
  readonly upstream: Upstream | undefined;
}
