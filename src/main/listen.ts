/**
 * The sockets that the API is served on: their owners, who may be at the other end, and what stands before the routes.
 */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import type { ApiServer, Gate, Peer } from "../api/index.ts";
import { type Fault, fault } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { hasOwner, inUserNamespace } from "../base/user-namespace.ts";
import { groupNumber } from "../spec/users.ts";
import { AuditLog } from "./audit.ts";
import { PluginAuthorization } from "./authorization.ts";
import { type DaemonOptions, pluginPlaces } from "./options.ts";
import { tcpPeer, UnixPeers } from "./peers.ts";

/** Groups whose members may use the API where nobody has said which: those that have been made for that. */
const usualGroups = ["docker", "berth"];

/** The group that the API's sockets belong to. Throws a Fault "invalid" for one that there is not. */
export function groupId(name: string | undefined): number {
  const text = readFileSync("/etc/group", "utf8");
  // A rootless daemon's socket is its user's alone, who has none of the host's groups inside.
  if (name === undefined && inUserNamespace()) return 0;
  if (name === undefined)
    return usualGroups.map((one) => groupNumber(text, one)).find((id) => id !== undefined) ?? 0;
  const id = /^\d+$/.test(name) ? Number(name) : groupNumber(text, name);
  if (id === undefined)
    throw fault("invalid", "daemon-option", `group ${name} is not in /etc/group`);
  if (!hasOwner(0, id))
    throw fault(
      "invalid",
      "daemon-option",
      `--group ${name}: a rootless daemon can give its socket to no group of the host`,
    );
  return id;
}

async function answers(path: string): Promise<boolean> {
  try {
    const response = await fetch("http://localhost/_ping", {
      unix: path,
      signal: AbortSignal.timeout(1000),
    });
    return response.ok;
  } catch {
    return false;
  }
}

/** What stands before the routes at an address; undefined: nothing was wanted. Rejects with Faults "invalid". */
export class Gates {
  private constructor(
    private readonly authorization: PluginAuthorization | undefined,
    private readonly log: AuditLog | undefined,
    /** Whether there is a guard, whose refusals are told of. */
    private readonly guarded: boolean,
  ) {}

  static async open(options: DaemonOptions): Promise<Gates> {
    const { authorizationPlugins, auditLog, user } = options;
    const wanted = authorizationPlugins.length > 0;
    const authorization = wanted
      ? new PluginAuthorization(authorizationPlugins, pluginPlaces(options))
      : undefined;
    await authorization?.validate();
    const notes = auditLog === undefined ? undefined : new AuditLog(auditLog);
    return new Gates(authorization, notes, user !== undefined);
  }

  /** The gate of one address, and what is to be told of its connections. */
  at(host: string): { gate: Gate; peers: UnixPeers | undefined } | undefined {
    const { authorization, log: notes, guarded } = this;
    if (authorization === undefined && notes === undefined && !guarded) return undefined;
    const unix = unixPath(host);
    const peers = unix === undefined ? undefined : new UnixPeers(unix);
    const audit = notes && ((entry: Parameters<AuditLog["note"]>[0]) => notes.note(entry));
    const peerOf: Gate["peerOf"] = peers === undefined ? tcpPeer : (socket) => peers.of(socket);
    const refused = guarded ? tellRefusal : undefined;
    return { gate: { peerOf, authorization, audit, refused }, peers };
  }

  close(): void {
    this.log?.close();
  }
}

/** The name of a program, which says more than a user's number: of most users the daemon's user namespace has none. */
function programOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    // It has gone.
    return "";
  }
}

function tellRefusal(peer: Peer, refusal: Fault): void {
  const { user, pid, uid, address } = peer;
  const program = pid === undefined ? undefined : programOf(pid);
  const who = { certificate: user || undefined, address, pid, uid, program: program || undefined };
  log.warn("refused", { what: refusal.message, ...who });
}

function unixPath(host: string): string | undefined {
  return /^unix:\/\/(\/.*)$/.exec(host)?.[1];
}

/** Serves at an address. Gives the path of a Unix socket, which is the caller's to remove. Rejects with Faults. */
export async function listenOn(
  api: ApiServer,
  host: string,
  { group, tls, openTcp }: Pick<DaemonOptions, "group" | "tls" | "openTcp">,
): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  api.listener.once("error", reject);
  const unix = unixPath(host);
  if (unix !== undefined) {
    if (existsSync(unix) && (await answers(unix)))
      throw fault("conflict", "socket-in-use", `a daemon listens on ${host} already`);
    rmSync(unix, { force: true });
    mkdirSync(unix.slice(0, unix.lastIndexOf("/")) || "/", { recursive: true });
    api.listener.listen(unix, resolve);
    await promise;
    chownSync(unix, 0, groupId(group));
    chmodSync(unix, 0o660);
    return unix;
  }
  const tcp = /^tcp:\/\/(\[[0-9a-fA-F:]+\]|[^:/]+)?:(\d+)$/.exec(host);
  if (tcp === null)
    throw fault(
      "invalid",
      "daemon-option",
      `invalid host ${host}: use unix:///PATH or tcp://ADDRESS:PORT`,
    );
  if (tls?.clients === undefined && !openTcp)
    throw fault(
      "invalid",
      "daemon-option",
      `${host} would be served to whoever reaches it, and that is to be root on this host: let in those with a certificate alone (--tlsverify, --tlscacert, --tlscert, --tlskey), or say --tlsverify=false`,
    );
  if (tls?.clients === undefined)
    log.warn(
      `the API is served without ${tls === undefined ? "TLS" : "--tlsverify"}: whoever reaches this port is root on this host`,
      { host },
    );
  api.listener.listen(Number(tcp[2]), (tcp[1] ?? "127.0.0.1").replace(/^\[|\]$/g, ""), resolve);
  await promise;
  return undefined;
}
