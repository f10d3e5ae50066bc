/**
 * What the engine's functions work with: small things, made by main and handed over as a whole.
 */
import type { Timings } from "../base/metrics.ts";
import type { Trash } from "../base/trash.ts";
import type { ImageStore } from "../images/index.ts";
import type { Kernel } from "../kernel/index.ts";
import type { LogOptions } from "../logging/index.ts";
import type { Networks, Resolver } from "../network/index.ts";
import type { AppArmor, Cgroups, HostFeatures, Selinux } from "../runtime/index.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import type { VolumeDrivers, VolumeStore } from "../volumes/index.ts";
import type { ContainerDatabase } from "./database.ts";
import type { Events } from "./events.ts";
import type { GuardLimits } from "./guard-limits.ts";
import type { HealthMonitor } from "./health.ts";
import type { LogCompression } from "./log-compression.ts";
import type { LogForwarding } from "./log-forwarding.ts";
import type { NameLookup } from "./name-lookup.ts";
import type { ContainerRegistry } from "./registry.ts";
import type { Restarts } from "./restarts.ts";
import type { Sampler } from "./stats.ts";
import type { UserNamespaceSettings } from "./user-namespaces.ts";
import type { UserNamespaceStock } from "./user-stock.ts";

/** Where things are and what the daemon was told. */
export interface EngineSettings {
  /** Containers' files that last: logs, hosts. */
  readonly containersDirectory: string;
  /** Run directories of shims; on a tmpfs. */
  readonly runDirectory: string;
  /** A directory that all roots are mounted on, each in its own mount namespace. */
  readonly mountPoint: string;
  /** "/berth": every container's cgroup is below it unless --cgroup-parent says otherwise. */
  readonly cgroupParent: string;
  /** Bytes after which a log is rotated, and how many files are kept, unless --log-opt says otherwise. */
  readonly logMaxSize: number;
  readonly logMaxFiles: number;
  /** The driver of containers that name none, and options that go with it. */
  readonly logDriver: string;
  readonly logOptions: LogOptions;
  readonly userNamespaces: UserNamespaceSettings;
  /** What asks name servers of the host's loopback, for networks that are apart from the host's. */
  readonly outerResolver?: string | undefined;
  /** Whether no_new_privs is on for containers that say nothing of it. */
  readonly noNewPrivileges: boolean;
  /** What a daemon that is not root has of the host by its guard; undefined: there is no guard. */
  readonly guard?: GuardLimits | undefined;
  /** External OCI runtimes by name. */
  readonly runtimes: ReadonlyMap<string, string>;
}

/** How long things take, for whoever asks for metrics. */
export interface EngineTimings {
  readonly container: Timings<"changes" | "commit" | "create" | "delete" | "start">;
  readonly network: Timings<"allocate" | "release">;
}

/** The engine's dependencies. */
export interface EngineDeps {
  readonly settings: EngineSettings;
  readonly kernel: Kernel;
  readonly cgroups: Cgroups;
  readonly features: HostFeatures;
  /** What confines processes besides, on hosts that have it. */
  readonly modules: { readonly apparmor: AppArmor; readonly selinux: Selinux };
  readonly driver: SnapshotDriver;
  readonly images: ImageStore;
  readonly volumes: VolumeStore;
  readonly volumeDrivers: VolumeDrivers;
  readonly networks: Networks;
  readonly userStock: UserNamespaceStock;
  readonly resolver: Resolver;
  readonly names: NameLookup;
  /** For containers' files that are to be deleted. */
  readonly trash: Trash;
  readonly database: ContainerDatabase;
  readonly registry: ContainerRegistry;
  readonly events: Events;
  readonly restarts: Restarts;
  readonly health: HealthMonitor;
  readonly forwarding: LogForwarding;
  readonly sampler: Sampler;
  readonly compression: LogCompression;
  readonly timings: EngineTimings;
}
