/**
 * What berth adds to the Engine API, always in a field "Berth" of its own, so that whoever does not know it sees Docker's API
 * unchanged. docs/extensions.md explains it to users.
 */
import type { PortMap } from "./engine-api.ts";

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
}
