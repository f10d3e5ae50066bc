/**
 * Looking things up on the host for a container: devices, users, namespaces of other containers.
 */
import {
  type Dirent,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  type Stats,
  statSync,
} from "node:fs";
import { deviceNumbers } from "../base/device-number.ts";
import { errnoOf, fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { OciDevice } from "../spec/oci-runtime.ts";
import { type ResolvedUser, resolveUser } from "../spec/users.ts";
import type { Container } from "./container.ts";
import type { MountRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import type { NamespaceChoice } from "./oci.ts";
import type { ResourceHost } from "./oci-resources.ts";
import type { GrantedDevice } from "./oci-security.ts";
import { layerOf } from "./places.ts";

const PASSWD_MAX = 4 << 20;

/** What limits are checked against, on this host. */
export function resourceHostOf(deps: Pick<EngineDeps, "features" | "cgroups">): ResourceHost {
  return {
    cpus: deps.features.cpus,
    get memoryNodes() {
      return readFileSync("/sys/devices/system/node/has_memory", "utf8").trim();
    },
    swapAccounting: deps.cgroups.swapAccounting,
    has: (controller) => deps.cgroups.has(controller),
    can: (limit) => deps.cgroups.can(limit),
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

type Node = Pick<GrantedDevice, "host" | "node">;

/** Entries of a directory; none of one that a user's daemon may not read. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (errnoOf(error) === "EACCES") return [];
    throw error;
  }
}

function nodesBelow(host: string, inside: string): Node[] {
  return entriesOf(host).flatMap((entry) => {
    const [from, to] = [`${host}/${entry.name}`, `${inside}/${entry.name}`];
    if (entry.isDirectory())
      return ["pts", "shm", "fd", "mqueue"].includes(entry.name) ? [] : nodesBelow(from, to);
    const node = entry.isSymbolicLink() ? undefined : nodeAt(from, to);
    return node === undefined ? [] : [{ host: from, node }];
  });
}

/** A device of the host's, or those below a directory. Throws a Fault "invalid" in Docker's words when there is none. */
function devicesAt(path: string, inside: string): Node[] {
  const wrong = (what: string) =>
    fault(
      "invalid",
      "device",
      `error gathering device information while adding custom device "${path}": ${what}`,
    );
  let target: Stats | undefined;
  try {
    target = statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    // A user's daemon may not look everywhere.
    if (errnoOf(error) === "EACCES") throw wrong("permission denied");
    throw error;
  }
  if (target === undefined) throw wrong("no such file or directory");
  const own = nodeAt(path, inside);
  const one = own === undefined ? [] : [{ host: path, node: own }];
  const nodes = target.isDirectory() ? nodesBelow(path, inside) : one;
  if (nodes.length === 0) throw wrong("not a device node");
  return nodes;
}

/** The host's devices that a container is given. Throws a Fault "invalid" in Docker's words. */
export function devicesOf(config: HostConfig): GrantedDevice[] {
  for (const { Driver = "", Capabilities = [] } of config.DeviceRequests ?? []) {
    const wanted = `[${Capabilities.map((all) => `[${all.join(" ")}]`).join(" ")}]`;
    throw fault(
      "invalid",
      "device-request",
      `could not select device driver "${Driver}" with capabilities: ${wanted}: berth has no device drivers (GPUs, CDI); grant device nodes with --device`,
    );
  }
  if (config.Privileged)
    return nodesBelow("/dev", "/dev")
      .filter(({ node }) => !["/dev/console", "/dev/ptmx", "/dev/tty"].includes(node.path))
      .map((one) => ({ ...one, access: "rwm" }));
  return (config.Devices ?? []).flatMap(
    ({ PathOnHost = "", PathInContainer = "", CgroupPermissions }) => {
      const access = CgroupPermissions || "rwm";
      if (!/^[rwm]{1,3}$/.test(access))
        throw fault("invalid", "device-mode", `invalid device mode: ${access}`);
      const inside = PathInContainer || PathOnHost;
      const nodes = devicesAt(PathOnHost, inside);
      return nodes.map((one) => ({ ...one, access }));
    },
  );
}

/** Looks a container's user up in its own files while it is not running. */
export async function userInImage(deps: EngineDeps, container: Container): Promise<ResolvedUser> {
  const { record } = container;
  const layer = layerOf(record);
  const read = async (path: string) =>
    new TextDecoder().decode(
      (await deps.driver.readFile(layer, path, PASSWD_MAX)) ?? new Uint8Array(0),
    );
  const [passwd, group] = await Promise.all([read("/etc/passwd"), read("/etc/group")]);
  return resolveUser(record.config.User ?? "", passwd, group, record.hostConfig.GroupAdd ?? []);
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
  const [passwd, group] = await Promise.all([read("etc/passwd"), read("etc/group")]);
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
  const donor = other.record.hostConfig.IpcMode;
  if (kind === "ipc" && (donor === "private" || donor === "none"))
    throw fault(
      "invalid",
      "ipc-not-shareable",
      `failed to join IPC namespace: container ${other.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    );
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

/** The mount that a path of the host lies on, with the words that tell of its propagation. */
function mountOver(path: string): { point: string; optional: string } {
  const real = realpathSync(path);
  let found = { point: "/", optional: "" };
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const words = line.split(" ");
    const point = (words[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const holds = point === "/" || real === point || real.startsWith(`${point}/`);
    if (words.length < 6 || !holds || point.length < found.point.length) continue;
    found = { point, optional: words.slice(6, words.indexOf("-")).join(" ") };
  }
  return found;
}

/** Throws a Fault "invalid" in Docker's words for a propagation that the host's mount does not have. */
export function checkPropagation(mounts: readonly MountRecord[]): void {
  for (const { type, source, propagation } of mounts) {
    const kind = /(shared|slave)$/.exec(propagation)?.[1];
    if (type !== "bind" || kind === undefined || !existsSync(source)) continue;
    const { point, optional } = mountOver(source);
    if (/shared:/.test(optional) || (kind === "slave" && /master:/.test(optional))) continue;
    const needed = kind === "slave" ? "shared or slave" : "shared";
    throw fault(
      "invalid",
      "propagation",
      `path ${source} is mounted on ${point} but it is not a ${needed} mount`,
    );
  }
}
