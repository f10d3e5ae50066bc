/**
 * `berth registry serve` and `garbage-collect` with a root of their own; and what they share with the daemon's registry.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { OwnRegistryPort } from "../api/index.ts";
import { leaveNoCoreDump } from "../base/core-dumps.ts";
import { openDatabase } from "../base/database.ts";
import { Fault, fault, messageOf } from "../base/errors.ts";
import { bracketed } from "../base/host-port.ts";
import { log, setLogLevel } from "../base/log.ts";
import type { RegistryHooks } from "../cli/index.ts";
import { ContentStore, Downloads, Holds } from "../images/index.ts";
import { anonymous, Repository } from "../registry/index.ts";
import {
  type Collected,
  type CollectionOptions,
  GRACE_MS,
  parseDuration,
  parseRegistryConfig,
  Registry,
  type RegistryConfig,
  RegistryDatabase,
} from "../registry-server/index.ts";
import { lockRoot } from "./lock.ts";
import { registrySettings } from "./registries.ts";

const DEFAULT_ROOT = "/var/lib/berth/registry";
/** Fetched at the same time from the registry behind a cache. */
const DOWNLOADS_MAX = 8;

type ServeOptions = Parameters<RegistryHooks["serve"]>[0];
type CollectOptions = Parameters<RegistryHooks["collect"]>[0];

/** Reads a config.yml, the environment over it, and settings over both. Throws a Fault "invalid" that names the file. */
export function readRegistryConfig(
  path: string | undefined,
  settings: Readonly<Record<string, string>> = {},
): RegistryConfig {
  try {
    const text = path === undefined ? undefined : readFileSync(path, "utf8");
    const given = Object.entries(settings).map(([key, value]) => [
      `REGISTRY_${key.toUpperCase().replaceAll(".", "_")}`,
      value,
    ]);
    const env = { ...process.env, ...Object.fromEntries(given) };
    return parseRegistryConfig(text, env, (words) =>
      log.warn("registry: configuration", { words }),
    );
  } catch (error) {
    if (path === undefined && error instanceof Fault) throw error;
    throw fault("invalid", "registry-config", `${path}: ${messageOf(error)}`, error);
  }
}

/** "127.0.0.1:5000", ":5000", "[::1]:5000", "localhost". Throws a Fault "invalid". */
export function parseListenAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]*))(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[3] ?? 5000);
  if (match === null || text === "" || port > 65535)
    throw fault(
      "invalid",
      "registry-address",
      `invalid address "${text}": it must be ADDRESS[:PORT]`,
    );
  return { host: match[1] ?? (match[2] || "::"), port };
}

/** Grace in milliseconds. Throws a Fault "invalid". */
export function graceOf(text: string | undefined): number {
  const ms = text === undefined ? GRACE_MS : parseDuration(text);
  if (ms === undefined)
    throw fault(
      "invalid",
      "registry-grace",
      `invalid duration ${JSON.stringify(text)}: such as 1h or 30s`,
    );
  return ms;
}

function tlsOf({ http }: RegistryConfig) {
  if (http.certificate === undefined || http.key === undefined) return undefined;
  try {
    return {
      cert: readFileSync(http.certificate, "utf8"),
      key: readFileSync(http.key, "utf8"),
      minVersion: http.minimumTls,
    };
  } catch (error) {
    throw fault("invalid", "registry-config", `http.tls: ${messageOf(error)}`, error);
  }
}

/** Begins to serve a registry as it is configured; gives where it listens. */
export async function beginServing(
  registry: Registry,
  config: RegistryConfig,
  address: string,
  accessLog: "info" | "debug",
): Promise<string> {
  const { host, port } = parseListenAddress(address);
  const { proxy } = config;
  const remote = URL.parse(proxy?.remoteUrl ?? "");
  const credentials = proxy?.username
    ? { ...anonymous, username: proxy.username, password: proxy.password }
    : anonymous;
  const domain = remote?.host ?? "";
  const upstream = registrySettings(remote?.protocol === "http:" ? [domain] : [], []);
  const tls = tlsOf(config);
  const bound = await registry.serve({
    config,
    address: { host, port },
    tls,
    accessLog: config.log.access ? accessLog : undefined,
    open: (path) => new Repository({ domain, path }, upstream, credentials, "pull"),
  });
  const where = `${bracketed(host)}:${bound}`;
  if (config.htpasswd !== undefined && tls === undefined)
    log.warn(
      "registry: passwords are asked for without TLS: whoever listens on the way reads them",
    );
  log.info("registry: listen", { on: where, ...(remote === null ? {} : { cache: domain }) });
  return where;
}

interface Opened {
  readonly registry: Registry;
  close(): void;
}

