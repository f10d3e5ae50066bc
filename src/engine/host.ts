/**
 * Looking things up on the host for a container: devices, users, namespaces of other containers.
 */
import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { deviceNumbers } from "../base/device-number.ts";
import { fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { OciDevice } from "../spec/oci-runtime.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import type { NamespaceChoice, ResolvedUser } from "./oci.ts";
import type { ResourceHost } from "./oci-resources.ts";
import type { GrantedDevice } from "./oci-security.ts";
import { layerOf } from "./places.ts";
import { resolveUser } from "./users.ts";

const PASSWD_MAX = 4 << 20;

/** What limits are checked against, on this host. */
export function resourceHostOf(deps: Pick<EngineDeps, "features" | "cgroups">): ResourceHost {
  return {
    cpus: deps.features.cpus,
    swapAccounting: deps.cgroups.swapAccounting,
    deviceNumbers(path) {
      const info = statSync(path, { throwIfNoEntry: false });
      if (info === undefined || !info.isBlockDevice())
        throw fault("invalid", "no-such-device", `${path} is no block device of this host`);
      return deviceNumbers(info.rdev);
    },
  };
}

function nodeAt(host: string, inside: string): OciDevice | undefined {
  const info = statSync(host, { throwIfNoEntry: false });
  if (info === undefined || !(info.isCharacterDevice() || info.isBlockDevice())) return undefined;
  return {
    type: info.isBlockDevice() ? "b" : "c",
    path: inside,
    ...deviceNumbers(info.rdev),
    fileMode: info.mode & 0o777,
    uid: info.uid,
    gid: info.gid,
  };
}

function nodesBelow(host: string, inside: string): OciDevice[] {
  return readdirSync(host, { withFileTypes: true }).flatMap((entry) => {
    const [from, to] = [`${host}/${entry.name}`, `${inside}/${entry.name}`];
    if (entry.isDirectory())
      return ["pts", "shm", "fd", "mqueue"].includes(entry.name) ? [] : nodesBelow(from, to);
    const node = entry.isSymbolicLink() ? undefined : nodeAt(from, to);
    return node === undefined ? [] : [node];
  });
}

/** The host's devices that a container is given. Throws a Fault "invalid" in Docker's words. */
export function devicesOf(config: HostConfig): GrantedDevice[] {
  if (config.DeviceRequests?.length)
    throw fault(
      "unsupported",
      "device-request",
      'could not select device driver "" with capabilities: [[gpu]]: berth has no GPU support; use --device',
    );
  if (config.Privileged)
    return nodesBelow("/dev", "/dev")
      .filter((node) => !["/dev/console", "/dev/ptmx", "/dev/tty"].includes(node.path))
      .map((node) => ({ node, access: "rwm" }));
  return (config.Devices ?? []).flatMap(
    ({ PathOnHost = "", PathInContainer = "", CgroupPermissions }) => {
      const access = CgroupPermissions || "rwm";
      if (!/^[rwm]{1,3}$/.test(access))
        throw fault("invalid", "device-mode", `invalid device mode: ${access}`);
      const inside = PathInContainer || PathOnHost;
      const info = lstatSync(PathOnHost, { throwIfNoEntry: false });
      const target = info?.isSymbolicLink()
        ? statSync(PathOnHost, { throwIfNoEntry: false })
        : info;
      const nodes = target?.isDirectory()
        ? nodesBelow(PathOnHost, inside)
        : [nodeAt(PathOnHost, inside)].filter((node) => node !== undefined);
      if (nodes.length === 0)
        throw fault(
          "invalid",
          "device",
          `error gathering device information while adding custom device "${PathOnHost}": ${target === undefined ? "no such file or directory" : "not a device node"}`,
        );
      return nodes.map((node) => ({ node, access }));
    },
  );
}

/** Looks a container's user up in its own files while it is not running. */
export function userInImage(deps: EngineDeps, container: Container): ResolvedUser {
  const { record } = container;
  const layer = layerOf(record);
  const read = (path: string) =>
    new TextDecoder().decode(deps.driver.readFile(layer, path, PASSWD_MAX) ?? new Uint8Array(0));
  return resolveUser(
    record.config.User ?? "",
    read("/etc/passwd"),
    read("/etc/group"),
    record.hostConfig.GroupAdd ?? [],
  );
}

/** Looks a user up in a running container's files; no link there leads out. */
export async function userInRunning(
  deps: EngineDeps,
  container: Container,
  user: string,
): Promise<ResolvedUser> {
  const root = `/proc/${container.record.state.pid}/root`;
  const read = async (path: string) => {
    const data = await deps.kernel
      .readInRoot(root, path, PASSWD_MAX)
      .catch(() => new Uint8Array(0));
    return new TextDecoder().decode(data);
  };
  const [passwd, group] = [await read("etc/passwd"), await read("etc/group")];
  return resolveUser(user, passwd, group, container.record.hostConfig.GroupAdd ?? []);
}

/** What --network, --pid, --ipc and --uts choose. Throws Faults in Docker's words. */
export function namespaceChoice(
  deps: EngineDeps,
  mode: string | undefined,
  kind: string,
): NamespaceChoice {
  if (mode === "host") return "host";
  const match = /^container:(.+)$/.exec(mode ?? "");
  if (match?.[1] === undefined) return "own";
  const other = deps.registry.get(match[1]);
  if (!other.running) {
    const what =
      kind === "network"
        ? "cannot join network of a non running container"
        : `cannot join ${kind.toUpperCase()} of a non running container`;
    throw fault("conflict", "namespace-of-stopped", `${what}: ${other.id}`);
  }
  return { pid: other.record.state.pid };
}

/** Reads a seccomp profile that was given by path; the CLI usually sends the content itself. */
export function readProfile(value: string): string {
  return value.trimStart().startsWith("{") ? value : readFileSync(value, "utf8");
}
