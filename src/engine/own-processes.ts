/**
 * Which processes are a container's, where no control group tells.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { CgroupUsage } from "../runtime/index.ts";
import type { Container } from "./container.ts";

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** A process's parent, from a directory of /proc; 0 when it has gone. */
function parentOf(process: string): number {
  try {
    const fields = readFileSync(`${process}/stat`, "utf8").split(") ").at(-1)?.split(" ");
    return Number(fields?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Whether an open directory of /proc is of a container's first process: its parent is the container's supervisor. */
export function isFirstProcess(process: string, { id }: Container): boolean {
  try {
    const command = readFileSync(`/proc/${parentOf(process)}/cmdline`, "utf8");
    return command.endsWith(`/c/${id.slice(0, 32)}\0`);
  } catch {
    return false;
  }
}

/** All that are in the PID namespace of the container's first process, or come from it if that is somebody else's, too. */
export function pidsByNamespace({ record }: Container): number[] {
  const first = record.state.pid;
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const shares = (record.hostConfig.PidMode ?? "") !== "";
  if (!shares) {
    const own = linkOf(`/proc/${first}/ns/pid`);
    return pids
      .filter((pid) => own !== undefined && linkOf(`/proc/${pid}/ns/pid`) === own)
      .map(Number);
  }
  const parents = new Map(pids.map((pid) => [Number(pid), parentOf(`/proc/${pid}`)]));
  // Execs are its supervisor's children, as the first one is.
  const supervisor = parents.get(first) ?? 0;
  const comesFrom = (pid: number): boolean => {
    const parent = parents.get(pid) ?? 0;
    return parent > 1 && (parent === supervisor || comesFrom(parent));
  };
  return supervisor > 1 ? [...parents.keys()].filter(comesFrom) : [];
}

/** A tick of /proc/PID/stat in nanoseconds, and a page in bytes. */
const TICK_NS = 10_000_000;
const PAGE = 4096;

/** Fields of /proc/PID/stat behind the name; none of a process that has gone. */
function statOf(pid: number): number[] {
  try {
    return (readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1) ?? "")
      .split(" ")
      .map(Number);
  } catch {
    return [];
  }
}

/**
 * What the processes that there are use. Memory that several share is counted for each; what ended processes have used is
 * counted with whoever has waited for them.
 */
export function usageByProcesses(container: Container): CgroupUsage {
  const stats = pidsByNamespace(container).map(statOf);
  const sum = (...fields: number[]) =>
    stats.reduce((all, stat) => all + fields.reduce((own, at) => own + (stat[at] ?? 0), 0), 0);
  const [user, system] = [sum(11, 13) * TICK_NS, sum(12, 14) * TICK_NS];
  const unlimited = Number.POSITIVE_INFINITY;
  return {
    cpu: { total: user + system, user, system, periods: 0, throttledPeriods: 0, throttledTime: 0 },
    memory: { usage: sum(21) * PAGE, limit: unlimited, stats: {} },
    pids: { current: stats.length, limit: unlimited },
    io: { bytes: [], operations: [] },
  };
}
