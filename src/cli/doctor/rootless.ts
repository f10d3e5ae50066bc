/**
 * What an ordinary user needs of a host for a daemon of its own (docs/rootless.md): what root has to install or switch on once.
 */
import { parseSubordinateIds, rangesOfUser, USUAL_IDS } from "../../spec/subordinate-ids.ts";
import { type Check, type Finding, fail, number, ok, versionAtLeast, warn } from "./finding.ts";
import type { HostView } from "./host.ts";

function idsCheck(host: HostView): Finding {
  const counts = ["/etc/subuid", "/etc/subgid"].map((path) => {
    const lines = parseSubordinateIds(host.read(path) ?? "");
    const own = rangesOfUser(lines, { name: host.user, uid: host.uid });
    return { path, count: own.reduce((sum, { count }) => sum + count, 0) };
  });
  const few = counts.filter(({ count }) => count < USUAL_IDS);
  const found = counts.map(({ path, count }) => `${count} in ${path}`).join(", ");
  const advice = `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${host.user} (with ids that nobody else has there)`;
  if (few.length === 0) return ok(found);
  if (few.some(({ count }) => count === 0))
    return fail(found, "containers have no ids besides their root's, and no daemon starts", advice);
  return warn(found, "images with owners beyond these cannot be unpacked", advice);
}

const mappers = ["newuidmap", "newgidmap"];

function mapperCheck(host: HostView): Finding {
  const means = "nobody gives the user's namespace its ids, and no daemon starts";
  const missing = mappers.filter((name) => host.program(name) === undefined);
  if (missing.length > 0)
    return fail(
      `${missing.join(" and ")} not installed`,
      means,
      "as root, install the package uidmap",
    );
  const programs = mappers.flatMap((name) => host.program(name) ?? []);
  const others = programs.filter(({ isRoots }) => !isRoots);
  if (others.length > 0)
    return fail(
      `${others.map(({ path }) => path).join(" and ")} do not belong to root`,
      means,
      "as root, install the package uidmap again",
    );
  const plain = programs.filter(({ setuid }) => !setuid).map(({ path }) => path);
  if (plain.length === 0) return ok(mappers.join(" and "));
  return warn(
    `${plain.join(" and ")} not setuid root`,
    "they give ids only where they have file capabilities instead (getcap shows them)",
    `as root: chmod u+s ${plain.join(" ")}`,
  );
}

function namespaceCheck(host: HostView): Finding {
  const means = "the user can make no namespace, and no daemon starts";
  const switches: readonly [path: string, off: number, advice: string][] = [
    ["/proc/sys/user/max_user_namespaces", 0, "user.max_user_namespaces=28633"],
    ["/proc/sys/kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone=1"],
    [
      "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
      1,
      "kernel.apparmor_restrict_unprivileged_userns=0",
    ],
  ];
  if (!host.exists("/proc/self/ns/user"))
    return fail("the kernel has none", means, "use a kernel with CONFIG_USER_NS");
  const off = switches.find(([path, value]) => number(host, path) === value);
  if (off === undefined) return ok("for every user");
  const name = off[0].slice("/proc/sys/".length).replaceAll("/", ".");
  return fail(
    `${name} is ${off[1]}`,
    means,
    `as root: sysctl -w ${off[2]}, and the same in /etc/sysctl.d`,
  );
}

function outsideCheck(host: HostView): Finding {
  const found = ["pasta", "slirp4netns"].find((name) => host.program(name) !== undefined);
  const without = "or berth daemon --rootless --rootless-network=none";
  const means = "nothing leads containers out";
  if (found === undefined)
    return fail(
      "neither pasta nor slirp4netns is installed",
      means,
      `as root, install the package passt; ${without}`,
    );
  if (host.exists("/dev/net/tun") && host.writable("/dev/net/tun")) return ok(found);
  return fail(
    `${found}, but /dev/net/tun is not for this user`,
    means,
    `as root: modprobe tun; chmod 666 /dev/net/tun; ${without}`,
  );
}

const controllers = ["cpu", "memory", "pids"];

