/**
 * What a daemon that runs as an ordinary user, with a guard that has the host's rights, refuses: what the guard or the kernel
 * would refuse at the start is told at creation, in words that name the policy's file and its key. Pure.
 */
import { fault } from "../base/errors.ts";
import { isWithinSubnet, type PortWish } from "../network/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { MountRecord } from "./container-record.ts";

/** What the guard's policy allows. */
export interface GuardLimits {
  /** The policy's file. */
  readonly file: string;
  /** Directories of the host that may be bound. */
  readonly binds: readonly { readonly path: string; readonly readOnly: boolean }[];
  /** Ports that may be published, as pairs of a first and a last one. */
  readonly ports: readonly (readonly [number, number])[];
  /** Networks of addresses at which they may be. */
  readonly addresses: readonly { readonly address: string; readonly prefix: number }[];
  readonly devices: readonly string[];
  /** Containers may be in the daemon's own user namespace. */
  readonly privileged: boolean;
}

function refusal(what: string, wanted: string): Error {
  return fault("forbidden", "guarded", `${what} needs ${wanted} (docs/privilege-separation.md)`);
}

function notAllowed({ file }: GuardLimits, what: string, wanted: string): Error {
  return refusal(what, `a daemon that is root, or ${wanted} in the guard's policy, ${file}`);
}

/** Throws Faults "forbidden" for the first mount that the policy does not allow. */
export function checkGuardBinds(
  guard: GuardLimits,
  mounts: readonly Pick<MountRecord, "type" | "source" | "readOnly">[],
): void {
  for (const { type, source, readOnly } of mounts) {
    if (type !== "bind") continue;
    const bind = guard.binds.find(({ path }) => source === path || source.startsWith(`${path}/`));
    if (bind === undefined)
      throw notAllowed(guard, `the bind of ${source}`, `its directory among "binds"`);
    if (bind.readOnly && !readOnly)
      throw refusal(
        `the bind of ${source}`,
        `to be read-only, as "binds" in the guard's policy has it, ${guard.file}`,
      );
  }
}

/**
 * Refuses what only a daemon has that is root, or what the policy does not allow. `host`: why the container needs the host's user
 * namespace, if it does. `ownGroup`: the control group that is the daemon's. Throws Faults "forbidden".
 */
export function checkGuard(
  guard: GuardLimits,
  ownGroup: string,
  hostConfig: HostConfig,
  mounts: readonly Pick<MountRecord, "type" | "source" | "readOnly">[],
  host: string | undefined,
): void {
  const { CgroupParent = "", NetworkMode = "", Runtime = "", UsernsMode = "" } = hostConfig;
  if (NetworkMode === "host") throw refusal("--network=host", "a daemon that is root");
  if (CgroupParent.startsWith("/") && !`${CgroupParent}/`.startsWith(`${ownGroup}/`))
    throw refusal(`--cgroup-parent=${CgroupParent}`, "a daemon that is root");
  if (Runtime !== "" && host === `--runtime=${Runtime}`)
    throw refusal(host, "a daemon that is root");
  if (UsernsMode.startsWith("remap:"))
    throw refusal(`--userns=${UsernsMode}`, "a daemon that is root");
  if (host !== undefined && !guard.privileged) throw notAllowed(guard, host, `"privileged": true`);
  const device = (hostConfig.Devices ?? []).find(
    ({ PathOnHost = "" }) => !guard.devices.includes(PathOnHost),
  );
  if (device !== undefined)
    throw notAllowed(guard, `--device=${device.PathOnHost}`, `the device among "devices"`);
  checkGuardBinds(guard, mounts);
}

/** Refuses ports and addresses that the policy does not allow. Throws Faults "forbidden". */
export function checkGuardPorts(guard: GuardLimits, wishes: readonly PortWish[]): void {
  for (const { hostAddress, hostPorts } of wishes) {
    // Where no address is named, it is every one.
    const address = hostAddress || "0.0.0.0";
    if (!guard.addresses.some((subnet) => isWithinSubnet(address, subnet)))
      throw notAllowed(guard, `a port at ${address}`, `the address among "addresses"`);
    const [first, last] = hostPorts;
    if (first !== 0 && !guard.ports.some(([from, to]) => first >= from && last <= to))
      throw notAllowed(
        guard,
        first === last ? `the port ${first}` : `a port of ${first}-${last}`,
        `the port among "ports"`,
      );
  }
}

/** Ports that the kernel may choose, of which there must be one. */
const EPHEMERAL = [32768, 60999] as const;

/** Of which ports one is chosen where none is named; undefined: what the kernel chooses is allowed. */
export function choosablePorts({ ports }: GuardLimits): readonly [number, number] | undefined {
  const [low, high] = EPHEMERAL;
  if (ports.some(([from, to]) => from <= low && to >= high)) return undefined;
  // As many as there are.
  return ports.toSorted((a, b) => b[1] - b[0] - (a[1] - a[0]))[0];
}
