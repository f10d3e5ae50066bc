/** What is done with containers that are there: list, exec, stats, cp, stop. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { ApiClient, parseHost } from "../src/client/index.ts";
import { type Bench, type Side, seconds, timed } from "./kit.ts";

const SLEEPER = ["busybox", "sleep", "100000"];

/** Runs work for every item, a few at a time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

async function request(side: Side, method: string, path: string, body?: unknown): Promise<string> {
  const response = await fetch(`http://x${path}`, {
    method,
    unix: side.socket,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${side.name}: ${path}: ${response.status} ${text}`);
  return text;
}

const STOPPED = 1000;

/** A list of a thousand containers that do not run. */
export async function list(bench: Bench): Promise<void> {
  const names = Array.from({ length: STOPPED }, (_, index) => `listed-${index}`);
  for (const side of bench.sides)
    await each(names, (name) =>
      request(side, "POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["true"] }),
    );
  const runs = bench.sides.map(
    (side) => () => timed(() => request(side, "GET", "/containers/json?all=1")),
  );
  const [b = 0, d = 0] = await bench.alternate(runs, bench.rounds);
  bench.report(`GET /containers/json?all=1 with ${STOPPED} containers`, b, d, "dockerd");
  const both = bench.sides.map((side) => side.cli("ps", "-aq"));
  const [bp = 0, dp = 0] = await bench.compare(both, 10);
  bench.report("ps -aq of the same", bp, dp, "docker against dockerd");
  for (const side of bench.sides)
    await each(names, (name) => request(side, "DELETE", `/containers/${name}`));
}

const WARM = 100;
const IN_A_ROW = 10;

/** A client's three requests: made, run until its output ends, asked for its exit code. */
async function execOnce(client: ApiClient): Promise<void> {
  const streams = { AttachStdout: true, AttachStderr: true };
  const { Id } = await client.json<{ Id: string }>("POST", "/containers/exec/exec", {
    body: { ...streams, Cmd: ["true"] },
  });
  const stream = await client.hijack(`/exec/${Id}/start`, { body: { Detach: false, Tty: false } });
  while ((await stream.read()) !== undefined);
  stream.close();
  const { ExitCode } = await client.json<{ ExitCode: number }>("GET", `/exec/${Id}/json`);
  if (ExitCode !== 0) throw new Error(`exec ended with ${ExitCode}`);
}

/** A command in a container that runs. */
export async function exec(bench: Bench): Promise<void> {
  for (const side of bench.sides)
    await bench.once(side.cli("run", "-d", "--name", "exec", ...SLEEPER));
  const clients = bench.sides.map(
    ({ socket }) => new ApiClient(parseHost(`unix://${socket}`, true), async () => false),
  );
  const runs = clients.map((client) => () => timed(() => execOnce(client)));
  const rows = clients.map((client) => async () => {
    const took = await timed(async () => {
      for (let count = 0; count < IN_A_ROW; count++) await execOnce(client);
    });
    return took / IN_A_ROW;
  });
  // A daemon in use: one that has just begun still learns its own code.
  for (const run of runs) for (let count = 0; count < WARM; count++) await run();
  const [ba = 0, da = 0] = await bench.alternate(runs, bench.rounds);
  bench.report(
    `exec true at the API: create, start, its end, inspect; after ${WARM} of them`,
    ba,
    da,
    "dockerd",
  );
  const [br = 0, dr = 0] = await bench.alternate(rows, bench.rounds);
  bench.report(`the same, each of ${IN_A_ROW} in a row`, br, dr, "dockerd");
  for (const client of clients) client.close();
  const both = bench.sides.map((side) => side.cli("exec", "exec", "true"));
  const [b = 0, d = 0] = await bench.compare(both);
  bench.report("exec true", b, d, "docker against dockerd");
  for (const side of bench.sides) await bench.once(side.cli("rm", "-f", "exec"));
}

const RUNNING = 100;

/** A hundred containers that run: what they use, and their end. */
export async function hundred(bench: Bench): Promise<void> {
  const names = Array.from({ length: RUNNING }, (_, index) => `running-${index}`);
  // Ends at once when it is told to: what is measured is the engine.
  const obedient = ["busybox", "sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"];
  const runAll = (side: Side) =>
    each(names, (name) => bench.once(side.cli("run", "-d", "--name", name, ...obedient)));
  for (const side of bench.sides) await runAll(side);
  const samples = bench.sides.map(
    (side) => () =>
      timed(() =>
        Promise.all(
          names.map((name) =>
            request(side, "GET", `/containers/${name}/stats?stream=false&one-shot=true`),
          ),
        ),
      ),
  );
  const [bs = 0, ds = 0] = await bench.alternate(samples, 5);
  bench.report(`one-shot stats of ${RUNNING} containers at once`, bs, ds, "dockerd");
  const shown = bench.sides.map((side) => side.cli("stats", "--no-stream"));
  const [bc = 0, dc = 0] = await bench.compare(shown, 3);
  bench.report(`stats --no-stream of ${RUNNING} containers`, bc, dc, "docker against dockerd");
  const ends: number[] = [];
  for (const side of bench.sides)
    ends.push(
      await timed(() => Promise.all(names.map((name) => bench.once(side.cli("stop", name))))),
    );
  const [be = 0, de = 0] = ends;
  bench.report(`${RUNNING} parallel stop of containers that end at once`, be, de, "dockerd");
  for (const side of bench.sides) await bench.once(side.cli("rm", "-f", ...names));
}

const FILES = 20_000;

/** Files in and out of a container. */
export async function copy(bench: Bench): Promise<void> {
  const at = `${bench.directory}/copied`;
  mkdirSync(`${at}/small`, { recursive: true });
  writeFileSync(`${at}/big`, Buffer.alloc(1 << 30, "berth"));
  for (let file = 0; file < FILES; file++) {
    if (file % 200 === 0) mkdirSync(`${at}/small/${Math.floor(file / 200)}`);
    writeFileSync(`${at}/small/${Math.floor(file / 200)}/${file}`, `the content of ${file}\n`);
  }
  for (const side of bench.sides)
    await bench.once(side.cli("run", "-d", "--name", "copy", ...SLEEPER));
  for (const [name, what] of [
    ["big", "a file of 1 GiB"],
    ["small", `${FILES} small files`],
  ] as const) {
    const into = bench.sides.map((side) => async () => {
      const took = await bench.once(side.cli("cp", `${at}/${name}`, "copy:/in"));
      await bench.once(side.cli("exec", "copy", "busybox", "rm", "-r", "/in"));
      return took;
    });
    const [bi = 0, di = 0] = await bench.alternate(into, 3);
    bench.report(`cp of ${what} into a container`, bi, di, "docker against dockerd", seconds);
    for (const side of bench.sides)
      await bench.once(side.cli("cp", `${at}/${name}`, `copy:/${name}`));
    const out = bench.sides.map((side) => async () => {
      const took = await bench.once(side.cli("cp", `copy:/${name}`, `${at}/out`));
      rmSync(`${at}/out`, { recursive: true });
      return took;
    });
    const [bo = 0, dout = 0] = await bench.alternate(out, 3);
    bench.report(`the same out of it`, bo, dout, "docker against dockerd", seconds);
  }
  for (const side of bench.sides) await bench.once(side.cli("rm", "-f", "copy"));
  rmSync(at, { recursive: true });
}
