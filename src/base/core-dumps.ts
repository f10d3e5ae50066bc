/**
 * Processes whose memory has secrets leave no image of it.
 */

const PR_SET_DUMPABLE = 4;
let isDone = false;

/**
 * From now on the kernel writes no core dump of this process, and other processes of the same user may not look into its memory.
 * What it executes is not concerned. Where there is no libc to ask by, nothing changes.
 */
export function leaveNoCoreDump(): void {
  if (isDone) return;
  isDone = true;
  try {
    const { dlopen } = require("bun:ffi") as typeof import("bun:ffi");
    const number = "u64";
    const args = ["int", number, number, number, number] as const;
    const { symbols, close } = dlopen("libc.so.6", { prctl: { args, returns: "int" } });
    symbols.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    close();
  } catch {
    // Another system's libc: the usual limits on core dumps are what is left.
  }
}
