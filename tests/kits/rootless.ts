/**
 * An ordinary user of a test's own, in a mount namespace: lists of users and ids, directories, and devices that everybody may
 * open. Nothing of the host's /etc is changed.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** The user, root of its containers. */
export const USER = { name: "berthtest", id: 61234 };
/** The host's ids of its containers' users 1, 2, … */
export const SUBORDINATE = { first: 1_900_000_000, count: 65_536 };

const LISTS = ["passwd", "group", "subuid", "subgid"] as const;

/** Why there can be no such daemon here; undefined: there can. */
export function rootlessMissing(): string | undefined {
  const programs = ["newuidmap", "newgidmap", "pasta", "setpriv"];
  const missing = programs.filter((name) => Bun.which(name) === null);
  return missing.length === 0 ? undefined : `${missing.join(", ")} not installed (uidmap, passt)`;
}

/** What a user's daemon is run in. */
export interface UserWorld {
  /** The executable, where the user reaches it. */
  readonly executable: string;
  /** A command that runs another as the user, in a mount namespace of its own. */
  readonly within: readonly string[];
  readonly env: Readonly<Record<"HOME" | "XDG_RUNTIME_DIR", string>>;
}

/** What the user's lines in the lists are to be; `ids`: ranges of /etc/subuid and /etc/subgid. */
export interface UserWishes {
  /** A control group that is delegated to the user, as systemd does it: a name below that of the test's. */
  readonly group?: string;
  readonly ids?: boolean;
  /** Paths of programs that are not there for the user. */
  readonly without?: readonly string[];
  /** Commands of the shell that prepare more. */
  readonly prepare?: string;
}

function linesFor(name: (typeof LISTS)[number], ids: boolean, home: string): string {
  if (name === "passwd") return `${USER.name}:x:${USER.id}:${USER.id}::${home}:/bin/sh\n`;
  if (name === "group") return `${USER.name}:x:${USER.id}:\n`;
  return ids ? `${USER.name}:${SUBORDINATE.first}:${SUBORDINATE.count}\n` : "";
}

/** Commands of the shell that leave a mount namespace control groups of version 2 alone. */
export const UNIFIED_ALONE = `
  while umount -lR /sys 2> /dev/null; do :; done
  mount -t sysfs none /sys
  mount -t cgroup2 none /sys/fs/cgroup`;

/** As on a host where systemd has given the user a group of its own. */
const delegate = (group: string) => `${UNIFIED_ALONE}
  mkdir -p /sys/fs/cgroup/${group}
  chown ${USER.id}:${USER.id} /sys/fs/cgroup/${group} /sys/fs/cgroup/${group}/cgroup.*
  echo $$ > /sys/fs/cgroup/${group}/cgroup.procs || echo $$ > /sys/fs/cgroup/${group}/berth-engine/cgroup.procs`;

/** Takes such a group away again, with all below it, once its last process has gone. */
export async function removeGroup(group: string): Promise<void> {
  const remove = `find /sys/fs/cgroup -depth -type d -path '*/${group}*' -exec rmdir {} +`;
  for (const end = Date.now() + 10_000; Date.now() < end; await Bun.sleep(50))
    if (Bun.spawnSync(["sh", "-c", remove]).success) break;
}

/** Makes a user's world below a directory, which then belongs to the user. */
export function userWorld(
  directory: string,
  executable: string,
  wishes: UserWishes = {},
): UserWorld {
  const [home, runtime, lists] = ["home", "run", "etc"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [home, runtime, lists]) mkdirSync(path, { mode: 0o755 });
  for (const path of [directory, home, runtime]) chownSync(path, USER.id, USER.id);
  chmodSync(directory, 0o755);
  chmodSync(runtime, 0o700);
  for (const name of LISTS) {
    const before = existsSync(`/etc/${name}`) ? readFileSync(`/etc/${name}`, "utf8") : "";
    writeFileSync(`${lists}/${name}`, before + linesFor(name, wishes.ids ?? true, home));
  }
  const script = [
    "mount --make-rprivate /",
    ...LISTS.map(
      (name) =>
        `[ -e /etc/${name} ] || : > /etc/${name}; mount --bind ${lists}/${name} /etc/${name}`,
    ),
    // A file system of its own: the one that the directory is on may have no devices.
    `mkdir -p ${lists}/dev; mount -t tmpfs none ${lists}/dev`,
    `mknod -m 666 ${lists}/dev/tun c 10 200; mknod -m 666 ${lists}/dev/fuse c 10 229`,
    `mount --bind ${lists}/dev/tun /dev/net/tun; mount --bind ${lists}/dev/fuse /dev/fuse`,
    ...(wishes.without ?? []).map((path) => `mount --bind /dev/null ${path}`),
    `: > ${directory}/berth; mount --bind ${executable} ${directory}/berth`,
    wishes.group === undefined ? ":" : delegate(wishes.group),
    wishes.prepare ?? ":",
    `exec setpriv --reuid ${USER.id} --regid ${USER.id} --clear-groups "$@"`,
  ].join("\n");
  return {
    executable: `${directory}/berth`,
    within: ["unshare", "--mount", "sh", "-ec", script, "sh"],
    env: { HOME: home, XDG_RUNTIME_DIR: runtime },
  };
}

/** The user's processes with this name, by which another of its name is not meant: `mark` is in its command line. */
export function ownProcesses(name: string, mark = ""): number[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        const isUsers = statSync(`/proc/${pid}`).uid === USER.id;
        // What leads out is passt.avx2 where the processor has that.
        const own = readFileSync(`/proc/${pid}/comm`, "utf8").trim().split(".")[0];
        return (
          isUsers && own === name && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(mark)
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** What leads out for a daemon: it is told of the namespaces of the process that dwells there. */
export function leadingOut(name: string, directory: string): number[] {
  const [dweller = 0] = ownProcesses("berth-dweller", directory);
  return ownProcesses(name, `/proc/${dweller}/ns/net`);
}
