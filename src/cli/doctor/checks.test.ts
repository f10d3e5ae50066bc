import { expect, test } from "bun:test";
import { checksFor, rootlessChecksFor } from "./checks.ts";
import type { Check, Finding } from "./finding.ts";
import type { HostView } from "./host.ts";

const healthy: Readonly<Record<string, string>> = {
  "/proc/filesystems": "nodev\tproc\nnodev\toverlay\n\text4\n",
  "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
  "/proc/sys/net/ipv4/ip_forward": "1\n",
  "/proc/sys/user/max_user_namespaces": "65536\n",
  "/proc/self/status": "Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n",
  "/proc/sys/fs/inotify/max_user_instances": "1024\n",
  "/lib/modules/6.1.0/modules.dep": "kernel/net/bridge/bridge.ko: \nkernel/drivers/net/veth.ko:\n",
  "/lib/modules/6.1.0/modules.builtin": "kernel/net/netfilter/nf_tables.ko\n",
  ...Object.fromEntries(
    ["mnt", "pid", "net", "ipc", "uts", "user"].map((name) => [`/proc/self/ns/${name}`, ""]),
  ),
};

/** A host with files over or without (undefined) those of a healthy one. */
function hostWith(
  files: Readonly<Record<string, string | undefined>> = {},
  more: Partial<HostView> = {},
): HostView {
  const all: Readonly<Record<string, string | undefined>> = { ...healthy, ...files };
  return {
    read: (path) => all[path],
    exists: (path) => all[path] !== undefined,
    writable: () => true,
    fileSystem: () => ({ magic: 0xef53, freeBytes: 100 * (1 << 30) }),
    kernel: "6.1.0",
    uid: 0,
    user: "root",
    env: {},
    program: () => undefined,
    daemon: async () => undefined,
    ...more,
  };
}

const daemonWith = (firewall: string, forwarding?: string) => async () => ({
  ...{ version: "1", warnings: [], firewall, forwarding },
});

async function findings(
  host: HostView,
  checks: readonly Check[] = checksFor("/var/lib/berth"),
): Promise<Record<string, Finding>> {
  const all = await Promise.all(
    checks.map(async ({ name, run }) => [name, await run(host)] as const),
  );
  return Object.fromEntries(all);
}

async function notWell(host: HostView, checks?: readonly Check[]): Promise<string[]> {
  return Object.entries(await findings(host, checks))
    .filter(([, { grade }]) => grade !== "ok")
    .map(([name, { grade }]) => `${name} ${grade}`);
}

test("a healthy host has nothing to be told of", async () => {
  expect(await notWell(hostWith())).toEqual([]);
});

test("each thing that is missing is found by itself, with what to do", async () => {
  const mountinfo = ["cpu,cpuacct", "cpuset", "memory", "pids", "devices"]
    .map((name) => `30 20 0:30 / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}`)
    .join("\n");
  const v1 = { "/sys/fs/cgroup/cgroup.controllers": undefined };
  const ufwOn = { "/etc/ufw/ufw.conf": "ENABLED=yes\n" };
  const cases: [HostView, string[]][] = [
    [hostWith({}, { kernel: "4.19.0" }), ["Kernel fail", "Network fail"]],
    [hostWith({ "/proc/self/ns/net": undefined }), ["Namespaces fail"]],
    [hostWith({ "/proc/sys/user/max_user_namespaces": "0\n" }), ["Namespaces warn"]],
    [hostWith({ "/sys/fs/cgroup/cgroup.controllers": "cpu pids" }), ["Control groups warn"]],
    [hostWith(v1), ["Control groups fail"]],
    [hostWith({ ...v1, "/proc/self/mountinfo": mountinfo }), []],
    [
      hostWith({ ...v1, "/proc/self/mountinfo": mountinfo.replaceAll("memory", "misc") }),
      ["Control groups warn"],
    ],
    [hostWith({ "/proc/filesystems": "ext4\n" }), ["Storage warn"]],
    [hostWith({}, { fileSystem: () => ({ magic: 0x6969, freeBytes: 2 ** 40 }) }), ["Storage warn"]],
    [hostWith({}, { fileSystem: () => ({ magic: 0xef53, freeBytes: 2 ** 31 }) }), ["Room warn"]],
    [hostWith({}, { fileSystem: () => ({ magic: 0xef53, freeBytes: 1000 }) }), ["Room fail"]],
    [hostWith({ "/lib/modules/6.1.0/modules.dep": "" }), ["Network fail"]],
    [
      hostWith({
        "/lib/modules/6.1.0/modules.dep": "",
        "/proc/kallsyms": "0 t br_add_if\n0 t veth_xmit\n",
      }),
      [],
    ],
    [hostWith({ "/proc/sys/net/ipv4/ip_forward": "0\n" }), ["IP forwarding warn"]],
    [hostWith({ "/var/run/docker.pid": "1" }), []],
    [
      hostWith({ "/var/run/docker.pid": "1" }, { daemon: daemonWith("nftables") }),
      ["Others here warn"],
    ],
    [
      hostWith({}, { daemon: daemonWith("nftables", "dropped by table inet site, chain x") }),
      ["Others here warn"],
    ],
    [hostWith({ "/proc/self/status": "" }), ["Seccomp warn"]],
    [hostWith({ "/proc/sys/fs/inotify/max_user_instances": "128\n" }), ["Kernel limits warn"]],
    [hostWith({}, { uid: 1000, writable: () => false }), ["Rights fail"]],
    [hostWith(ufwOn, { daemon: daemonWith("nftables") }), ["Others here warn"]],
    [hostWith(ufwOn, { daemon: daemonWith("nftables", "let through in iptables FORWARD") }), []],
    [hostWith(ufwOn, { daemon: daemonWith("iptables") }), []],
    [
      hostWith(
        { ...ufwOn, "/etc/default/ufw": 'DEFAULT_FORWARD_POLICY="ACCEPT"\n' },
        { daemon: daemonWith("nftables") },
      ),
      [],
    ],
    [
      hostWith({}, { daemon: async () => ({ version: "1", warnings: ["WARNING: No swap"] }) }),
      ["Daemon warn"],
    ],
  ];
  for (const [host, expected] of cases) {
    expect(await notWell(host)).toEqual(expected);
    for (const { grade, means = "", advice = "" } of Object.values(await findings(host)))
      expect(grade === "ok" || (means.length > 5 && advice.length > 5)).toBe(true);
  }
});

