/**
 * Whether a process goes on, asked of the kernel.
 */
import { readFileSync } from "node:fs";

/** Of a process's flags in /proc/PID/stat: it is on its way out. */
const PF_EXITING = 4;

/** A process is ending or has ended. */
export function isEnding(pid: number): boolean {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ");
    return (Number(fields?.[6]) & PF_EXITING) !== 0;
  } catch {
    return true;
  }
}