/** The groups that systemd gives a user, and those of the process that asks. */
function delegatedGroup(host: HostView): string | undefined {
  const own = /^0::(\/.*)$/m.exec(host.read("/proc/self/cgroup") ?? "")?.[1];
  const user = `/user.slice/user-${host.uid}.slice/user@${host.uid}.service`;
  return [user, ...(own === undefined ? [] : [own])]
    .map((group) => `/sys/fs/cgroup${group}`)
    .find((at) => host.exists(`${at}/cgroup.procs`) && host.writable(`${at}/cgroup.procs`));
}

function cgroupCheck(host: HostView): Finding {
  const means = "limits of containers have no effect, and pause is refused";
  if (host.read("/sys/fs/cgroup/cgroup.controllers") === undefined)
    return warn(
      "not version 2 alone",
      `groups are delegated to nobody: ${means}`,
      "boot with systemd.unified_cgroup_hierarchy=1",
    );
  const at = delegatedGroup(host);
  if (at === undefined)
    return warn(
      "none is delegated to this user",
      means,
      "log in by way of systemd (ssh, machinectl shell), and start the daemon as a service: systemctl --user enable --now berth",
    );
  const there = (host.read(`${at}/cgroup.controllers`) ?? "").trim().split(/\s+/);
  const missing = controllers.filter((name) => !there.includes(name));
  if (missing.length === 0) return ok(`delegated with ${there.join(" ")}`);
  return warn(
    `delegated without ${missing.join(", ")}`,
    "limits of these kinds have no effect",
    "as root: in /etc/systemd/system/user@.service.d/delegate.conf, [Service] Delegate=cpu cpuset io memory pids; then systemctl daemon-reload, and log in again",
  );
}

function runtimeCheck(host: HostView): Finding {
  const named = host.env.XDG_RUNTIME_DIR;
  const path = named ?? `/run/user/${host.uid}`;
  if (host.exists(path) && host.writable(path)) return ok(path);
  return fail(
    host.exists(path) ? `${path} is not for this user` : `there is no ${path}`,
    "the daemon has no place for its socket",
    `as root: loginctl enable-linger ${host.user}; without systemd, set XDG_RUNTIME_DIR to a directory of yours, mode 700`,
  );
}

function lingerCheck(host: HostView): Finding {
  if (!host.exists("/run/systemd/system")) return ok("no systemd that would end it");
  if (host.exists(`/var/lib/systemd/linger/${host.user}`)) return ok("on");
  return warn(
    "off",
    "the daemon of a service ends when the user has logged out, and is not there before a login",
    `loginctl enable-linger ${host.user}`,
  );
}

/** What of a host only a user's own daemon needs. */
export const rootlessChecks: readonly Check[] = [
  { name: "User namespaces", run: namespaceCheck },
  { name: "Ids", run: idsCheck },
  { name: "Id programs", run: mapperCheck },
  { name: "Way out", run: outsideCheck },
  { name: "Control groups", run: cgroupCheck },
  { name: "Runtime directory", run: runtimeCheck },
  { name: "Lingering", run: lingerCheck },
];

/** The first kernel with overlay for users. */
const OVERLAY_KERNEL = [5, 13] as const;

/** Overlay in a user namespace or what there is in its place, after what the check for root's daemon has found. */
export function storageCheck(host: HostView, asRoot: Finding): Finding {
  const isNew = versionAtLeast(host.kernel, OVERLAY_KERNEL);
  if (asRoot.grade === "ok" && isNew) return asRoot;
  const found = isNew ? asRoot.found : `Linux ${host.kernel} has no overlay for users`;
  const advice = isNew ? (asRoot.advice ?? "") : `use Linux ${OVERLAY_KERNEL.join(".")} or later`;
  const hasFuse = host.program("fuse-overlayfs") !== undefined && host.writable("/dev/fuse");
  if (hasFuse)
    return warn(
      `fuse-overlayfs, since ${found}`,
      "files of containers go through FUSE: slower",
      advice,
    );
  return warn(
    `${found}, and there is no fuse-overlayfs with /dev/fuse`,
    "layers are copied (vfs): slower, and more room is taken",
    `${advice}; or as root, install the package fuse-overlayfs`,
  );
}
