/**
 * Cgroups as the directories that they are: what is below one, in one hierarchy.
 */
import { readdirSync, readFileSync, rmdirSync } from "node:fs";
import { errnoOf } from "../base/errors.ts";

/** The names of the directories in one; none when it is not there. */
export function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}

/** The processes in a cgroup and below it; none when it is gone. */
export function pidsBelow(path: string): number[] {
  let own: number[] = [];
  try {
    own = readFileSync(`${path}/cgroup.procs`, "utf8").split("\n").filter(Boolean).map(Number);
  } catch {
    return [];
  }
  return [...own, ...directories(path).flatMap((name) => pidsBelow(`${path}/${name}`))];
}

/** Removes a cgroup and what is below it; false while something is in it. */
export function removeTree(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return true;
  }
  // A container may have made cgroups of its own below.
  if (
    !directories(path)
      .map((name) => removeTree(`${path}/${name}`))
      .every(Boolean)
  )
    return false;
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return errnoOf(error) === "ENOENT";
  }
}
