/** What it costs to keep a container's output. */
import { readFileSync } from "node:fs";
import { type Bench, pidsOf, type Side, seconds, timed } from "./kit.ts";

const LINES =
  "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678 | head -c 200000000";

/** Detached, so that only the log path is measured; the wait is part of the run. */
async function timedLog(bench: Bench, { cli }: Side): Promise<number> {
  const took = await timed(async () => {
    await bench.once(cli("run", "-d", "--name", "log", "busybox", "sh", "-c", LINES));
    await bench.once(cli("wait", "log"));
  });
  await bench.once(cli("rm", "log"));
  return took;
}

/** Seconds of processor time that processes have used. */
function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return sum + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);
}

/** Processor time that the engine, not the container, spends on the same output. */
async function logCpu(bench: Bench, { cli }: Side, engine: () => number[]): Promise<number> {
  const script = `${LINES}; sleep 1000`;
  const before = cpuSeconds(engine());
  await bench.once(cli("run", "-d", "--name", "log", "busybox", "sh", "-c", script));
  let [last, spent] = [-1, cpuSeconds(engine())];
  // The container stays; the output is through when the engine has rested for a second.
  while (spent !== last) {
    await Bun.sleep(1000);
    [last, spent] = [spent, cpuSeconds(engine())];
  }
  await bench.once(cli("rm", "-f", "log"));
  return spent - before;
}

/** 200 MB of lines: how long, and at what cost. */
export async function logs(bench: Bench): Promise<void> {
  const { berth, docker, directory } = bench;
  const runs = bench.sides.map((side) => () => timedLog(bench, side));
  const [b = 0, d = 0] = await bench.alternate(runs, 3);
  bench.report("a container that writes 200 MB of lines to its log", b, d, "dockerd", seconds);
  const own = await logCpu(bench, berth, () => [
    berth.pid,
    ...pidsOf(new RegExp(`^(berth-shim |\\S*/berth-helper).*${directory}`)),
  ]);
  const other = await logCpu(bench, docker, () => [
    docker.pid,
    ...pidsOf(new RegExp(`^\\S*containerd.*${directory}`)),
  ]);
  const what = "processor time of the engine for that";
  bench.report(what, own * 1000, other * 1000, "dockerd", seconds);
}