const GROUP = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";
const own = rootlessChecksFor("/home/ann/.local/share/berth");

/** Ann's host, with all that a daemon of her own needs, but for these. */
function annsHost(
  files: Readonly<Record<string, string | undefined>> = {},
  {
    without = [] as readonly string[],
    ...more
  }: Partial<HostView> & { without?: readonly string[] } = {},
): HostView {
  const needed = {
    "/etc/subuid": "bob:1:9\nann:100000:65536\n",
    "/etc/subgid": "1000:100000:70000\n",
    "/dev/net/tun": "",
    "/run/user/1000": "",
    "/run/systemd/system": "",
    "/var/lib/systemd/linger/ann": "",
    [`${GROUP}/cgroup.procs`]: "",
    [`${GROUP}/cgroup.controllers`]: "cpu memory pids\n",
  };
  return hostWith(
    { ...needed, ...files },
    {
      uid: 1000,
      user: "ann",
      program: (name) =>
        without.includes(name)
          ? undefined
          : { path: `/usr/bin/${name}`, isRoots: true, setuid: true },
      ...more,
    },
  );
}

test("a user's own daemon: nothing is missing", async () => {
  expect(await notWell(annsHost(), own)).toEqual([]);
  // Neither is what only the host's own daemon needs.
  expect(await notWell(annsHost({ "/proc/sys/net/ipv4/ip_forward": "0\n" }), own)).toEqual([]);
});

test("a user's own daemon: each thing that is missing is found by itself, with what to do", async () => {
  const gone = undefined;
  const programs = (more: Partial<NonNullable<ReturnType<HostView["program"]>>>) => ({
    program: (name: string) => ({ path: name, isRoots: true, setuid: true, ...more }),
  });
  const cases: [HostView, string[]][] = [
    [annsHost({ "/etc/subuid": "bob:1:65536\n" }), ["Ids fail"]],
    [annsHost({ "/etc/subgid": gone }), ["Ids fail"]],
    [annsHost({ "/etc/subgid": "ann:1:1000\n" }), ["Ids warn"]],
    [annsHost({}, { without: ["newgidmap"] }), ["Id programs fail"]],
    [annsHost({}, programs({ isRoots: false })), ["Id programs fail"]],
    [annsHost({}, programs({ setuid: false })), ["Id programs warn"]],
    [annsHost({ "/proc/self/ns/user": gone }), ["User namespaces fail"]],
    [annsHost({ "/proc/sys/user/max_user_namespaces": "0\n" }), ["User namespaces fail"]],
    [annsHost({ "/proc/sys/kernel/unprivileged_userns_clone": "0" }), ["User namespaces fail"]],
    [
      annsHost({ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n" }),
      ["User namespaces fail"],
    ],
    [annsHost({}, { without: ["pasta"] }), []],
    [annsHost({}, { without: ["pasta", "slirp4netns"] }), ["Way out fail"]],
    [annsHost({ "/dev/net/tun": gone }), ["Way out fail"]],
    [annsHost({}, { writable: (path) => path !== "/dev/net/tun" }), ["Way out fail"]],
    [annsHost({ "/sys/fs/cgroup/cgroup.controllers": gone }), ["Control groups warn"]],
    [annsHost({ [`${GROUP}/cgroup.procs`]: gone }), ["Control groups warn"]],
    [annsHost({ [`${GROUP}/cgroup.controllers`]: "pids\n" }), ["Control groups warn"]],
    [annsHost({ "/run/user/1000": gone }), ["Runtime directory fail"]],
    [annsHost({ "/run/mine": "" }, { env: { XDG_RUNTIME_DIR: "/run/mine" } }), []],
    [annsHost({ "/var/lib/systemd/linger/ann": gone }), ["Lingering warn"]],
    [annsHost({ "/run/systemd/system": gone, "/var/lib/systemd/linger/ann": gone }), []],
    [annsHost({ "/proc/filesystems": "ext4\n" }), ["Storage warn"]],
    [annsHost({}, { kernel: "5.12.0" }), ["Storage warn", "Network fail"]],
  ];
  for (const [host, expected] of cases) {
    expect(await notWell(host, own)).toEqual(expected);
    for (const { grade, means = "", advice = "" } of Object.values(await findings(host, own)))
      expect(grade === "ok" || (means.length > 5 && advice.length > 5)).toBe(true);
  }
  const found = await findings(
    annsHost({ "/proc/filesystems": "ext4\n" }, { without: ["fuse-overlayfs"] }),
    own,
  );
  expect(found.Storage?.advice).toContain("install the package fuse-overlayfs");
});
