/**
 * Builds beside dockerd's classic builder, and beside buildah where it is installed: steps, contexts, stages, COPY.
 */
import { mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { type Bench, type Candidate, median, type Side, seconds, timed } from "./kit.ts";

/** At most; and no round begins that long after the first of a comparison: the slowest candidate alone needs half a minute. */
const ROUNDS = 3;
const PATIENCE_MS = 35_000;
const FILES = 20_000;
const BYTES = 100e6;
const PER_DIRECTORY = 100;
const STAGE_SECONDS = 2;

/** A context of many files, the same at every run, with a Dockerfile that copies them. */
function writeContext(directory: string): void {
  const pool = new Uint8Array(1 << 20);
  let state = 1;
  for (let at = 0; at < pool.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    pool[at] = state >>> 16;
  }
  const size = Math.floor(BYTES / FILES);
  for (let index = 0; index < FILES; index++) {
    const parent = `${directory}/tree/${Math.floor(index / PER_DIRECTORY)}`;
    if (index % PER_DIRECTORY === 0) mkdirSync(parent, { recursive: true });
    const from = (index * 7919) % (pool.length - size);
    const path = `${parent}/file-${index}.js`;
    writeFileSync(path, pool.subarray(from, from + size));
    utimesSync(path, 1_700_000_000, 1_700_000_000);
  }
  writeFileSync(`${directory}/Dockerfile`, "FROM busybox\nCOPY . /src\nRUN echo done > /done\n");
}

const tenSteps = [
  "FROM busybox",
  ...Array.from({ length: 10 }, (_, n) => `RUN echo ${n} > /f${n}`),
];
const sleeping = (name: string) => [
  `FROM busybox AS ${name}`,
  `RUN sleep ${STAGE_SECONDS} && echo ${name} > /${name}`,
];
const threeStages = [
  ...["a", "b", "c"].flatMap(sleeping),
  "FROM busybox",
  ...["a", "b", "c"].map((name) => `COPY --from=${name} /${name} /${name}`),
];

/** buildah on files of its own, with the base image that dockerd has; undefined where it is not installed. */
async function buildah(bench: Bench): Promise<((...args: string[]) => Candidate) | undefined> {
  if (Bun.which("buildah") === null) return undefined;
  const root = `${bench.directory}/buildah`;
  const call = (...args: string[]): Candidate => ({
    name: "buildah",
    argv: [
      ...["buildah", "--storage-driver", "overlay", "--root", root],
      ...["--runroot", `${bench.directory}/buildahx`, ...args],
    ],
  });
  const archive = `${bench.directory}/base.tar`;
  try {
    await bench.once(bench.docker.cli("save", "-o", archive, "busybox"));
    await bench.once(call("pull", `docker-archive:${archive}`));
    await bench.once(call("run", (await created(call)).trim(), "true"));
    return call;
  } catch (error) {
    console.log(`buildah does not run here: ${String(error).slice(0, 300)}`);
    return undefined;
  } finally {
    rmSync(archive, { force: true });
  }
}

async function created(call: (...args: string[]) => Candidate): Promise<string> {
  const { argv } = call("from", "--pull-never", "busybox");
  return Bun.spawn([...argv], { stdin: "ignore", stderr: "ignore" }).stdout.text();
}

/** One build with a side's own command line. */
function candidate(side: Side, ...args: string[]): Candidate {
  const own = side.cli("build", "-q", ...args);
  return { ...own, env: { ...own.env, DOCKER_BUILDKIT: "0" } };
}

/** One row of the section. */
interface Comparison {
  readonly what: string;
  readonly flags?: readonly string[];
  readonly context: string;
  readonly rounds?: number;
  /** Before each build. */
  readonly before?: () => void;
}

/** Medians of alternating runs, as many as there is patience for, and how many these were. */
async function rounds(runs: readonly (() => Promise<number>)[], most: number) {
  const found = runs.map((): number[] => []);
  const began = performance.now();
  let count = 0;
  while (count < most && (count === 0 || performance.now() - began < PATIENCE_MS)) {
    for (const [index, run] of runs.entries()) found[index]?.push(await run());
    count++;
  }
  return { medians: found.map(median), count };
}

/** Builds side by side, and beside dockerd's and buildah's. The section takes less than four minutes. */
export async function builds(bench: Bench): Promise<void> {
  const [many, steps, stages] = ["many", "steps", "stages"].map(
    (name) => `${bench.directory}/${name}`,
  ) as [string, string, string];
  for (const path of [many, steps, stages]) mkdirSync(path);
  writeContext(many);
  writeFileSync(`${steps}/Dockerfile`, `${tenSteps.join("\n")}\n`);
  writeFileSync(`${stages}/Dockerfile`, `${threeStages.join("\n")}\n`);
  const other = await buildah(bench);
  const compare = async (row: Comparison) => {
    const { flags = [], context, before = () => {} } = row;
    const all = bench.sides.map((side) => candidate(side, ...flags, context));
    if (other !== undefined)
      all.push(other("bud", "--layers", "--pull-never", "-q", ...flags, context));
    const runs = all.map((one) => () => {
      before();
      return timed(() => bench.once(one));
    });
    const { medians, count } = await rounds(runs, row.rounds ?? ROUNDS);
    const [berth = 0, docker = 0, more] = medians;
    const what = `${row.what} (${count} of each)`;
    bench.report(what, berth, docker, "dockerd", seconds);
    if (more !== undefined) bench.report(what, berth, more, "buildah", seconds);
  };
  await compare({ what: "build, ten small RUNs", flags: ["--no-cache"], context: steps });
  const each = `${STAGE_SECONDS} s each`;
  await compare({
    ...{ what: `build, three stages of ${each}`, flags: ["--no-cache"], context: stages },
    rounds: 2,
  });
  const files = `${FILES / 1000},000 files, ${BYTES / 1e6} MB`;
  // Nobody has seen the context before: all of it is sent, where something is sent.
  await compare({ what: `build, COPY of ${files}, the first`, context: many, rounds: 1 });
  await compare({ what: "build, the same again, all cached", context: many });
  let round = 0;
  const before = () => writeFileSync(`${many}/tree/0/changed.js`, String(++round));
  await compare({ what: "build, the same with one file changed", context: many, before });
}
