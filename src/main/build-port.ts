/**
 * The builder with what it needs: images and layers from the store, commands by the engine.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import type { BuildOptions, BuildPort, BuildResult } from "../api/index.ts";
import { Fault, fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { PartsReader } from "../base/parts.ts";
import { Trash } from "../base/trash.ts";
import {
  Agents,
  type BaseImage,
  type BuildCache,
  type BuildImages,
  type BuildRequest,
  BuildThreads,
  type BuiltImage,
  build,
  CacheMounts,
  type ContextDeps,
  type ContextSource,
  check,
  type Done,
  type GitAccess,
  KeptContexts,
  NamedContexts,
  openContext,
  type PerformerDeps,
  SharedCaches,
  type StepMount,
  type StepRecords,
  type StepRun,
} from "../builder/index.ts";
import { type BuildCacheParts, forgetBuildCache } from "../disk/index.ts";
import { type BuildStep, BuildSteps, type EngineDeps, type MountRecord } from "../engine/index.ts";
import {
  checkPlatform,
  checkRunnable,
  hostPlatform,
  type ImageRecord,
  type ImageStore,
} from "../images/index.ts";
import { emulationOf } from "../spec/binfmt.ts";
import type { HostConfig, ImageConfig } from "../spec/engine-api.ts";
import { type Platform, platformRank, platformText } from "../spec/platform.ts";
import { parseReference } from "../spec/reference.ts";
import { ContainerView } from "../storage/index.ts";
import { CacheWriter, cacheSources } from "./build-caches.ts";
import { BuildOutputs, checkOutputs, documentOf } from "./build-outputs.ts";
import { CacheExchange, CacheExchanges } from "./cache-exchange.ts";
import { exportCacheMount, importCacheMount } from "./cache-mount-copies.ts";

/** Where builds keep things. */
export interface BuildPlaces {
  readonly dataRoot: string;
  readonly execRoot: string;
  /** Directories whose repositories builds may fetch. */
  readonly gitDirectories: readonly string[];
}

function baseOf(images: ImageStore, image: ImageRecord): BaseImage {
  const { document } = image;
  return {
    id: image.id,
    config: document.config ?? {},
    author: document.author,
    history: document.history ?? [],
    platform: {
      os: document.os,
      architecture: document.architecture,
      ...(document.variant === undefined ? {} : { variant: document.variant }),
    },
    snapshot: images.layersOf(image),
  };
}

/** Lines alone: what counts bytes is for a terminal. */
function lines(report: (text: string) => void) {
  return (step: object) => {
    const { status, id, progressDetail } = step as Record<string, unknown>;
    const counts = Object.keys((progressDetail as object | undefined) ?? {}).length > 0;
    if (!counts && typeof status === "string")
      report(id === undefined ? status : `${id}: ${status}`);
  };
}

/** The images of one build, fetched with its client's credentials. */
class Images implements BuildImages {
  constructor(
    private readonly images: ImageStore,
    private readonly credentials: BuildOptions["credentials"],
  ) {}

  private async here(
    name: string,
    platform: Platform | undefined,
  ): Promise<ImageRecord | undefined> {
    try {
      const image = await this.images.resolveOrBuiltin(name);
      checkRunnable(name, image);
      checkPlatform(name, image, platform);
      return image;
    } catch (error) {
      if (error instanceof Fault && error.kind === "not-found") return undefined;
      throw error;
    }
  }

  async base(
    name: string,
    platform: Platform | undefined,
    pull: boolean,
    report: (text: string) => void,
    signal: AbortSignal,
  ): Promise<BaseImage> {
    const known = pull ? undefined : await this.here(name, platform);
    if (known !== undefined) return baseOf(this.images, known);
    const credentials = this.credentials(parseReference(name).domain);
    const options = { credentials, report: lines(report), signal, platform };
    // What a name means on this host is for this host.
    if (platform !== undefined && platformRank(hostPlatform(), platform) === undefined)
      return baseOf(
        this.images,
        await this.images.pullBeside(name, { ...options, platform, fresh: pull }),
      );
    await this.images.pull(name, options);
    const image = this.images.resolve(name);
    checkRunnable(name, image);
    return baseOf(this.images, image);
  }

  async configOf(name: string, platform: Platform | undefined): Promise<ImageConfig | undefined> {
    const image = await this.here(name, platform);
    return image && (image.document.config ?? {});
  }

