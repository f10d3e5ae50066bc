/**
 * `berth daemon --user NAME`, started by root: what root's process does before it is a daemon without root's rights. It reads
 * the policy, gives the roots and a control group to the user, starts the guard (native/helper/guard.c), which alone keeps the
 * host's rights, and executes itself again in the namespaces that the guard has made, where it is root and on the host nobody
 * but that user.
 */
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path/posix";
import { fault } from "../../base/errors.ts";
import { subordinateFiles } from "../../engine/index.ts";
import { startKernel } from "../../kernel/index.ts";
import { uplinkMessages } from "../../network/index.ts";
import { resolveUser } from "../../spec/users.ts";
import { encodeRecords } from "../../spec/wire-codec.ts";
import { guardFrames } from "../../spec/wire-guard.ts";
import { takeInheritedSockets } from "../activation.ts";
import { unpackPrograms } from "../assets.ts";
import { isKept } from "../kept.ts";
import { groupId } from "../listen.ts";
import { lockRoot } from "../lock.ts";
import type { DaemonOptions } from "../options.ts";
import { delegateCgroups, endOrphans, enterDelegated } from "./delegate.ts";
import { type DaemonIds, type DaemonUser, daemonIds, USUAL_OWNERS } from "./ids.ts";
import {
  checkBinds,
  DEFAULT_GUARD_POLICY,
  type GuardPolicy,
  isWithin,
  readGuardPolicy,
} from "./policy.ts";
import { GUARD, type GuardedSettings } from "./settings.ts";

/** The guard's descriptor of the network namespace (native/helper/guard.c). */
const KEPT_NETWORK = 12;
/** Uplinks have pieces of a range that neither hosts nor Docker's pools have (RFC 6598). */
const UPLINKS = 100 * 2 ** 24 + 64 * 2 ** 16;

/** Names on the host that keep daemons apart. */
interface Names {
  readonly cgroup: string;
  /** Root's own directory: the guard's program, socket, policy and log. */
  readonly directory: string;
}

function userOf(given: string): DaemonUser {
  const text = (file: string) => (existsSync(file) ? readFileSync(file, "utf8") : "");
  const { uid, gid } = resolveUser(given, text("/etc/passwd"), text("/etc/group"));
  if (uid === 0 || gid === 0)
    throw fault(
      "invalid",
      "daemon-user",
      `--user ${given}: it must be a user other than root, with a group other than root's (UID:GID for one that is not in /etc/passwd)`,
    );
  return { uid, gid };
}

/** Whoever is not root comes along every directory above. */
function checkWay(path: string, { uid, gid }: DaemonUser): void {
  for (let at = dirname(path); at !== "/"; at = dirname(at)) {
    const info = statSync(at);
    const bit = info.uid === uid ? 0o100 : info.gid === gid ? 0o010 : 0o001;
    if ((info.mode & bit) === 0)
      throw fault(
        "invalid",
        "daemon-user",
        `${at} is closed to the user of --user: ${path} is out of its reach`,
      );
  }
}

/** Whether there is nothing in a directory but sockets, which whoever starts the daemon may listen on already. */
function hasOnlySockets(path: string): boolean {
  return readdirSync(path, { withFileTypes: true }).every((entry) => entry.isSocket());
}

/** Gives a root to the user. What a daemon that is root has made in it belongs to others. */
function giveRoot(path: string, user: DaemonUser): void {
  mkdirSync(path, { recursive: true, mode: 0o711 });
  checkWay(path, user);
  const { uid } = statSync(path);
  if (uid === user.uid) return;
  if (uid !== 0 || !hasOnlySockets(path))
    throw fault(
      "conflict",
      "daemon-user-root",
      `${path} belongs to another user, or a daemon that is root has used it: name another directory, or move its images and containers (docs/privilege-separation.md)`,
    );
  chownSync(path, user.uid, user.gid);
}

function makeOwnDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o711 });
  const [own, above] = [statSync(path), statSync(dirname(path))];
  if (
    own.uid !== 0 ||
    above.uid !== 0 ||
    ((above.mode & 0o022) !== 0 && (above.mode & 0o1000) === 0)
  )
    throw fault(
      "invalid",
      "daemon-user-root",
      `${path} must be root's, in a directory that only root may change: what the guard needs lies beside the data root`,
    );
}

function uplinkOf(directory: string, mtu: number) {
  const digest = new Bun.CryptoHasher("sha256").update(directory).digest();
  const number = digest.readUInt32LE(0);
  const base = BigInt(UPLINKS + (number % 2 ** 20) * 4);
  return uplinkMessages({
    name: `berth-${digest.toString("hex").slice(0, 8)}`,
    // Numbers that the kernel gives by itself are small.
    index: 0x10000000 + (number % 0x10000000),
    subnet: { family: 4, base, prefix: 30 },
    mtu,
    netns: KEPT_NETWORK,
  });
}

function recordOf(
  policy: GuardPolicy,
  { uid, gid }: DaemonUser,
  ids: DaemonIds,
  cgroups: readonly string[],
  { directory }: Names,
  mtu: number,
): Uint8Array {
  return encodeRecords(guardFrames, {
    name: "policy",
    ...{ uid, gid, uid_map: ids.uidMap, gid_map: ids.gidMap },
    ...{ own_uids: ids.owners, own_gids: ids.owners },
    ...{ pool_uids: ids.poolUids, pool_gids: ids.poolGids },
    sources: policy.binds.map(({ path }) => path),
    read_only: policy.binds.map(({ readOnly }) => (readOnly ? 1 : 0)),
    addresses: policy.addresses.map(({ address }) => address),
    prefixes: policy.addresses.map(({ prefix }) => prefix),
    ports: policy.ports.flat(),
    ...uplinkOf(directory, mtu),
    cgroups,
    log: policy.log ?? `${directory}/refusals.log`,
  });
}

