/**
 * Control groups that root makes and leaves to the daemon's user: below its own group it makes others and sets their limits.
 * Which devices may be opened there root says once, for all of them; the kernel lets nobody else.
 */
import { chownSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { errnoOf, fault } from "../../base/errors.ts";
import { usualDeviceRules } from "../../engine/index.ts";
import { Cgroups, v1Writes } from "../../runtime/index.ts";
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
      // A group that has some below it keeps what it has: containers run there.
      if (errnoOf(error) !== "EINVAL" && errnoOf(error) !== "EPERM") throw error;
    }
}

/** Makes the group and gives it away; gives its directories in all hierarchies. */
export function delegateCgroups(
  name: string,
  user: DaemonUser,
  devices: readonly string[],
): readonly string[] {
  const cgroups = Cgroups.detect();
  if (cgroups.version === 2)
    throw fault(
      "unsupported",
      "guard-cgroups",
      "--user needs control groups of version 1: of version 2 no part is given to another user yet",
    );
  const rules = [...usualDeviceRules, ...devices.flatMap((path) => ruleOf(path) ?? [])];
  return cgroups.roots.map((root) => {
    const directory = `${root}${name}`;
    const isNew = !existsSync(directory);
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    fillSets(directory);
    if (isNew && existsSync(`${directory}/devices.allow`)) restrict(directory, rules);
    if (existsSync(`${directory}/cpuset.cpus`))
      writeFileSync(`${directory}/cgroup.clone_children`, "1");
    for (const file of [
      "",
      "/tasks",
      "/cgroup.procs",
      "/cgroup.threads",
      "/cgroup.clone_children",
      "/cgroup.subtree_control",
    ])
      give(`${directory}${file}`, user);
    return directory;
  });
}
