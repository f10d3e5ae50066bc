/**
 * The firewall's table belongs to a netlink socket, which every shim has been given at its start: the table had an owner while no daemon
 * ran, and is to be this daemon's.
 */
import { readdirSync, readFileSync } from "node:fs";
import { log } from "../base/log.ts";
import type { Kernel } from "../kernel/index.ts";

/** Takes the socket from one of the shims below a directory. Nobody has it where no container runs, or all are of an older version. */
export async function adoptTable(kernel: Kernel, runDirectory: string): Promise<void> {
  const rundirs = readdirSync(runDirectory).map((name) => `${runDirectory}/${name}`);
  for (const rundir of rundirs) if (await gives(kernel, rundir)) return;
  // A shim whose socket somebody has deleted has the table nevertheless.
  for (const [rundir, pid] of shims(runDirectory)) if (await gives(kernel, rundir, pid)) return;
}

async function gives(kernel: Kernel, rundir: string, pid?: number): Promise<boolean> {
  try {
    await kernel.adoptNetlink(rundir, pid);
    return true;
  } catch (error) {
    log.debug("a shim gives no netlink socket", { rundir, error });
    return false;
  }
}

/** The shims that run, by their run directories. */
function shims(runDirectory: string): [rundir: string, pid: number][] {
  return readdirSync("/proc").flatMap((name): [string, number][] => {
    if (!/^[0-9]+$/.test(name)) return [];
    const [, rundir = ""] = commandOf(name);
    return rundir.startsWith(`${runDirectory}/`) ? [[rundir, Number(name)]] : [];
  });
}

function commandOf(pid: string): string[] {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words[0] === "berth-shim" ? words : [];
  } catch {
    return [];
  }
}
