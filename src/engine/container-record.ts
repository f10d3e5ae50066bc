/**
 * What the engine knows of a container: plain data, as it is stored.
 */
import type { EndpointRecord, PublishedPort } from "../network/index.ts";
import type { ContainerConfig, HostConfig } from "../spec/engine-api.ts";
import type { MatchedUser } from "./id-maps.ts";
import type { UserIds } from "./user-ids.ts";

/** The states that the API names. */
export type Status =
  | "created"
  | "running"
  | "paused"
  | "restarting"
  | "exited"
  | "dead"
  | "removing";

/** What is done when a container becomes unhealthy. */
export type HealthAction = "none" | "kill" | "restart" | "stop";

/** What a container waits for: that another runs, is healthy, or has ended with success. */
export type DependencyCondition = "started" | "healthy" | "completed";

/** Another container that has to be there first. */
export interface DependencyRecord {
  /** A service of the same compose project… */
  readonly service?: string;
  /** …or a container's name or id. */
  readonly container?: string;
  readonly condition: DependencyCondition;
}

/** A container's place among those that are started together, as at a boot of the host. */
export interface StartOrderRecord {
  /** Compose's names for it. */
  readonly project?: string;
  readonly service?: string;
  readonly dependencies: readonly DependencyRecord[];
  /** Seconds that it waits for them; undefined: the usual. */
  readonly patience?: number;
}

/** A link to another container. */
export interface LinkRecord {
  /** Empty: it has come after the link, or is yet to come. */
  readonly id: string;
  /** As it was called when the link was made. */
  readonly name: string;
  readonly alias: string;
}

/** A network that a container is to be on whenever it runs. */
export interface AttachmentRecord {
  /** The network's id; empty: the default bridge. */
  readonly network: string;
  readonly name: string;
  /** What the interface is called in the container, at every start. */
  readonly interface: string;
  /** Names by which others on the network find it, besides its own. */
  readonly aliases: readonly string[];
  /** Names that others have for this container alone. */
  readonly links?: readonly LinkRecord[] | undefined;
  readonly address?: string | undefined;
  readonly address6?: string | undefined;
  readonly linkLocal?: readonly string[] | undefined;
  readonly mac?: string | undefined;
  readonly driverOptions?: Readonly<Record<string, string>> | undefined;
  /** Of several networks the one with the highest leads out. */
  readonly gatewayPriority?: number | undefined;
}

/** A mount, resolved at creation. */
export interface MountRecord {
  readonly type: "bind" | "volume" | "tmpfs" | "image";
  /** The host's directory or file; an image's id; empty for tmpfs. */
  readonly source: string;
  /** A path in the source that alone is mounted. */
  readonly subpath?: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** The volume's name. */
  readonly volume?: string;
  /** The volume's driver, unless it is the local one. */
  readonly driver?: string;
  /** Words behind the second colon of a bind, as Docker shows them. */
  readonly mode: string;
  readonly propagation: string;
  readonly recursive: boolean;
  /** A start makes the host's directory where it is missing, as -v has it. */
  readonly makeSource?: true;
  /** Read-only does not reach what is mounted below it. */
  readonly readOnlyOnTop?: boolean;
  /** An image's layers, the lowest first. */
  readonly chain?: readonly string[];
  /** Directories in place of an image's layers, the uppermost first. */
  readonly directories?: readonly string[];
  /** A directory with "upper" and "work", where what is written to an image's file system goes. */
  readonly writes?: string;
  /** A bind whose owners are seen as the container's user. */
  readonly matchUser?: MatchedUser;
  /** tmpfs: mount options. */
  readonly options?: readonly string[];
  /** Copy the image's content into the volume when it is empty. */
  readonly copyUp: boolean;
}

/** One result of a health check. Times in ISO 8601. */
export interface ProbeRecord {
  readonly start: string;
  readonly end: string;
  /** -1: it did not end by itself. */
  readonly exitCode: number;
  readonly output: string;
}

/** What the health checks have found since the last start. */
export interface HealthRecord {
  readonly status: "starting" | "healthy" | "unhealthy";
  readonly failingStreak: number;
  /** The newest last. */
  readonly log: readonly ProbeRecord[];
}