  addLayer: BuildImages["addLayer"] = (on, tar, use) => this.images.composer.addLayer(on, tar, use);
  has: BuildImages["has"] = (snapshot) => this.images.composer.has(snapshot);
  bring: BuildImages["bring"] = (snapshot, origin, use) =>
    this.images.layerSets.bring(snapshot, { ...origin, report: lines(origin.report) }, use);
  during: BuildImages["during"] = (snapshot, work) => this.images.composer.during(snapshot, work);

  create(image: Omit<BuiltImage, "base">): Promise<string> {
    return this.images.composer.create(documentOf(image), image.snapshot);
  }
}

function mountRecord(mount: StepMount): MountRecord {
  const common = {
    target: mount.target,
    mode: "",
    propagation: "rprivate",
    recursive: false,
    copyUp: false,
  };
  if (mount.kind === "tmpfs") {
    const options = mount.size === undefined ? [] : [`size=${mount.size}`];
    return { ...common, type: "tmpfs", source: "", readOnly: false, options };
  }
  const inside = mount.subpath.split("/").filter((part) => part !== "" && part !== ".");
  const subpath = inside.length === 0 ? {} : { subpath: inside.join("/") };
  const { writes } = mount;
  if (mount.kind === "bind" && writes === undefined)
    return { ...common, ...subpath, type: "bind", source: mount.source, readOnly: mount.readonly };
  const layers =
    mount.kind === "bind" ? { directories: [mount.source] } : { chain: mount.snapshot.chain };
  const written = writes === undefined ? { readOnly: true } : { readOnly: false, writes };
  return { ...common, ...subpath, type: "image", source: "build", ...layers, ...written };
}

function hostConfigOf({ limits, work }: StepRun): HostConfig {
  return {
    Privileged: work.security === "insecure",
    NetworkMode: work.network === "default" ? limits.network : work.network,
    Memory: limits.memory,
    MemorySwap: limits.memorySwap,
    CpuShares: limits.cpuShares,
    CpuPeriod: limits.cpuPeriod,
    CpuQuota: limits.cpuQuota,
    CpusetCpus: limits.cpusetCpus,
    CpusetMems: limits.cpusetMems,
    CgroupParent: limits.cgroupParent,
    ShmSize: limits.shmSize,
    Ulimits: limits.ulimits.map((limit) => ({ ...limit })),
    ExtraHosts: [...limits.extraHosts],
    LogConfig: { Type: "none", Config: {} },
  };
}

const BINFMT = "/proc/sys/fs/binfmt_misc";

/** The kernel's handlers of other programs, each as its file's text. */
function binfmtHandlers(): string[] {
  try {
    const names = readdirSync(BINFMT).filter((name) => !["register", "status"].includes(name));
    return names.map((name) => readFileSync(`${BINFMT}/${name}`, "utf8"));
  } catch {
    // Not mounted here, or unknown to this kernel; handlers come and go.
    return [];
  }
}

/** Throws a Fault "unsupported" when nothing here runs programs for a platform. */
function checkRuns(platform: Platform): void {
  const here = hostPlatform();
  if (platform.architecture === "" || platformRank(here, platform) !== undefined) return;
  const found = emulationOf(platform.architecture, binfmtHandlers());
  if (found === "runs") return;
  const why =
    found === "nothing"
      ? "the kernel has no binfmt_misc handler for them"
      : "their binfmt_misc handler was registered without the flag F, so that its interpreter is not found in a build";
  throw fault(
    "unsupported",
    "build-emulation",
    `cannot run programs for ${platformText(platform)} on ${platformText(here)}: ${why}; install QEMU's (Debian: qemu-user-static, or: berth run --privileged --rm tonistiigi/binfmt --install ${platform.architecture}), or build the stage with FROM --platform=$BUILDPLATFORM`,
  );
}

/** A RUN as the engine takes it. */
function stepOf(step: StepRun): BuildStep {
  const { work, snapshot, output, signal } = step;
  checkRuns(step.platform);
  return {
    chain: snapshot.chain,
    args: work.args,
    env: [...work.env, ...work.proxies, ...step.secretEnv],
    user: work.user,
    directory: work.directory,
    hostConfig: hostConfigOf(step),
    mounts: step.mounts.map(mountRecord),
    output,
    signal,
  };
}

/** The same Dockerfile of the same context: by where it came from, or else by the name that it gives. */
function projectOf({ kept, remote, dockerfile, outputs, target }: BuildOptions): string {
  const [name] = outputs.flatMap((one) => (one.kind === "files" ? [] : one.names));
  return JSON.stringify([kept?.key ?? (remote || name) ?? "", dockerfile, target]);
}

