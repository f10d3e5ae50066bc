/**
 * --sysctl: only what belongs to one of the container's own namespaces may be set. Pure.
 */
import { fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";

const ofIpc =
  /^(fs\.mqueue\.|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)$)/;

/** A name with dots between its parts, as sysctl(8) reads it: "net/ipv4/conf/eth0.1/mtu" is net.ipv4.conf.eth0/1.mtu. */
function dotted(key: string): string {
  const first = /[./]/.exec(key)?.[0];
  if (first !== "/") return key;
  return key.replace(/[./]/g, (separator) => (separator === "/" ? "." : "/"));
}

function refused(why: string): Error {
  return fault("invalid", "sysctl", why);
}

function check(key: string, shared: { network: boolean; ipc: boolean; uts: boolean }): void {
  const parts = key.split(".").map((part) => part.replaceAll("/", "."));
  const isPath = parts.every((part) => part !== "" && part !== "." && part !== "..");
  if (isPath && ofIpc.test(key)) {
    if (shared.ipc) throw refused(`sysctl "${key}" is not allowed in the hosts ipc namespace`);
    return;
  }
  if (isPath && key.startsWith("net.")) {
    if (shared.network) throw refused(`sysctl "${key}" not allowed in host network namespace`);
    return;
  }
  if (!shared.uts && key === "kernel.domainname") return;
  if (!shared.uts && key === "kernel.hostname")
    throw refused(`sysctl "${key}" is not allowed as it conflicts with the OCI "hostname" field`);
  throw refused(`sysctl "${key}" is not in a separate kernel namespace`);
}

/** The last group that everybody's ping is allowed to, unless a user namespace has fewer. */
const LAST_GROUP = 2147483647;

/**
 * A container's sysctls, with dots; its own network begins with Docker's defaults. `groups`: how many there are in its user
 * namespace. Throws Faults "invalid".
 */
export function sysctlsOf(hostConfig: HostConfig, groups = LAST_GROUP + 1): Record<string, string> {
  const { NetworkMode = "", IpcMode = "", UTSMode = "", Privileged, Sysctls } = hostConfig;
  const shared = {
    network: NetworkMode === "host",
    ipc: IpcMode === "host",
    uts: UTSMode === "host",
  };
  const own: Record<string, string> = {};
  if (!shared.network && !NetworkMode.startsWith("container:") && !Privileged) {
    own["net.ipv4.ip_unprivileged_port_start"] = "0";
    own["net.ipv4.ping_group_range"] = `0 ${groups - 1}`;
  }
  for (const [name, value] of Object.entries(Sysctls ?? {})) {
    const key = dotted(name);
    check(key, shared);
    own[key] = value;
  }
  return own;
}