/** What a run has lost of its log. */
export interface LogLosses {
  /** Records that went for newer ones, in a ring that was full. */
  readonly dropped: number;
  /** Records that a full disk did not take. */
  readonly failed: number;
  /** Gaps in what was sent to where the driver sends. */
  readonly unsent: number;
}

/** How a container stands. Times in ISO 8601; empty when it never came to that. */
export interface StateRecord {
  status: Status;
  pid: number;
  exitCode: number;
  error: string;
  oomKilled: boolean;
  startedAt: string;
  finishedAt: string;
  /** Present once it has been started with a health check. */
  health?: HealthRecord | undefined;
  /** Present once records of this run are lost. */
  logLosses?: LogLosses | undefined;
}

/** What has been changed while the container runs, and is applied at its next start. */
export interface PendingRecord {
  /** The fields that differ, each as it will be. */
  readonly config: Partial<ContainerConfig>;
  readonly hostConfig: Partial<HostConfig>;
  /** All mounts as they will be. */
  readonly mounts: readonly MountRecord[];
}

/** A user namespace of a container's own. */
export interface UserNamespaceRecord extends UserIds {
  /** Targets of mounts whose file systems cannot show owners through it. */
  readonly unmapped: readonly string[];
}

/** A container. What may change after creation is not readonly. */
export interface ContainerRecord {
  readonly id: string;
  name: string;
  /** ISO 8601. */
  readonly created: string;
  /** The image's id. */
  readonly image: string;
  /** Chain ids of the image's layers, the lowest first. */
  readonly chain: readonly string[];
  /** The image's configuration merged with what the user asked for. */
  config: ContainerConfig;
  hostConfig: HostConfig;
  /** Those of the running container, where it runs. */
  mounts: readonly MountRecord[];
  pending?: PendingRecord | undefined;
  /** Those of the user's own labels that ask something of berth: the next two. */
  wishLabels?: Readonly<Record<string, string>> | undefined;
  /** When it becomes unhealthy; undefined: nothing. */
  healthAction?: HealthAction | undefined;
  /** What it waits for when many are started at once. */
  startOrder?: StartOrderRecord | undefined;
  /** Other containers that it knows by aliases (--link). */
  links?: readonly LinkRecord[] | undefined;
  /** The networks that it is to be on; undefined: what its network mode says. */
  attachments?: readonly AttachmentRecord[] | undefined;
  readonly state: StateRecord;
  /** By which it leads out and publishes ports, or the only one. Present from just before the network is attached until it has been detached. */
  endpoint?: EndpointRecord | undefined;
  /** Its ends on other networks, present as long. */
  moreEndpoints?: readonly EndpointRecord[] | undefined;
  /** A network that the running container is about to be on, or not to be on any more: what there is of that goes if it comes to nothing. */
  settling?: string | undefined;
  /** Ports that its shim holds while none of its networks publishes them. */
  heldPorts?: readonly PublishedPort[] | undefined;
  /** What its shim understands (SHIM_VERSION), from its start on; undefined: 1. */
  shimVersion?: number;
  /** A change of the ports of the running container has begun, and perhaps not been finished. */
  changing?: true | undefined;
  /** Where its cgroup was made at its last start, when that is outside of berth's own group. */
  cgroup?: string | undefined;
  /** The MAC address that was asked for, of a container from before it had attachments. */
  readonly macAddress?: string | undefined;
  /** Which user namespace it is to have, as it was chosen at its creation; undefined: the host's. */
  readonly usernsMode?: string;
  /** Why it has the host's though it would have another: since its creation, or since its last start. */
  usernsReason?: string | undefined;
  /** From its first start on: which ids are its own. */
  userNamespace?: UserNamespaceRecord | undefined;
  /** As it was asked for; from its start on, as it is ("unconfined" too), empty where the host has no AppArmor. */
  appArmorProfile?: string | undefined;
  /** SELinux' labels; empty or undefined: none. */
  processLabel?: string | undefined;
  mountLabel?: string | undefined;
  restartCount: number;
  /** A user has stopped it since its last start: "unless-stopped" then leaves it alone. */
  stoppedByUser?: boolean;
  /** True once a user has started it by hand since the daemon stopped it. */
  hasBeenStarted: boolean;
}