/** How long what went into a step is remembered; milliseconds. */
const REMEMBERED = 30 * 24 * 3600_000;

/** What is done with a context. */
type Act<T> = (deps: PerformerDeps, request: BuildRequest, exchange: CacheExchange) => Promise<T>;

/** Builds of one daemon. */
export class Builds implements BuildPort {
  /** What builds keep for the next ones. */
  readonly kept: BuildCacheParts;
  private readonly steps: BuildSteps;
  private readonly contextsKept: KeptContexts;
  private readonly threads: BuildThreads;
  private readonly trash: Trash;
  private readonly agents = new Agents();
  private readonly exchanges = new CacheExchanges();
  private tidying = false;
  private readonly underway = new Map<string, Promise<Done>>();
  private readonly going = new Set<Promise<unknown>>();
  private readonly ending = new AbortController();

  constructor(
    private readonly deps: EngineDeps & { readonly images: ImageStore },
    cache: BuildCache,
    private readonly records: StepRecords,
    private readonly places: BuildPlaces,
  ) {
    this.steps = new BuildSteps(deps);
    records.forget(Date.now() - REMEMBERED);
    this.threads = new BuildThreads(deps.kernel);
    this.trash = new Trash(`${places.dataRoot}/build/trash`);
    this.trash.empty();
    const { threads, discard } = this;
    this.contextsKept = new KeptContexts(`${places.dataRoot}/build/kept`, { threads, discard });
    const mounts = new CacheMounts(`${places.dataRoot}/build/mounts`, discard);
    const settled = () => this.trash.settled();
    this.kept = { images: deps.images, cache, mounts, contexts: this.contextsKept, settled };
    // What a daemon that was killed has left.
    this.discard(this.contexts);
    rmSync(this.secrets, { recursive: true, force: true });
  }

  private readonly discard = (path: string): void => this.trash.discard(path);

  private get contexts(): string {
    return `${this.places.dataRoot}/build/contexts`;
  }

  private get secrets(): string {
    return `${this.places.execRoot}/build`;
  }

  private sourceOf(
    archive: AsyncIterable<Uint8Array>,
    { remote, kept }: BuildOptions,
  ): ContextSource {
    if (remote !== "") return { kind: "remote", address: remote };
    if (kept === undefined) return { kind: "archive", archive };
    return { kind: "kept", contexts: this.contextsKept, name: kept, archive };
  }

  compareContext: BuildPort["compareContext"] = (key, digest, list) =>
    this.contextsKept.compare(key, digest, list);

  takeAgent: BuildPort["takeAgent"] = (connection) => this.agents.take(connection);

  /** Ends all builds, and resolves when nothing of them runs any more: nobody would know of it. */
  async close(): Promise<void> {
    this.ending.abort(fault("unavailable", "shutting-down", "the daemon is shutting down"));
    await Promise.allSettled(this.going);
  }

  /** The containers that builds have just now. */
  containers(): ReadonlySet<string> {
    return this.steps.containers();
  }

  /** Builds images, and brings them to where they are wanted. */
  async build(archive: AsyncIterable<Uint8Array>, options: BuildOptions): Promise<BuildResult> {
    checkOutputs(options);
    return this.underWay(archive, options, async (deps, request, exchange) => {
      const built = await build(deps, request, options.platforms);
      const { signal, shared } = request;
      const own = { ...options, signal };
      const result = await new BuildOutputs(this.deps, own).deliver(built);
      await new CacheWriter(this.deps.images, shared, own, exchange).write(options.cacheTo);
      return result;
    });
  }

  /** Looks for what is wrong, and tells it. */
  check(archive: AsyncIterable<Uint8Array>, options: BuildOptions): Promise<void> {
    return this.underWay(archive, options, check);
  }

  private async underWay<T>(
    archive: AsyncIterable<Uint8Array>,
    options: BuildOptions,
    act: Act<T>,
  ): Promise<T> {
    const signal = AbortSignal.any([options.signal, this.ending.signal]);
    const work = this.withContext(archive, { ...options, signal }, act);
    this.going.add(work);
    try {
      return await work;
    } finally {
      this.going.delete(work);
    }
  }

