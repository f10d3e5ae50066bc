/**
 * Control groups of an engine that has not the host's rights: below the group that it is in, if that has been delegated to
 * its user (version 2, as systemd does with Delegate=yes), or none.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { Cgroups } from "./cgroups.ts";
import { MadeCgroups } from "./made-cgroups.ts";

/** The engine's own processes are below the group that was delegated: one that has processes gives nothing to those below. */
const ENGINE = "berth-engine";
/** pasta is called passt.avx2 where the processor has that. */
const OWN_PROCESSES = /^(berth|pasta|passt|slirp4netns)/;

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

/** The group of this process in version 2, as a path below its mount; undefined: there is none. */
export function groupOf(cgroup: string): string | undefined {
  const path = /^0::(\/.*)$/m.exec(cgroup)?.[1];
  return path === "/" ? "" : path;
}

/** Puts the engine's processes aside, if nobody else is with them; else what is below has no controllers. */
function stepAside(group: string): void {
  const pids = readFileSync(`${group}/cgroup.procs`, "utf8").split("\n").filter(Boolean);
  if (pids.some((pid) => !OWN_PROCESSES.test(nameOf(pid)))) return;
  mkdirSync(`${group}/${ENGINE}`, { recursive: true });
  for (const pid of pids)
    try {
      writeFileSync(`${group}/${ENGINE}/cgroup.procs`, pid);
    } catch (error) {
      log.debug("put a process aside", { pid, error: messageOf(error) });
    }
}

/** The control groups, and the parent of containers' groups, which is called `name`; undefined: there are none. */
export function delegatedCgroups(
  name: string,
  madeFile: string,
): { readonly cgroups: Cgroups; readonly parent: string } | undefined {
  const mount = Cgroups.unifiedAlone();
  const own = groupOf(readFileSync("/proc/self/cgroup", "utf8"));
  if (mount === undefined || own === undefined) return undefined;
  // A daemon that has stepped aside before has its group above.
  const group = own.endsWith(`/${ENGINE}`) ? own.slice(0, -ENGINE.length - 1) : own;
  const at = mount + group;
  if (!existsSync(`${at}/cgroup.procs`)) return undefined;
  if (!writable(at) || !writable(`${at}/cgroup.procs`)) return undefined;
  stepAside(at);
  const parent = `${group}/${name}`;
  return { parent, cgroups: Cgroups.detect(new MadeCgroups(parent, madeFile), undefined, group) };
}
