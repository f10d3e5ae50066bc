/**
 * What berth needs of a host, one check after the other: what was found, what it means, and what to do.
 */
import { type Check, type Finding, fail, number, ok, versionAtLeast, warn } from "./finding.ts";
import type { HostView } from "./host.ts";
import { rootlessChecks, storageCheck as rootlessStorage } from "./rootless.ts";

/** The oldest kernel with everything that the shim calls (mount_setattr, openat2, clone3, close_range). */
const OLDEST_KERNEL = [5, 12] as const;
const GIB = 1 << 30;
const [LITTLE_SPACE, NO_SPACE] = [5 * GIB, GIB];
/** File systems that overlay cannot write on, by their magic numbers (linux/magic.h). */
const unsuited: ReadonlyMap<number, string> = new Map([
  [0x794c7630, "overlay"],
  [0x6969, "NFS"],
  [0x65735546, "FUSE"],
  [0xff534d42, "CIFS"],
  [0x01021997, "9p"],
]);

function kernelCheck({ kernel }: HostView): Finding {
  if (versionAtLeast(kernel, OLDEST_KERNEL)) return ok(`Linux ${kernel}`);
  return fail(
    `Linux ${kernel}`,
    `berth calls what Linux ${OLDEST_KERNEL.join(".")} was the first to have`,
    "install a newer kernel",
  );
}

const namespaces: Readonly<Record<string, string>> = {
  ...{ mnt: "CONFIG_NAMESPACES", pid: "CONFIG_PID_NS", net: "CONFIG_NET_NS" },
  ...{ ipc: "CONFIG_IPC_NS", uts: "CONFIG_UTS_NS" },
};

function namespaceCheck(host: HostView): Finding {
  const missing = Object.keys(namespaces).filter((name) => !host.exists(`/proc/self/ns/${name}`));
  if (missing.length > 0)
    return fail(
      `there is no ${missing.join(", ")} namespace`,
      "containers cannot be kept apart",
      `use a kernel with ${missing.map((name) => namespaces[name]).join(", ")}`,
    );
  const users = number(host, "/proc/sys/user/max_user_namespaces");
  if (!host.exists("/proc/self/ns/user") || users === 0)
    return warn(
      "no user namespaces",
      "a container's root cannot be mapped to nobody",
      users === 0 ? "sysctl -w user.max_user_namespaces=65536" : "use a kernel with CONFIG_USER_NS",
    );
  return ok("all kinds");
}

const controllers = ["cpu", "cpuset", "memory", "pids"];

