/**
 * A host of a command's own, as far as the kernel has such a thing: processes, network, mounts, names and control groups. What
 * runs in one counts only what is its own, so that test files which look after their leftovers can run beside one another.
 * Files, devices and the kernel's own settings are the host's.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";

/** What is mounted at or below /sys, in its order. */
interface Mount {
  readonly point: string;
  /** What of the file system is there. */
  readonly root: string;
  readonly type: string;
  readonly options: string;
}

/** File systems below /sys that are mounted again on a new /sys; whatever else is there is not needed. */
const AGAIN = new Set(["cgroup", "cgroup2", "tmpfs", "securityfs", "debugfs", "tracefs", "bpf"]);

/** Reads the lines of a mountinfo that are about what is below /sys; of mounts at one place the uppermost. */
export function mountsOfSys(mountinfo: string): Mount[] {
  const found = new Map<string, Mount>();
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "", point = ""] = before.split(" ");
    const [type = "", , options = ""] = after.split(" ");
    if (!point.startsWith("/sys/") || !AGAIN.has(type)) continue;
    // "rw" and "ro" are the mount's, and what a tmpfs says of sizes is as good by default.
    const own = type.startsWith("cgroup") ? options.replace(/^r[ow],?/, "") : "";
    found.delete(point);
    found.set(point, { point, root, type, options: own });
  }
  return [...found.values()];
}

/** The directory of this process in each hierarchy of version 1 or named, by /proc/self/cgroup. */
function ownGroups(mounts: readonly Mount[]): string[] {
  const paths = readFileSync("/proc/self/cgroup", "utf8").trim().split("\n");
  return mounts.flatMap(({ point, root, type, options }) => {
    if (!type.startsWith("cgroup")) return [];
    const words = options.split(",");
    const mine = paths.find((line) => {
      const controllers = line.split(":")[1] ?? "";
      return type === "cgroup2"
        ? controllers === ""
        : controllers !== "" && controllers.split(",").every((name) => words.includes(name));
    });
    if (mine === undefined) throw new Error(`no group of this process at ${point}`);
    return [join(point, relative(root, mine.split(":").slice(2).join(":")))];
  });
}

/** Why there can be none here; undefined when there can. */
export function whyNoOwnHost(): string | undefined {
  if (process.getuid?.() !== 0) return "only root can make them";
  if (Bun.which("unshare") === null) return "there is no unshare";
  // A group of version 2 that has processes gives the groups in it no controllers, but for the host's root.
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return "control groups are of version 2";
  const probe = OwnHost.make();
  try {
    const { exitCode, stderr } = Bun.spawnSync(probe.running(["true"]));
    return exitCode === 0 ? undefined : stderr.toString().trim();
  } finally {
    probe.remove();
  }
}

/** Quotes a word for sh. */
const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

/** Makes /proc, /sys and /run anew. Runs as the first process, and stays it, since somebody must reap. */
function preparation(mounts: readonly Mount[]): string {
  const again = mounts.map(({ point, type, options }) => {
    const flag = options === "" ? "" : `-o ${quoted(options)} `;
    return `mkdir -p ${quoted(point)}; mount -t ${type} ${flag}${type} ${quoted(point)}`;
  });
  return `set -e
mount --make-rprivate /
mount -t proc proc /proc
# Gone, not only covered: a list of mounts names those, too.
while umount --recursive --lazy /sys 2>/dev/null; do :; done
mount -t sysfs sysfs /sys
${again.join("\n")}
resolver=$(readlink -f /etc/resolv.conf || true)
case $resolver in /run/*) servers=$(cat $resolver) ;; *) resolver= ;; esac
mount -t tmpfs -o mode=0755 tmpfs /run
[ -z "$resolver" ] || { mkdir -p "$(dirname "$resolver")"; echo "$servers" > "$resolver"; }
ip link set lo up
set +e
"$@"
exit $?`;
}

/** The control groups of one such host; the rest of it goes with its processes. */
export class OwnHost {
  private constructor(
    private readonly mounts: readonly Mount[],
    private readonly groups: readonly string[],
  ) {}

  static make(): OwnHost {
    const mounts = mountsOfSys(readFileSync("/proc/self/mountinfo", "utf8"));
    const name = `tests-${crypto.randomUUID().slice(0, 8)}`;
    const groups = ownGroups(mounts).map((parent) => {
      const group = join(parent, name);
      mkdirSync(group);
      // A group of this kind takes no process before it says where that may run.
      for (const file of ["cpuset.cpus", "cpuset.mems"])
        if (existsSync(join(group, file)))
          writeFileSync(join(group, file), readFileSync(join(parent, file)));
      return group;
    });
    return new OwnHost(mounts, groups);
  }

  /** The command line that runs `argv` there. Its end is the end of all that it has started. */
  running(argv: readonly string[]): string[] {
    const enter = this.groups.map((group) => `echo $$ > ${quoted(`${group}/cgroup.procs`)}`);
    const kinds = ["--pid", "--fork", "--kill-child", "--net", "--mount", "--ipc", "--uts"];
    const words = ["unshare", ...kinds, "--cgroup", "sh", "-c", preparation(this.mounts), "sh"];
    return ["sh", "-c", `set -e\n${enter.join("\n")}\nexec "$@"`, "sh", ...words, ...argv];
  }

  /** What has been used there of a processor, in seconds; undefined where the kernel does not count. */
  get processorSeconds(): number | undefined {
    const files = this.groups.map((group) => join(group, "cpuacct.usage"));
    const file = files.find((path) => existsSync(path));
    return file === undefined ? undefined : Number(readFileSync(file, "utf8")) / 1e9;
  }

  /** Takes the groups away, when all that ran there has ended. */
  remove(): void {
    for (const group of this.groups) removeGroup(group);
  }
}

/** Removes a control group with those in it. A process that has just died may hold it for a moment. */
function removeGroup(group: string): void {
  for (const entry of readdirSync(group, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroup(join(group, entry.name));
  for (let tries = 0; ; tries++)
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      if (tries === 200) throw error;
      Bun.sleepSync(10);
    }
}
