/**
 * Control groups that root makes and leaves to the daemon's user: below its own group it makes others and sets their limits.
 * Which devices may be opened there root says once, for all of them; the kernel lets nobody else.
 */
import { chownSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { errnoOf } from "../../base/errors.ts";
import { usualDeviceRules } from "../../engine/index.ts";
import { Cgroups, deviceFilter, v1Writes } from "../../runtime/index.ts";
import type { OciDeviceRule } from "../../spec/oci-runtime.ts";
import type { DaemonUser } from "./ids.ts";

function ruleOf(path: string): OciDeviceRule | undefined {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info === undefined || !(info.isCharacterDevice() || info.isBlockDevice())) return undefined;
  const [major, minor] = [
    ((info.rdev >> 8) & 0xfff) | ((info.rdev / 2 ** 32) & ~0xfff),
    (info.rdev & 0xff) | ((info.rdev >> 12) & 0xfff00),
  ];
  return { allow: true, type: info.isBlockDevice() ? "b" : "c", major, minor, access: "rwm" };
}

/** What of a group is the user's. */
const given = [
  "",
  "/tasks",
  "/cgroup.procs",
  "/cgroup.threads",
  "/cgroup.clone_children",
  "/cgroup.subtree_control",
];

function give(path: string, { uid, gid }: DaemonUser): void {
  if (existsSync(path)) chownSync(path, uid, gid);
}

/** Lets children have what the parent has: version 1's sets of processors are empty in a new group. */
function fillSets(directory: string): void {
  const parent = directory.slice(0, directory.lastIndexOf("/"));
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (!existsSync(`${directory}/${file}`)) continue;
    if (readFileSync(`${directory}/${file}`, "utf8").trim() !== "") continue;
    writeFileSync(`${directory}/${file}`, readFileSync(`${parent}/${file}`, "utf8"));
  }
}

function restrict(directory: string, rules: readonly OciDeviceRule[]): void {
  for (const { file, value } of v1Writes({ devices: rules }))
    try {
      writeFileSync(`${directory}/${file}`, value);
    } catch (error) {
      // A group that could not be removed, and has some below it, keeps what it has.
      if (errnoOf(error) !== "EINVAL" && errnoOf(error) !== "EPERM") throw error;
    }
}

/** Version 2: a group that has others has no processes itself, so that the daemon needs one of its own beside its containers'. */
const DAEMON = "daemon";

/** Ends what is left in a group, and removes it: a guard that has died has left it with nobody who can look after it. */
export function endOrphans(name: string): void {
  const cgroups = Cgroups.detect();
  cgroups.kill(name);
  cgroups.remove(name);
}

/**
 * Makes the group and gives it away; gives its directories in all hierarchies, those below others first. `filter` limits the
 * devices of version 2.
 */
export async function delegateCgroups(
  name: string,
  user: DaemonUser,
  devices: readonly string[],
  filter: (directory: string, program: Uint8Array) => Promise<void>,
  cgroups = Cgroups.detect(),
): Promise<readonly string[]> {
  const rules = [...usualDeviceRules, ...devices.flatMap((path) => ruleOf(path) ?? [])];
  const made: string[] = [];
  for (const root of cgroups.roots) {
    const directory = `${root}${name}`;
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    if (cgroups.version === 1) fillSets(directory);
    if (existsSync(`${directory}/devices.allow`)) restrict(directory, rules);
    for (const file of given) give(`${directory}${file}`, user);
    if (cgroups.version === 2) {
      cgroups.delegate("");
      cgroups.delegate(name);
      mkdirSync(`${directory}/${DAEMON}`, { recursive: true });
      made.push(`${directory}/${DAEMON}`);
      const program = deviceFilter(rules);
      if (program !== undefined) await filter(directory, program);
    }
    made.push(directory);
  }
  return made;
}

/** Version 2: moves this process to where the daemon is to be; who is there may move others to the groups below. */
export function enterDelegated(name: string): void {
  const cgroups = Cgroups.detect();
  if (cgroups.version === 2)
    for (const root of cgroups.roots)
      writeFileSync(`${root}${name}/${DAEMON}/cgroup.procs`, String(process.pid));
}
