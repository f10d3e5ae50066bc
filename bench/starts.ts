/** How long containers take to start: alone, side by side, many of them; and the command line by itself. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { type Bench, type Candidate, median, root, timed } from "./kit.ts";

async function runc(bench: Bench, berthMs: number): Promise<void> {
  const bundle = `${bench.directory}/bundle`;
  mkdirSync(bundle);
  Bun.spawnSync(["runc", "spec"], { cwd: bundle });
  const config = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8")) as {
    process: { terminal: boolean; args: string[] };
    root: { path: string };
  };
  config.process.terminal = false;
  config.process.args = ["/bin/true"];
  config.root.path = `${bench.directory}/rootfs`;
  writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
  const argv = ["runc", "--root", `${bench.directory}/runc`, "run", "-b", bundle, "bench"];
  const [r = 0] = await bench.compare([{ name: "runc", argv }]);
  bench.report(
    "berth run --network none (client, daemon, overlay, log) beside bare runc run",
    berthMs,
    r,
    "runc",
  );
}

/** One container, from the command to its end. */
export async function starts(bench: Bench): Promise<void> {
  const both = (...args: string[]) => bench.sides.map((side) => side.cli(...args));
  const [b = 0, d = 0] = await bench.compare(both("run", "--rm", "busybox", "true"));
  bench.report("run --rm busybox true, default bridge", b, d, "dockerd");
  const lonely = ["run", "--rm", "--network", "none", "busybox", "true"];
  const [bn = 0, dn = 0] = await bench.compare(both(...lonely));
  bench.report("run --rm --network none busybox true", bn, dn, "dockerd");
  const [stock = 0] = await bench.compare([
    {
      name: "stock docker on berth",
      argv: ["docker", "run", "--rm", "busybox", "true"],
      env: { DOCKER_HOST: `unix://${bench.berth.socket}` },
    },
  ]);
  bench.report(
    "the same on the bridge, stock docker command line against berth",
    stock,
    d,
    "dockerd",
  );
  await runc(bench, bn);
}

/** The command line by itself: from its start to its end. */
export async function client(bench: Bench): Promise<void> {
  const lines = [
    ["--help"],
    ["version"],
    ["ps"],
    ["version", "--format", "{{.Client.Version}}"],
    ["images"],
    // What a shell asks at a tab: names of containers.
    ["__complete", "rm", ""],
  ];
  for (const line of lines) {
    const both = bench.sides.map((side) => side.cli(...line));
    const [b = 0, d = 0] = await bench.compare(both);
    bench.report(line.join(" "), b, d, "docker against dockerd");
  }
  const size = statSync(`${root}/dist/berth`).size - statSync(process.execPath).size;
  const [megabytes, runtime] = [size, statSync(process.execPath).size].map(
    (n) => `${(n / 1e6).toFixed(1)} MB`,
  );
  bench.rows.push({
    what: "the executable: berth's own part beside the runtime's",
    berth: megabytes ?? "",
    other: `${runtime} (Bun)`,
    ratio: "",
  });
}

/** What a user namespace of its own costs a container. */
export async function userns(bench: Bench): Promise<void> {
  const on = (mode: string, ...args: string[]) =>
    bench.berth.cli("run", "--rm", `--userns=${mode}`, ...args, "busybox", "true");
  for (const network of ["bridge", "none"]) {
    const sides = ["auto", "host"].map((mode) => on(mode, "--network", network));
    const [auto = 0, host = 0] = await bench.compare(sides);
    const what = `run --rm --network ${network} --userns=auto busybox true`;
    bench.report(what, auto, host, "--userns=host");
  }
}

/** Many containers at once. */
export async function parallel(bench: Bench): Promise<void> {
  const all = (count: number, candidate: Candidate) => () =>
    timed(() => Promise.all(Array.from({ length: count }, () => bench.once(candidate))));
  for (const count of [50, 64]) {
    const runs = bench.sides.map((side) => all(count, side.cli("run", "--rm", "busybox", "true")));
    const [b = 0, d = 0] = await bench.alternate(runs, 3);
    bench.report(`${count} parallel run --rm busybox true`, b, d, "dockerd");
  }
}

const MANY = 500;

/** Whether the five-hundredth container starts as fast as the first. */
export async function many(bench: Bench): Promise<void> {
  const times: number[] = [];
  const names = Array.from({ length: MANY }, (_, index) => `many-${index}`);
  for (const name of names)
    times.push(
      await bench.once(bench.berth.cli("run", "-d", "--name", name, "busybox", "sleep", "1000")),
    );
  const [first, last] = [median(times.slice(0, 20)), median(times.slice(-20))];
  const what = `run -d: containers ${MANY - 19}-${MANY} beside containers 1-20`;
  bench.report(what, last, first, "the first", undefined, 2);
  await bench.once(bench.berth.cli("rm", "-f", ...names));
}
