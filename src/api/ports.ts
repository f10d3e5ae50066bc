/**
 * What the API needs from the rest of the daemon; main supplies it.
 */
import type { Duplex } from "node:stream";
import type { Exposition } from "../base/metrics.ts";
import type { Selection } from "../base/selection.ts";
import type { Entitlement, StepLimits } from "../builder/index.ts";
import type { Engine, EngineEvent, Events } from "../engine/index.ts";
import type { CacheFrom, CacheTo } from "../spec/build-caches.ts";
import type { BuildEvent } from "../spec/build-events.ts";
import type { BuildOutput } from "../spec/build-output.ts";
import type { ContextAnswer } from "../spec/context-list.ts";
import type {
  DistributionInspect,
  ImageDeleteResponseItem,
  ImageHistoryResponseItem,
  ImageInspect,
  ImageSummary,
  IPAMConfig,
  Network,
  NetworkCreateResponse,
  SystemInfo,
  SystemVersion,
  Volume,
} from "../spec/engine-api.ts";
import type { SecurityReport } from "../spec/extensions.ts";
import type { NamedContextSource } from "../spec/named-contexts.ts";
import type { Platform } from "../spec/platform.ts";

/** Bytes that come in or go out. */
export type Bytes = AsyncIterable<Uint8Array>;

/** Filters of a list: each key with its accepted values. */
export type QueryFilters = Readonly<Record<string, readonly string[]>>;

/** Containers and execs. */
export type ContainersPort = Pick<
  Engine,
  | "get"
  | "create"
  | "start"
  | "stop"
  | "restart"
  | "kill"
  | "pause"
  | "unpause"
  | "resize"
  | "rename"
  | "remove"
  | "wait"
  | "attach"
  | "checkAttachable"
  | "detached"
  | "createExec"
  | "execs"
  | "logs"
  | "inspect"
  | "list"
  | "update"
  | "top"
  | "prune"
  | "stats"
  | "statsStream"
  | "changes"
  | "export"
  | "commit"
  | "statPath"
  | "copyOut"
  | "copyIn"
  | "removeLink"
  | "connect"
  | "disconnect"
>;

/** Who asks a registry. Everything empty: nobody in particular. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string;
  readonly registryToken?: string;
}

/** How an image is fetched or sent. */
export interface TransferOptions {
  readonly credentials: RegistryCredentials;
  readonly report: (step: object) => void;
  readonly signal: AbortSignal;
  readonly platform?: Platform | undefined;
  /** A fetch: what there is for other platforms comes, too. */
  readonly allPlatforms?: boolean | undefined;
  /** A fetch: what refers to the image comes, too. */
  readonly referrers?: boolean | undefined;
}

/** How an archive of images is loaded. */
export interface LoadOptions {
  readonly platform?: Platform | undefined;
  readonly report?: (step: object) => void;
}

/** An image that was loaded. */
export interface LoadedImage {
  readonly id: string;
  readonly names: readonly string[];
  /** Names that another image had until now. */
  readonly replaced: readonly { readonly name: string; readonly id: string }[];
}

/** How an archive of files becomes an image. */
export interface ImportOptions {
  readonly reference?: string | undefined;
  readonly message?: string | undefined;
  readonly changes?: readonly string[];
  readonly platform?: Platform | undefined;
}