  private async withContext<T>(
    archive: AsyncIterable<Uint8Array>,
    options: BuildOptions,
    act: Act<T>,
  ): Promise<T> {
    const { kernel, driver, images } = this.deps;
    const { dockerfile, signal: gone } = options;
    const { threads, discard } = this;
    // With named contexts the body is several, the build's own first.
    const parts = options.named.length === 0 ? undefined : new PartsReader(archive);
    const source = this.sourceOf((await parts?.next()) ?? archive, options);
    const git = this.gitAccess(options);
    const contexts = { kernel, threads, git, discard };
    const given = { dockerfile, signal: gone };
    const context = await openContext(source, this.contexts, contexts, given);
    const named = await this.namedContexts(parts, contexts, options).catch((error) => {
      context.close();
      throw error;
    });
    const deps: PerformerDeps = {
      images: new Images(images, options.credentials),
      files: {
        kernel,
        view: ({ chain }) => new ContainerView(kernel, driver.layerDirectories(chain), []),
        directories: ({ chain }) => driver.layerDirectories(chain),
      },
      threads,
      runner: { run: async (step) => this.steps.run(stepOf(step)) },
      ...{ cache: this.kept.cache, records: this.records },
      cacheMounts: this.kept.mounts,
      secretsDirectory: this.secrets,
      agents: this.agents,
      underway: this.underway,
    };
    const exchange = new CacheExchange(options.report, gone);
    const shared = this.sharedOf(deps, options, exchange);
    const { target, args, noCache, pull, limits, labels, secrets, signal } = options;
    const request: BuildRequest = {
      ...{ target, args, noCache, pull, limits, labels, secrets, signal },
      platform: options.platforms[0],
      ...{ keepFailed: options.keepFailed, explain: options.explain, allowed: options.allowed },
      ...{ agents: options.agents, git, noCacheFilter: options.noCacheFilter, shared },
      project: projectOf(options),
      dockerfile: context.dockerfile,
      context: context.tree,
      knownCopies: context.knownCopies,
      contextDirectory: context.directory,
      named,
      scratch: context.scratch,
      hostPlatform: hostPlatform(),
      report: options.report,
    };
    try {
      return await this.exchanges.during(options.exchange, exchange, () =>
        act(deps, request, exchange),
      );
    } finally {
      named.close();
      context.close();
      this.tidy();
    }
  }

  /** An agent that the client has lent by the usual name is for git, too. */
  private gitAccess({ agents, report }: BuildOptions): GitAccess {
    const id = "default";
    const tell = (connection: string) => report({ kind: "agent", id, connection });
    const agent = (path: string) => this.agents.listen(path, tell);
    return {
      directories: this.places.gitDirectories,
      agent: agents.has(id) ? agent : undefined,
    };
  }

  private namedContexts(
    parts: PartsReader | undefined,
    contexts: ContextDeps,
    { named, platforms, signal }: BuildOptions,
  ): Promise<NamedContexts> {
    const { images } = this.deps;
    const load = async (archive: AsyncIterable<Uint8Array>) => {
      const [image] = await images.load(archive, { platform: platforms[0] });
      if (image === undefined)
        throw fault("invalid", "build-parts", "the layout of a named context has no image");
      return image.id;
    };
    const places = { parent: this.contexts, kept: this.contextsKept };
    const deps = { ...places, ...contexts, load, signal };
    return NamedContexts.open(named, parts, deps);
  }

  exportMount: BuildPort["exportMount"] = (name, use) =>
    exportCacheMount(this.mountCopies(), name, use);

  importMount: BuildPort["importMount"] = (name, archive, signal) =>
    importCacheMount(this.mountCopies(), name, archive, signal);

  private mountCopies() {
    const { kernel, driver } = this.deps;
    return { mounts: this.kept.mounts, threads: this.threads, driver, kernel };
  }

  exchange: BuildPort["exchange"] = (token) => this.exchanges.of(token);

  private sharedOf(
    deps: PerformerDeps,
    options: BuildOptions,
    exchange: CacheExchange,
  ): SharedCaches {
    const { cacheFrom, cacheTo, args, signal, report } = options;
    return new SharedCaches(deps, {
      sources: cacheSources(this.deps.images, cacheFrom, options, exchange),
      exports: cacheTo.length > 0,
      inline:
        args.get("BUILDKIT_INLINE_CACHE") === "1" || cacheTo.some(({ type }) => type === "inline"),
      warn: (text) => report({ kind: "warning", text }),
      signal,
    });
  }

  /** Keeps the cache small; no build waits for it. */
  private tidy(): void {
    if (this.tidying) return;
    this.tidying = true;
    forgetBuildCache(this.kept)
      .catch((error) => log.warn("keep the cache of builds small", { error: messageOf(error) }))
      .finally(() => {
        this.tidying = false;
      });
  }
}