/**
 * Opens a root of a registry's own and deletes what a crash has left there; a `cache` keeps what has come of blobs that it
 * will be asked for. Throws a Fault "conflict" if the root is in use.
 */
function openRoot(root: string, cache: boolean): Opened {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const lock = lockRoot(
    root,
    (path) => `another registry uses ${path}: give this one another --root`,
  );
  const db = openDatabase(`${root}/registry.db`, "FULL");
  const data = new RegistryDatabase(db);
  const content = new ContentStore(`${root}/content`);
  content.sweep(new Set([...data.allBlobs(), ...(cache ? data.allNamed() : [])]));
  const holds = new Holds();
  const downloads = new Downloads(content, DOWNLOADS_MAX);
  const registry = new Registry({
    shared: { content, holds, downloads, usedElsewhere: () => false },
    data,
    uploadsDirectory: `${root}/content/uploads`,
  });
  return {
    registry,
    close() {
      db.close();
      lock.close();
    },
  };
}

/** The socket on which the process that serves a root is asked to collect; short, whatever the root's path is. */
async function withControl<T>(root: string, work: (socket: string) => Promise<T>): Promise<T> {
  const fd = openSync(root, "r");
  try {
    return await work(`/proc/self/fd/${fd}/control.sock`);
  } finally {
    closeSync(fd);
  }
}

async function serveControl(root: string, registry: Registry): Promise<Server> {
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? "/", "http://control").searchParams;
    const options = {
      dryRun: query.get("dryRun") === "true",
      deleteUntagged: query.get("deleteUntagged") === "true",
      graceMs: Number(query.get("graceMs")),
    };
    registry.collect(options).then(
      (collected) => response.end(JSON.stringify(collected)),
      (error) => {
        response.statusCode = 500;
        response.end(messageOf(error));
      },
    );
  });
  await withControl(root, async (socket) => {
    rmSync(socket, { force: true });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(socket, resolve);
    await promise;
    chmodSync(socket, 0o600);
  });
  return server;
}

/** Serves a registry until it is told to end; gives the exit status. */
export async function serveRegistry({
  config: path,
  root,
  settings,
}: ServeOptions): Promise<number> {
  const config = readRegistryConfig(path, settings);
  setLogLevel(config.log.level);
  leaveNoCoreDump();
  const directory = root ?? config.root ?? DEFAULT_ROOT;
  const { registry, close } = openRoot(directory, config.proxy !== undefined);
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => end(signal));
  process.on("SIGHUP", () => {});
  process.on("SIGPIPE", () => {});
  await registry.sweepUploads(Date.now() - config.purge.ageMs);
  const control = await serveControl(directory, registry);
  try {
    await beginServing(registry, config, config.http.address, "info");
    log.info("registry: shutting down", { signal: await ended });
  } finally {
    await registry.close(config.http.drainMs);
    control.close();
    rmSync(`${directory}/control.sock`, { force: true });
    close();
  }
  return 0;
}

async function askServer(root: string, options: CollectionOptions): Promise<Collected> {
  const { dryRun, deleteUntagged, graceMs } = options;
  const query = new URLSearchParams({
    dryRun: String(dryRun),
    deleteUntagged: String(deleteUntagged),
    graceMs: String(graceMs),
  });
  return withControl(root, async (socket) => {
    const response = await fetch(`http://control/?${query}`, { method: "POST", unix: socket });
    if (!response.ok)
      throw fault("failed", "registry-collection", `garbage collection: ${await response.text()}`);
    return (await response.json()) as Collected;
  });
}

/** Collects garbage in a root, or lets the process do it that serves the root. */
export async function collectRegistry(options: CollectOptions): Promise<Collected> {
  const config = readRegistryConfig(options.config);
  const root = options.root ?? config.root ?? DEFAULT_ROOT;
  if (!existsSync(`${root}/registry.db`))
    throw fault("not-found", "no-registry-root", `there is no registry in ${root}`);
  const { dryRun, deleteUntagged } = options;
  const wish = { dryRun, deleteUntagged, graceMs: graceOf(options.grace) };
  let opened: Opened;
  try {
    opened = openRoot(root, config.proxy !== undefined);
  } catch (error) {
    if (!(error instanceof Fault && error.code === "root-in-use")) throw error;
    return askServer(root, wish);
  }
  try {
    return await opened.registry.collect(wish);
  } finally {
    opened.close();
  }
}

/** Collecting garbage in the daemon's own registry. */
export function ownRegistryPort(registry: Registry): OwnRegistryPort {
  return {
    collect: ({ dryRun, deleteUntagged, grace }) =>
      registry.collect({ dryRun, deleteUntagged, graceMs: graceOf(grace) }),
  };
}
