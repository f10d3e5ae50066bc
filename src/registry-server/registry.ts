/**
 * One registry: its repositories on a content store, what is done from time to time, and its server.
 */
import { rmSync, writeFileSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { SharedBlobs } from "../images/index.ts";
import { type Collected, type CollectionOptions, collectGarbage } from "./collection.ts";
import type { RegistryConfig } from "./config.ts";
import type { RegistryDatabase } from "./database.ts";
import { Htpasswd } from "./htpasswd.ts";
import { PullThrough, type UpstreamRepository } from "./pull-through.ts";
import { RegistryServer, type ServerSettings } from "./server.ts";
import { RegistryStore } from "./store.ts";

/** What a cache has not been asked for is looked for this often. */
const EXPIRY_MS = 3600_000;

/** What a registry is made of. */
export interface RegistryParts {
  readonly shared: SharedBlobs;
  readonly data: RegistryDatabase;
  /** For uploads under way; on the file system of the content store. */
  readonly uploadsDirectory: string;
}

/** How it is served beyond what the configuration says. */
export interface ServeParts {
  readonly config: RegistryConfig;
  readonly address: { readonly host: string; readonly port: number };
  readonly tls: ServerSettings["tls"];
  readonly accessLog: ServerSettings["accessLog"];
  /** Opens a repository of the registry that a cache stands before. */
  readonly open: (name: string) => UpstreamRepository;
}

/** A registry. */
export class Registry {
  private readonly store: RegistryStore;
  private server: RegistryServer | undefined;
  private readonly timers: ReturnType<typeof setInterval>[] = [];
  private failures = 0;

  constructor(private readonly parts: RegistryParts) {
    this.store = new RegistryStore(parts.shared, parts.data, parts.uploadsDirectory);
  }

  /** Collects garbage; fine while it serves. */
  collect(options: CollectionOptions): Promise<Collected> {
    return collectGarbage(this.store, options);
  }

  /** Throws away what crashes have left of uploads, and those begun before `before`. */
  sweepUploads(before: number): Promise<number> {
    return this.store.uploads.sweep(before);
  }

  /** Requests that have come, and those that are being answered. */
  get traffic(): { readonly requests: number; readonly active: number } {
    return { requests: this.server?.requests ?? 0, active: this.server?.active ?? 0 };
  }

  /** Begins to serve; gives the port. Rejects with a Fault when that cannot be. */
  async serve({ config, address, tls, accessLog, open }: ServeParts): Promise<number> {
    const { shared } = this.parts;
    const upstream =
      config.proxy === undefined
        ? undefined
        : new PullThrough({
            store: this.store,
            downloads: shared.downloads,
            open,
          });
    const { htpasswd, http } = config;
    this.server = new RegistryServer(
      { store: this.store, upstream },
      {
        address,
        tls,
        style: {
          prefix: http.prefix,
          relative: http.relativeUrls,
          host: http.host,
          scheme: tls === undefined ? "http" : "https",
        },
        headers: http.headers,
        auth: htpasswd && { realm: htpasswd.realm, users: new Htpasswd(htpasswd.path) },
        readOnly: config.readOnly,
        deletion: config.deletion,
        accessLog,
        ailing: () =>
          this.failures >= config.health.threshold ? "the storage cannot be written" : undefined,
      },
    );
    const port = await this.server.listen();
    this.beginUpkeep(config, upstream);
    return port;
  }

  /** Ends serving: requests under way have a while to end. */
  async close(patienceMs: number): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.server?.close(patienceMs);
  }

  private beginUpkeep({ purge, proxy, health }: RegistryConfig, cache: PullThrough | undefined) {
    if (purge.enabled)
      this.every(purge.intervalMs, async () => {
        const count = await this.sweepUploads(Date.now() - purge.ageMs);
        if (count > 0) log.info("registry: old uploads thrown away", { count });
      });
    if (cache !== undefined && proxy !== undefined && proxy.ttlMs > 0)
      this.every(Math.min(EXPIRY_MS, proxy.ttlMs), () => {
        const count = cache.expire(Date.now() - proxy.ttlMs);
        if (count > 0) log.info("registry: forgot what nobody asks for", { count });
      });
    if (health.enabled) this.every(health.intervalMs, () => this.probe());
  }

  private every(ms: number, work: () => unknown): void {
    const run = async () => {
      try {
        await work();
      } catch (error) {
        log.warn("registry: upkeep", { error: messageOf(error) });
      }
    };
    // A timer takes no more than 2^31 milliseconds.
    this.timers.push(setInterval(() => void run(), Math.min(Math.max(ms, 1000), 2 ** 31 - 1)));
  }

  private probe(): void {
    const path = `${this.parts.uploadsDirectory}/probe`;
    try {
      writeFileSync(path, "probe");
      rmSync(path);
      this.failures = 0;
    } catch (error) {
      this.failures++;
      throw error;
    }
  }
}
