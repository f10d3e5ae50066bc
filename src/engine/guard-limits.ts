/**
 * What a daemon that runs as an ordinary user, with a guard that has the host's rights, refuses: what the guard or the kernel
 * would refuse at the start is told at creation, in words. Pure.
 */
import { fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { MountRecord } from "./container-record.ts";

/** What the guard's policy allows. */
export interface GuardLimits {
  /** Directories of the host that may be bound. */
  readonly binds: readonly { readonly path: string; readonly readOnly: boolean }[];
  readonly devices: readonly string[];
  /** Containers may be in the daemon's own user namespace. */
  readonly privileged: boolean;
}

function refusal(what: string, wanted: string): Error {
  return fault("forbidden", "guarded", `${what} needs ${wanted} (docs/privilege-separation.md)`);
}

/**
 * Refuses what only a daemon has that is root, or what the policy does not allow. `host`: why the container needs the host's user
 * namespace, if it does. Throws Faults "forbidden".
 */
export function checkGuard(
  { binds, devices, privileged }: GuardLimits,
  hostConfig: HostConfig,
  mounts: readonly Pick<MountRecord, "type" | "source" | "readOnly">[],
  host: string | undefined,
): void {
  const { NetworkMode = "", Runtime = "", UsernsMode = "" } = hostConfig;
  if (NetworkMode === "host") throw refusal("--network=host", "a daemon that is root");
  if (Runtime !== "" && host === `--runtime=${Runtime}`)
    throw refusal(host, "a daemon that is root");
  if (UsernsMode.startsWith("remap:"))
    throw refusal(`--userns=${UsernsMode}`, "a daemon that is root");
  if (host !== undefined && !privileged)
    throw refusal(host, `a daemon that is root, or "privileged": true in the guard's policy`);
  const device = (hostConfig.Devices ?? []).find(
    ({ PathOnHost = "" }) => !devices.includes(PathOnHost),
  );
  if (device !== undefined)
    throw refusal(
      `--device=${device.PathOnHost}`,
      `a daemon that is root, or the device among "devices" in the guard's policy`,
    );
  for (const { type, source, readOnly } of mounts) {
    if (type !== "bind") continue;
    const bind = binds.find(({ path }) => source === path || source.startsWith(`${path}/`));
    if (bind === undefined)
      throw refusal(
        `the bind of ${source}`,
        `a daemon that is root, or its directory among "binds" in the guard's policy`,
      );
    if (bind.readOnly && !readOnly)
      throw refusal(`the bind of ${source}`, "to be read-only, as the guard's policy has it");
  }
}