async function startGuard(helper: string, socket: string, record: Uint8Array): Promise<void> {
  const child = Bun.spawn([helper, "guard", socket], {
    stdin: record,
    stdout: "pipe",
    stderr: "pipe",
    env: {},
    cwd: "/",
  });
  for await (const chunk of child.stdout)
    if (new TextDecoder().decode(chunk).includes("kept")) return;
  const said = (await child.stderr.text()).trim();
  throw fault("failed", "guard-start", `the guard did not start: ${said}`);
}

/** How long a guard may take to end that nobody needs any more. */
const ENDING_MS = 3000;

/** A guard that runs knows one policy, and takes no other. Gives whether it may go on: one with another is about to end. */
async function checkPolicy(directory: string, digest: string): Promise<boolean> {
  if (readFileSync(`${directory}/policy`, "utf8") === digest) return true;
  for (const end = Date.now() + ENDING_MS; Date.now() < end; await Bun.sleep(20))
    if (!existsSync(`${directory}/socket`)) return false;
  throw fault(
    "conflict",
    "guard-policy-changed",
    "the guard's policy has changed, and containers run that were started under the one before: stop them with the policy as it was, or end them (kill the process berth-guard), and start the daemon again",
  );
}

/** The paths of Unix sockets to be served on. */
function socketPaths(hosts: readonly string[]): string[] {
  return hosts.flatMap((host) => /^unix:\/\/(\/.*)$/.exec(host)?.[1] ?? []);
}

/**
 * Whether the daemon is to be reached at the socket that systemd listens on for it, which then is descriptor 0: others are not
 * left to another program. Throws a Fault "invalid".
 */
function takesGiven(hosts: readonly string[]): boolean {
  if (!hosts.some((host) => host.startsWith("fd:"))) return false;
  const given = takeInheritedSockets(process.env, process.pid);
  const [fd] = given;
  if (fd === undefined || given.length > 1 || hosts.length > 1)
    throw fault(
      "invalid",
      "daemon-option",
      "--user: with fd:// there has to be one socket that systemd has made, and no other address",
    );
  const { dlopen } = require("bun:ffi") as typeof import("bun:ffi");
  const libc = dlopen("libc.so.6", { dup2: { args: ["int", "int"], returns: "int" } }).symbols;
  if (libc.dup2(fd, 0) < 0) throw new Error(`descriptor ${fd} cannot be handed over`);
  return true;
}

/** What of the environment is the daemon's, as dockerd has it of its unit. */
function proxiesOf(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isProxy = ([name]: [string, unknown]) => /^(https?|all|no)_proxy$/i.test(name);
  return Object.fromEntries(Object.entries(env).filter(isProxy));
}

/**
 * Becomes the daemon as another user: does not return. Rejects with Faults that say what is missing.
 */
export async function enterGuarded(
  options: DaemonOptions & { readonly user: string },
  names: { readonly cgroup: string },
  argv: readonly string[],
): Promise<never> {
  const { dataRoot, execRoot, hosts, group, guardPolicy } = options;
  const user = userOf(options.user);
  const policy = readGuardPolicy(guardPolicy);
  const directory = `${dataRoot}-guard`;
  checkBinds(policy, [dataRoot, execRoot, directory], guardPolicy ?? DEFAULT_GUARD_POLICY);
  for (const path of [dataRoot, execRoot]) giveRoot(path, user);
  checkWay(process.execPath, user);
  makeOwnDirectory(directory);
  const lock = lockRoot(directory, (path) => `another berth daemon is starting with ${path}`);
  const { helper, shim } = unpackPrograms(`${directory}/bin`);
  const socket = `${directory}/socket`;
  const digest = Bun.hash(JSON.stringify([policy, user])).toString(36);
  const kept = (await isKept(helper, socket)) && (await checkPolicy(directory, digest));
  if (!kept) {
    endOrphans(names.cgroup);
    const filter = async (cgroup: string, program: Uint8Array) => {
      const kernel = await startKernel({
        helperPath: helper,
        shimPath: shim,
        socketPath: `${directory}/start`,
      });
      await kernel.filterDevices(cgroup, program).finally(() => kernel.stop());
    };
    const cgroups = await delegateCgroups(names.cgroup, user, policy.devices, filter);
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    const ids = daemonIds(user, policy.owners ?? USUAL_OWNERS, subordinateFiles());
    writeFileSync(`${directory}/policy`, digest, { mode: 0o600 });
    const record = recordOf(policy, user, ids, cgroups, { directory, ...names }, options.mtu);
    await startGuard(helper, socket, record);
  }
  lock.close();
  const settings: GuardedSettings = {
    socket,
    user: options.user,
    file: guardPolicy ?? DEFAULT_GUARD_POLICY,
    ...{ binds: policy.binds, ports: policy.ports, addresses: policy.addresses },
    ...{ devices: policy.devices, privileged: policy.privileged },
  };
  const paths = socketPaths(hosts);
  // In the user's own directories root makes nothing: what is on the way there may be a link by now.
  for (const path of paths)
    if (![dataRoot, execRoot].some((root) => isWithin(path, root)))
      mkdirSync(dirname(path), { recursive: true });
  const given = takesGiven(hosts) ? ["-"] : [];
  const listen = [helper, "listen", String(groupId(group)), ...given, ...paths, "--"];
  const join = [helper, "join", socket, process.execPath, "daemon", ...argv];
  if (process.execve === undefined)
    throw new Error("this runtime cannot execute another program in its place");
  enterDelegated(names.cgroup);
  return process.execve(helper, [...listen, ...join], {
    PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: dataRoot,
    ...proxiesOf(process.env),
    [GUARD]: JSON.stringify(settings),
  });
}
