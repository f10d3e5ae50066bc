/**
 * What berth adds to the Engine API, always in a field "Berth" of its own, so that whoever does not know it sees Docker's API
 * unchanged. docs/extensions.md explains it to users.
 */
import type { ContainerConfig, HostConfig, Mount, PortMap } from "./engine-api.ts";

/** Changes to an existing container: the field "Berth" in the body of POST /containers/{id}/update. */
export interface ContainerChanges {
  /** Ports to publish besides those that are published. */
  readonly PortBindings?: PortMap | undefined;
  /** Ports to publish no more; an empty HostIp or HostPort stands for any. */
  readonly PortBindingsRemove?: PortMap | undefined;
  /** Whether every exposed port is published. */
  readonly PublishAllPorts?: boolean | undefined;
  /** Labels to set, at once. */
  readonly Labels?: Readonly<Record<string, string>> | undefined;
  readonly LabelsRemove?: readonly string[] | undefined;

  // What follows is applied at the next start; at once where the container does not run.
  /** Variables to set, as NAME=value. */
  readonly Env?: ContainerConfig["Env"];
  readonly EnvRemove?: readonly string[] | undefined;
  readonly Cmd?: ContainerConfig["Cmd"];
  readonly Entrypoint?: ContainerConfig["Entrypoint"];
  readonly User?: string | undefined;
  readonly WorkingDir?: string | undefined;
  readonly Hostname?: string | undefined;
  /** Mounts, as in the body of a creation; one for a target that has another takes its place. */
  readonly Binds?: HostConfig["Binds"];
  readonly Mounts?: HostConfig["Mounts"];
  readonly Tmpfs?: HostConfig["Tmpfs"];
  /** Anonymous volumes. */
  readonly Volumes?: ContainerConfig["Volumes"];
  /** Targets where nothing is to be mounted any more. */
  readonly MountsRemove?: readonly string[] | undefined;
}

/** A bind mount's options with berth's own in the field "Berth". */
export type BindOptions = NonNullable<Mount["BindOptions"]> & {
  Berth?:
    | {
        /** The files of a user of the host appear as the container's user's, and back. */
        readonly IdMap?: "match-user" | undefined;
        /** That user as UID:GID; without it whoever owns the source. */
        readonly User?: string | undefined;
      }
    | undefined;
};

/** What berth adds to the answers of an update and of inspect. */
export interface BerthState {
  /** The fields that have been changed and are applied at the next start. */
  readonly RestartPending?: readonly string[];
  /** Present when the container has a user namespace of its own, or has the host's for a reason. */
  readonly UserNamespace?: UserNamespaceState | undefined;
}

/** Ids of a container and the host's that they are. */
export interface IdMapState {
  readonly ContainerID: number;
  readonly HostID: number;
  readonly Size: number;
}

/** A container's user namespace. */
export interface UserNamespaceState {
  /** "host", "auto" or "remap:NAME". */
  readonly Mode: string;
  /** Why it is the host's though the container would have another. */
  readonly Reason?: string;
  readonly UidMap?: readonly IdMapState[];
  readonly GidMap?: readonly IdMapState[];
  /** Where in the container something is mounted whose file system cannot show owners through the namespace. */
  readonly Unmapped?: readonly string[];
}

/** A range of ids in a user namespace. */
export interface IdRange {
  readonly ContainerId: number;
  readonly HostId: number;
  readonly Size: number;
}

/** What a container's first process really has, read from /proc: GET /berth/containers/{id}/security. */
export interface SecurityReport {
  readonly Id: string;
  readonly Name: string;
  readonly Pid: number;
  /** As the host numbers them. */
  readonly User: { readonly Uid: number; readonly Gid: number; readonly Groups: readonly number[] };
  readonly UidMap: readonly IdRange[];
  readonly GidMap: readonly IdRange[];
  readonly Capabilities: Readonly<
    Record<"Effective" | "Permitted" | "Inheritable" | "Bounding" | "Ambient", readonly string[]>
  >;
  readonly NoNewPrivileges: boolean;
  readonly Seccomp: { readonly Mode: "disabled" | "strict" | "filter"; readonly Filters: number };
  /** Of AppArmor or SELinux; "" where no such module is active. */
  readonly Label: string;
  readonly Namespaces: readonly {
    readonly Type: string;
    readonly Id: string;
    readonly SharedWithHost: boolean;
  }[];
  readonly Cgroups: readonly string[];
  readonly MaskedPaths: readonly string[];
  readonly ReadonlyPaths: readonly string[];
  /** null where the kernel does not tell (cgroup v2: a program decides). */
  readonly DeviceRules: readonly string[] | null;
  /** Devices that are open, such as "c 1:3 /dev/null". */
  readonly OpenDevices: readonly string[];
  readonly Rlimits: readonly {
    readonly Name: string;
    readonly Soft: string;
    readonly Hard: string;
  }[];
  readonly OomScoreAdj: number;
}
