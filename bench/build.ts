/**
 * Builds beside dockerd's classic builder, and beside buildah where it is installed: steps, contexts, stages, COPY.
 */
import { mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { type Bench, type Candidate, type Side, seconds, timed } from "./kit.ts";

const ROUNDS = 3;
const FILES = 20_000;
const BYTES = 100e6;
const PER_DIRECTORY = 100;
const STAGE_SECONDS = 2;

/** A context of many files, the same at every run. */
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
    argv: ["buildah", "--root", root, "--runroot", `${bench.directory}/buildahx`, ...args],
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

/** Builds side by side, and beside dockerd's and buildah's. */
export async function builds(bench: Bench): Promise<void> {
  const directory = `${bench.directory}/context`;
  mkdirSync(directory);
  writeContext(directory);
  const [steps, stages] = [`${bench.directory}/steps`, `${bench.directory}/stages`];
  for (const path of [steps, stages]) mkdirSync(path);
  writeFileSync(`${steps}/Dockerfile`, `${tenSteps.join("\n")}\n`);
  writeFileSync(`${stages}/Dockerfile`, `${threeStages.join("\n")}\n`);
  writeFileSync(`${directory}/Dockerfile`, "FROM busybox\nCOPY . /src\nRUN echo done > /done\n");
  const other = await buildah(bench);
  const compare = async (
    what: string,
    flags: readonly string[],
    context: string,
    before: () => void = () => {},
  ) => {
    const all = bench.sides.map((side) => candidate(side, ...flags, context));
    if (other !== undefined)
      all.push(other("bud", "--layers", "--pull-never", "-q", ...flags, context));
    for (const one of all) await bench.once(one);
    const runs = all.map((one) => () => {
      before();
      return timed(() => bench.once(one));
    });
    const [berth = 0, docker = 0, more] = await bench.alternate(runs, ROUNDS);
    bench.report(what, berth, docker, "dockerd", seconds);
    if (more !== undefined) bench.report(what, berth, more, "buildah", seconds);
  };
  await compare("build, ten small RUNs", ["--no-cache"], steps);
  await compare("build, three stages of 2 s each", ["--no-cache"], stages);
  const files = `${FILES / 1000},000 files, ${BYTES / 1e6} MB`;
  await compare(`build, all cached, context of ${files}`, [], directory);
  let round = 0;
  await compare(`build, COPY of ${files}, one changed`, [], directory, () =>
    writeFileSync(`${directory}/tree/0/changed.js`, String(++round)),
  );
}