function cgroupCheck(host: HostView): Finding {
  const unified = host.read("/sys/fs/cgroup/cgroup.controllers");
  if (unified !== undefined) {
    const missing = controllers.filter((name) => !unified.split(/\s/).includes(name));
    if (missing.length === 0) return ok(`version 2 with ${unified.trim()}`);
    return warn(
      `version 2 without ${missing.join(", ")}`,
      "limits of these kinds have no effect",
      `echo "${missing.map((name) => `+${name}`).join(" ")}" > /sys/fs/cgroup/cgroup.subtree_control, or boot with cgroup_enable=memory`,
    );
  }
  const mounted = host.read("/proc/self/mountinfo") ?? "";
  const has = (name: string) => new RegExp(`- cgroup \\S+ (\\S*,)?${name}(,|$)`, "m").test(mounted);
  const missing = controllers.filter((name) => !has(name));
  if (missing.length === controllers.length)
    return fail(
      "no control groups are mounted",
      "containers cannot be limited or ended as a whole",
      "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    );
  if (missing.length > 0 || !has("devices"))
    return warn(
      `version 1 without ${[...missing, ...(has("devices") ? [] : ["devices"])].join(", ")}`,
      "limits of these kinds have no effect",
      "mount the missing hierarchies, or boot with systemd.unified_cgroup_hierarchy=1",
    );
  return ok("version 1 with all that is needed");
}

function storageCheck(host: HostView, dataRoot: string): Finding {
  const known = host.read("/proc/filesystems") ?? "";
  const hasOverlay = /\boverlay$/m.test(known) || host.exists("/sys/module/overlay");
  const below = host.fileSystem(dataRoot);
  const other = below && unsuited.get(below.magic);
  if (hasOverlay && other === undefined) return ok(`overlay on ${dataRoot}`);
  const means = "layers are copied (vfs) or go through FUSE: slower, and more room is taken";
  if (other !== undefined)
    return warn(
      `${dataRoot} is on ${other}, which overlay cannot write on`,
      means,
      "berth daemon --data-root DIRECTORY, with one on ext4, xfs or btrfs",
    );
  return warn("the kernel has no overlay", means, "modprobe overlay");
}

function spaceCheck(host: HostView, dataRoot: string): Finding {
  const below = host.fileSystem(dataRoot);
  if (below === undefined)
    return warn(`${dataRoot} cannot be looked at`, "its room is unknown", "run as root");
  const text = `${(below.freeBytes / GIB).toFixed(1)} GiB free for ${dataRoot}`;
  if (below.freeBytes >= LITTLE_SPACE) return ok(text);
  const means = "images and containers soon find no room";
  const advice = "berth system df, then berth system prune; or a --data-root elsewhere";
  return below.freeBytes < NO_SPACE ? fail(text, means, advice) : warn(text, means, advice);
}

/** What only these parts of the kernel have among their symbols: what is built in leaves no other trace. */
const parts: Readonly<Record<string, string>> = {
  bridge: "br_add_if",
  veth: "veth_xmit",
  nf_tables: "nf_tables_newtable",
};

function hasModule(host: HostView, name: string): boolean {
  const lists = ["modules.builtin", "modules.dep"].map(
    (file) => `/lib/modules/${host.kernel}/${file}`,
  );
  return (
    host.exists(`/sys/module/${name}`) ||
    lists.some((list) => host.read(list)?.includes(`/${name}.ko`))
  );
}

function networkCheck(host: HostView): Finding {
  const unsure = Object.keys(parts).filter((name) => !hasModule(host, name));
  const symbols = unsure.length === 0 ? "" : (host.read("/proc/kallsyms") ?? "");
  const missing = unsure.filter((name) => !symbols.includes(` ${parts[name]}\n`));
  if (missing.length > 0)
    return fail(
      `the kernel has no ${missing.join(", ")}`,
      "only --network none and host work",
      missing.map((name) => `modprobe ${name}`).join("; "),
    );
  return ok("bridge, veth and nftables");
}

function forwardingCheck(host: HostView): Finding {
  const on = number(host, "/proc/sys/net/ipv4/ip_forward") === 1;
  if (on) return ok("on");
  return warn(
    "off",
    "the daemon turns it on when it starts; if something turns it off again, containers reach nobody",
    "sysctl -w net.ipv4.ip_forward=1, and the same in /etc/sysctl.d",
  );
}

/** Whether ufw is on, and drops what is forwarded unless a rule of its own table lets it through: its default. */
function ufwDrops(host: HostView): boolean {
  const on = /^ENABLED=yes/m.test(host.read("/etc/ufw/ufw.conf") ?? "");
  return on && !/^DEFAULT_FORWARD_POLICY="?ACCEPT/m.test(host.read("/etc/default/ufw") ?? "");
}

async function neighboursCheck(host: HostView): Promise<Finding> {
  const names = [
    ...(host.exists("/var/run/docker.pid") ? ["dockerd"] : []),
    ...(ufwDrops(host) ? ["ufw"] : []),
  ];
  const others = [...names, ...(host.exists("/run/firewalld.pid") ? ["firewalld"] : [])];
  const { firewall, forwarding } = (await host.daemon()) ?? { forwarding: "" };
  if (forwarding?.includes("dropped by"))
    return warn(
      `what is forwarded is ${forwarding}`,
      "published ports do not answer and containers reach nobody, unless rules there let them",
      "let through there what comes from berth's bridges and goes to them: iifname and oifname, such as berth0",
    );
  // Whose daemon looks at the host's FORWARD, or makes its rules there, is not closed out by it; nor is one that is yet to start.
  if (names.length > 0 && forwarding === undefined && firewall !== "iptables")
    return warn(
      `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} here, too`,
      "what they do not know is dropped by the FORWARD chain's policy, whatever berth's own table says: containers may reach nobody, and published ports may not answer",
      'start the daemon without --firewall-backend=nftables (in daemon.json: "firewall-backend")',
    );
  return ok(others.length === 0 ? "nobody who minds" : others.join(", "));
}

function seccompCheck(host: HostView): Finding {
  if (/^Seccomp_filters:/m.test(host.read("/proc/self/status") ?? "")) return ok("filters");
  return warn(
    "the kernel has no seccomp filters",
    "containers may call everything in the kernel",
    "use a kernel with CONFIG_SECCOMP_FILTER",
  );
}

function rightsCheck(host: HostView, dataRoot: string): Finding {
  if (host.uid === 0 && host.writable(dataRoot)) return ok("root");
  if (host.writable("/run/berth/berth.sock") && host.exists("/run/berth/berth.sock"))
    return ok(`user ${host.uid}, who may use the daemon's socket`);
  return fail(
    host.uid === 0 ? `${dataRoot} cannot be written` : `user ${host.uid}`,
    "only root can start a daemon here, and only its group may use its socket",
    host.uid === 0
      ? "mount the file system for writing, or give another --data-root"
      : "run as root; or have a daemon started with --group GROUP and be in that group",
  );
}

const limits: readonly [path: string, least: number, what: string][] = [
  ["/proc/sys/fs/inotify/max_user_instances", 512, "programs that watch files fail in containers"],
  ["/proc/sys/fs/inotify/max_user_watches", 65536, "programs that watch files fail in containers"],
  ["/proc/sys/kernel/pid_max", 32768, "hundreds of containers run out of process numbers"],
  ["/proc/sys/kernel/keys/maxkeys", 200, "hundreds of containers run out of keys"],
];

function limitsCheck(host: HostView): Finding {
  const low = limits.filter(([path, least]) => (number(host, path) ?? least) < least);
  if (low.length === 0) return ok("enough for hundreds of containers");
  const name = (path: string) => path.slice("/proc/sys/".length).replaceAll("/", ".");
  return warn(
    low.map(([path]) => `${name(path)} is ${number(host, path)}`).join(", "),
    [...new Set(low.map(([, , what]) => what))].join("; "),
    low.map(([path, least]) => `sysctl -w ${name(path)}=${least}`).join("; "),
  );
}

async function daemonCheck(host: HostView): Promise<Finding> {
  const answer = await host.daemon();
  if (answer === undefined) return ok("none answers; the first command starts one");
  if (answer.warnings.length === 0) return ok(`version ${answer.version}`);
  return warn(
    `version ${answer.version}`,
    answer.warnings.map((text) => text.replace(/^WARNING: /, "")).join("; "),
    "see above for what is missing",
  );
}

const kernelChecks: readonly Check[] = [
  { name: "Kernel limits", run: limitsCheck },
  { name: "Daemon", run: daemonCheck },
];

/** Every check, for a root's daemon with this data root. */
export function checksFor(dataRoot: string): readonly Check[] {
  return [
    { name: "Kernel", run: kernelCheck },
    { name: "Rights", run: (host) => rightsCheck(host, dataRoot) },
    { name: "Namespaces", run: namespaceCheck },
    { name: "Control groups", run: cgroupCheck },
    { name: "Seccomp", run: seccompCheck },
    { name: "Storage", run: (host) => storageCheck(host, dataRoot) },
    { name: "Room", run: (host) => spaceCheck(host, dataRoot) },
    { name: "Network", run: networkCheck },
    { name: "IP forwarding", run: forwardingCheck },
    { name: "Others here", run: neighboursCheck },
    ...kernelChecks,
  ];
}

/** Every check, for the daemon that the user who asks has or would have: nothing of the host's own network and firewall counts. */
export function rootlessChecksFor(dataRoot: string): readonly Check[] {
  return [
    { name: "Kernel", run: kernelCheck },
    {
      name: "Rights",
      run: ({ user }) => ok(`user ${user}, for a daemon of its own (berth daemon --rootless)`),
    },
    ...rootlessChecks,
    { name: "Seccomp", run: seccompCheck },
    { name: "Storage", run: (host) => rootlessStorage(host, storageCheck(host, dataRoot)) },
    { name: "Room", run: (host) => spaceCheck(host, dataRoot) },
    { name: "Network", run: networkCheck },
    ...kernelChecks,
  ];
}
