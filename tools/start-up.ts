/**
 * How much of a processor a short command takes from its start to its end, beside docker's. Processor time, and of many runs the
 * least: what else the machine does at the moment changes that little, unlike the time that passes.
 */

const RUNS = 25;

/** Docker's time by berth's, which a change must not fall below; bench/RESULTS.md has what was measured on a quiet machine. */
const LEAST: Readonly<Record<string, number>> = { "--help": 2.1, version: 1.6 };

/** Nobody listens there: what is compared is the command line alone. */
const NOBODY = "unix:///nowhere/daemon.sock";

/** Processor time in milliseconds. */
function processorTime(argv: readonly string[]): number {
  const { resourceUsage } = Bun.spawnSync([...argv], { stdout: "ignore", stderr: "ignore" });
  return Number(resourceUsage.cpuTime.total) / 1000;
}

/** One command line of both. */
export interface StartUp {
  readonly line: string;
  readonly berthMs: number;
  readonly dockerMs: number;
  /** Docker's time by berth's. */
  readonly ratio: number;
  readonly least: number;
}

/** Measures the lines, turn by turn. */
export function measureStartUp(berth: string, docker: string): StartUp[] {
  return Object.entries(LEAST).map(([line, least]) => {
    let [berthMs, dockerMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let run = 0; run < RUNS; run++) {
      berthMs = Math.min(berthMs, processorTime([berth, "-H", NOBODY, line]));
      dockerMs = Math.min(dockerMs, processorTime([docker, "-H", NOBODY, line]));
    }
    return { line, berthMs, dockerMs, ratio: dockerMs / berthMs, least };
  });
}