/** How an image is built. */
export interface BuildOptions {
  /** In the context; "" is the usual place. */
  readonly dockerfile: string;
  /** A context that the daemon fetches; "" for one that is sent. */
  readonly remote: string;
  /** A context of which only what has changed is sent. */
  readonly kept:
    | { readonly key: string; readonly generation: string; readonly unchanged: boolean }
    | undefined;
  /** What FROM and --from may mean beside stages and images; with any, the body is several archives (base/parts.ts). */
  readonly named: readonly NamedContextSource[];
  readonly target: string;
  readonly args: ReadonlyMap<string, string>;
  readonly labels: Readonly<Record<string, string>>;
  /** What comes of it, and where that goes. */
  readonly outputs: readonly BuildOutput[];
  /** An image for each; none: for the host's own. */
  readonly platforms: readonly Platform[];
  /** Makes one layer of all new ones. */
  readonly squash: boolean;
  readonly noCache: boolean;
  /** Stages whose steps are done again, by their names. */
  readonly noCacheFilter: readonly string[];
  readonly cacheFrom: readonly CacheFrom[];
  readonly cacheTo: readonly CacheTo[];
  /** By which the client sends and gets caches of its own directories; "": it does not. */
  readonly exchange: string;
  readonly pull: boolean;
  /** Tells why steps are not taken from the cache. */
  readonly explain: boolean;
  /** Makes an image of what there was before a step that fails. */
  readonly keepFailed: boolean;
  /** What of the host RUN may have. */
  readonly allowed: ReadonlySet<Entitlement>;
  /** Agents of ssh that the client lets be used, by their ids. */
  readonly agents: ReadonlySet<string>;
  /** By their ids. */
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly limits: StepLimits;
  /** Who asks a registry for what is built on. */
  readonly credentials: (domain: string) => RegistryCredentials;
  readonly signal: AbortSignal;
  readonly report: (event: BuildEvent) => void;
  /** Takes the bytes of an output, by its place among them: one after the other, and only once everything is built. */
  readonly deliver: (at: number, bytes: Bytes) => Promise<void>;
}

