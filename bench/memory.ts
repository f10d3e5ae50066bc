/** What the engines' own processes hold in memory. */
import { readFileSync } from "node:fs";
import { type Bench, kib, median, pidsOf } from "./kit.ts";

/** Private memory of a process in KiB: what it has written, or with `clean` the pages of its own program as well. */
function privateKib(pid: number, clean: boolean): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const pattern = clean ? /^Private_\w+:\s+(\d+) kB/gm : /^Private_Dirty:\s+(\d+) kB/gm;
  return [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0);
}

/** Longer than the quiet time after which the daemon gives memory back. */
const IDLE_MS = 12_000;

/** Supervisors and idle daemons. */
export async function memory(bench: Bench): Promise<void> {
  const { berth, docker, directory } = bench;
  const sleeper = ["run", "-d", "--name", "mem", "busybox", "sleep", "1000"];
  for (const side of bench.sides) await bench.once(side.cli(...sleeper));
  const supervisor = (pattern: RegExp) =>
    median(pidsOf(pattern).map((pid) => privateKib(pid, true)));
  bench.report(
    "private memory of a container's supervisor",
    supervisor(new RegExp(`^berth-shim ${directory}`)),
    supervisor(new RegExp(`containerd-shim.*${directory}`)),
    "containerd-shim",
    kib,
  );
  await Bun.sleep(IDLE_MS);
  const containerd = pidsOf(new RegExp(`^containerd.*${directory}`));
  for (const clean of [true, false]) {
    const others = [docker.pid, ...containerd].reduce(
      (sum, pid) => sum + privateKib(pid, clean),
      0,
    );
    const what = clean
      ? "private memory of the idle daemon (after the runs above)"
      : "of that, what the daemon has written";
    bench.report(what, privateKib(berth.pid, clean), others, "dockerd and containerd", kib);
  }
  for (const side of bench.sides) await bench.once(side.cli("rm", "-f", "mem"));
}