/** What was built. */
export interface BuildResult {
  /** The image in the store, or else that of an archive; undefined when only files were wanted. */
  readonly id: string | undefined;
  /** The names that it has got. */
  readonly tags: readonly string[];
  /** By BuildKit's names (containerimage.digest, …). */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** What a build's client sends and gets beside it (spec/cache-exchange.ts). Throws Faults "not-found" where nobody waits. */
export interface ExchangePort {
  give(want: number, body: Bytes, error: string | undefined): Promise<void>;
  offered(digest: string): Bytes;
  taken(offer: number, error: string | undefined): void;
}

/** Builds. */
export interface BuildPort {
  /**
   * Hands out a directory of RUN --mount=type=cache as an archive; no build uses it meanwhile. Rejects with Faults before that
   * has begun.
   */
  exportMount(name: string, use: (archive: Bytes) => Promise<void>): Promise<void>;
  /** Makes such a directory of an archive, in the place of the one before; gives its id. */
  importMount(name: string, archive: Bytes, signal: AbortSignal): Promise<string>;
  /** What the build with this token exchanges with its client. */
  exchange(token: string): ExchangePort;
  /** Builds images from an archive of their context. */
  build(context: Bytes, options: BuildOptions): Promise<BuildResult>;
  /** Only looks for what is wrong or not as it should be in the Dockerfile, and tells it by events. */
  check(context: Bytes, options: BuildOptions): Promise<void>;
  /** The build's end of a connection to an agent, for the client that was told of it. Throws a Fault "not-found". */
  takeAgent(connection: string): Duplex;
  /** Which of a context's files, given as a list or as the digest of one, are to be sent. */
  compareContext(key: string, digest: string, list: Bytes): Promise<ContextAnswer>;
}

/** Images. */
export interface ImagesPort {
  list(
    filters: QueryFilters,
    options: {
      readonly sharedSize: boolean;
      /** Images without names that others were made from, too. */
      readonly all: boolean;
      /** Only what was made before, in milliseconds since 1970. */
      readonly until: number | undefined;
      /** What of each image's distributable form is here. */
      readonly manifests: boolean;
    },
  ): ImageSummary[];
  inspect(name: string, platform?: Platform, manifests?: boolean): ImageInspect;
  history(name: string, platform?: Platform): ImageHistoryResponseItem[];
  tag(source: string, target: string): void;
  /** Tells of it by events, too. */
  remove(name: string, force: boolean, keepParents: boolean): ImageDeleteResponseItem[];
  load(archive: Bytes, options: LoadOptions): Promise<readonly LoadedImage[]>;
  /** An archive of images. Throws before the first byte when one of them is not there. */
  save(names: readonly string[], platform?: Platform): Promise<Bytes>;
  importTar(archive: Bytes, options: ImportOptions): Promise<string>;
  /** From an address. Rejects before anything is reported when it cannot be had. */
  importFrom(
    address: string,
    options: ImportOptions & Pick<TransferOptions, "report" | "signal">,
  ): Promise<string>;
  /** Rejects before anything is reported when the image cannot be had at all. */
  pull(name: string, options: TransferOptions): Promise<void>;
  push(name: string, options: TransferOptions): Promise<void>;
  /** The tags that a registry, and that this host has of a repository. */
  remoteTags(repository: string, options: TransferOptions): Promise<readonly string[]>;
  localTags(repository: string): readonly string[];
  /** What a registry has under a name. */
  describeRemote(name: string, options: TransferOptions): Promise<DistributionInspect>;
}

/** Files into and out of something that is called by a name: a container, a volume. */
export interface FilesPort extends Pick<Engine, "statPath" | "copyIn"> {
  copyOut(name: string, path: string, signal: AbortSignal): ReturnType<Engine["copyOut"]>;
}

/** Volumes. */
export interface VolumesPort {
  readonly files: FilesPort;
  list(filters: QueryFilters): Promise<Volume[]>;
  get(name: string): Promise<Volume>;
  /** Makes a volume, or gives the existing one of that name. */
  create(input: {
    readonly name?: string | undefined;
    readonly driver?: string | undefined;
    readonly labels?: Record<string, string> | undefined;
    readonly options?: Record<string, string> | undefined;
  }): Promise<{ readonly volume: Volume; readonly isNew: boolean }>;
  /** Gives its driver. */
  remove(name: string, force: boolean): Promise<string>;
  /** What a volume holds at one moment, as a tar archive. */
  export(name: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** Makes a volume of such an archive, or fills an empty one. */
  import(
    name: string,
    archive: AsyncIterable<Uint8Array>,
    labels: Readonly<Record<string, string>>,
  ): Promise<{ readonly volume: Volume; readonly isNew: boolean }>;
  /** Makes a volume that holds what another does. */
  copy(
    name: string,
    wish: {
      /** Empty for a snapshot that is called after the time. */
      readonly name: string;
      readonly isSnapshot: boolean;
      readonly labels: Readonly<Record<string, string>>;
      readonly signal: AbortSignal;
    },
  ): Promise<Volume>;
}

/** What a network is to be, in the API's own names. */
export interface NetworkWish {
  readonly Name?: string | undefined;
  readonly Driver?: string | undefined;
  readonly Scope?: string | undefined;
  readonly Internal?: boolean | undefined;
  readonly Attachable?: boolean | undefined;
  readonly Ingress?: boolean | undefined;
  readonly ConfigOnly?: boolean | undefined;
  readonly ConfigFrom?: { readonly Network?: string | undefined } | undefined;
  readonly EnableIPv4?: boolean | undefined;
  readonly EnableIPv6?: boolean | undefined;
  readonly IPAM?:
    | {
        readonly Driver?: string | undefined;
        readonly Options?: Readonly<Record<string, string>> | undefined;
        readonly Config?: readonly IPAMConfig[] | undefined;
      }
    | undefined;
  readonly Options?: Readonly<Record<string, string>> | undefined;
  readonly Labels?: Readonly<Record<string, string>> | undefined;
}

/** Networks. References are names, ids and the beginnings of those. */
export interface NetworksPort {
  list(filters: QueryFilters): Network[];
  get(reference: string): Network;
  create(wish: NetworkWish): Promise<NetworkCreateResponse>;
  remove(reference: string): Promise<void>;
  /** `dryRun`: only says which. */
  prune(selection: Selection, dryRun: boolean): Promise<{ readonly NetworksDeleted: string[] }>;
}

/** The daemon itself. */
export interface SystemPort {
  info(): SystemInfo;
  version(): SystemVersion;
  /** The numbers for Prometheus, as text. */
  metrics(form: Exposition): Promise<string>;
}

/** What images and volumes to remove. */
export interface PruneWish extends Selection {
  /** Images without a name only, or anonymous volumes only. */
  readonly onlyNameless: boolean;
  /** Only say what would go: now, or once the stopped containers have gone that are chosen alike. */
  readonly dryRun: boolean | "after-containers";
}

/** What of the builds' cache to remove; all that is said must hold. */
export interface BuildCacheWish {
  /** What images have, too. */
  readonly all: boolean;
  /** Only what was not used since; milliseconds since 1970. */
  readonly unusedSince?: number | undefined;
  /** Bytes that may stay; 0: none. */
  readonly keep: number;
  /** Bytes that are to be free on the disk; 0: it does not matter. */
  readonly minFree: number;
  /** Ids or beginnings of them. */
  readonly ids?: readonly string[] | undefined;
  readonly parents?: readonly string[] | undefined;
  readonly types?: readonly string[] | undefined;
  readonly descriptions?: readonly string[] | undefined;
  readonly shared?: boolean | undefined;
  readonly inUse?: boolean | undefined;
  readonly dryRun: boolean;
}

/** What takes room. */
export const diskKinds = ["image", "container", "volume", "build-cache"] as const;
/** One of them. */
export type DiskKind = (typeof diskKinds)[number];

/** What berth tells of the disk beyond Docker's answer. */
export interface DiskExtras {
  /** Every byte of the data root, by kind. */
  readonly disk: boolean;
  /** Contents that lie in layers more than once; takes its time. */
  readonly duplicates: boolean;
  readonly signal: AbortSignal;
}

/** How to check the data root. */
export interface CheckWish {
  /** Do what can be done about what is found. */
  readonly repair: boolean;
  readonly signal: AbortSignal;
  /** Who asks a registry for what is fetched again. */
  credentials(domain: string): RegistryCredentials;
}

/** The disk: what takes room, and taking it back. */
export interface DiskPort {
  usage(kinds: readonly DiskKind[], extras: DiskExtras): Promise<unknown>;
  /** Looks at everything thoroughly; each item is a line of the answer. */
  check(wish: CheckWish): AsyncIterable<object>;
  pruneImages(wish: PruneWish): Promise<{
    readonly ImagesDeleted: readonly ImageDeleteResponseItem[];
    readonly SpaceReclaimed: number;
  }>;
  pruneVolumes(wish: PruneWish): Promise<{
    readonly VolumesDeleted: readonly string[];
    readonly SpaceReclaimed: number;
  }>;
  pruneBuildCache(wish: BuildCacheWish): Promise<{
    readonly CachesDeleted: readonly string[];
    readonly SpaceReclaimed: number;
  }>;
}

/** What is searched for in a registry. */
export interface SearchWish {
  readonly term: string;
  /** 0: as many as usual. */
  readonly limit: number;
  readonly official?: boolean | undefined;
  readonly stars: number;
}

/** One found repository, as the API shows it. */
export interface SearchResult {
  readonly name: string;
  readonly description: string;
  readonly star_count: number;
  readonly is_official: boolean;
  readonly is_automated: boolean;
}

/** The daemon's own registry. */
export interface OwnRegistryPort {
  /** Deletes blobs of the daemon's own registry that nothing names. Names are "repository@digest". */
  collect(wish: {
    readonly dryRun: boolean;
    readonly deleteUntagged: boolean;
    /** A duration as Go writes it. */
    readonly grace: string | undefined;
  }): Promise<{
    readonly manifests: readonly string[];
    readonly blobs: readonly string[];
    readonly young: number;
  }>;
}

/** Image registries. */
export interface RegistryPort {
  login(
    request: RegistryCredentials & { readonly serverAddress: string },
  ): Promise<{ readonly identityToken: string }>;
  search(wish: SearchWish, credentials: RegistryCredentials): Promise<readonly SearchResult[]>;
}

/** What containers really have. */
export interface SecurityPort {
  /** Throws Faults "not-found" and "conflict". */
  report(reference: string): SecurityReport;
}

/** Everything. */
export interface ApiPorts {
  readonly containers: ContainersPort;
  readonly images: ImagesPort;
  readonly builds: BuildPort;
  readonly volumes: VolumesPort;
  readonly networks: NetworksPort;
  readonly system: SystemPort;
  readonly disk: DiskPort;
  readonly security: SecurityPort;
  readonly registry: RegistryPort;
  readonly ownRegistry: OwnRegistryPort;
  readonly events: Pick<Events, "recent" | "listen" | "emit">;
}

export type { EngineEvent };
