/** Networks: starts and connections on them, names, and what published ports carry. */
import { mkdirSync, writeFileSync } from "node:fs";
import { type Bench, median, type Side, timed } from "./kit.ts";

const SLEEPER = ["busybox", "sleep", "100000"];
const NETWORK = "bench";

/** Runs a command of a side's; gives what it prints. */
async function told(bench: Bench, side: Side, ...args: string[]): Promise<string> {
  const { argv, env } = side.cli(...args);
  const child = Bun.spawn([...argv], {
    env: { ...bench.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${side.name} ${args.join(" ")}: ${err}`);
  return out.trim();
}

/** Runs a command in the network namespace of a process; gives what it prints. */
async function within(pid: number | string, argv: readonly string[]): Promise<string> {
  const command = ["nsenter", `--net=/proc/${pid}/ns/net`, ...argv];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")}: ${err}${out.slice(-500)}`);
  return out;
}

/** Rates are better when they are higher: they are compared by what one takes. */
function reportRate(bench: Bench, what: string, own: number, other: number, unit: string): void {
  const show = (each: number) => `${(1 / each).toPrecision(3)} ${unit}`;
  bench.report(what, 1 / own, 1 / other, "dockerd", show, 2);
}

const counted = (rate: number) => Number(rate.toFixed(0));

async function onNetwork(bench: Bench, work: () => Promise<void>): Promise<void> {
  for (const side of bench.sides) await bench.once(side.cli("network", "create", NETWORK));
  try {
    await work();
  } finally {
    for (const side of bench.sides) await bench.once(side.cli("network", "rm", NETWORK));
  }
}

/** Starts with a network of one's own, and without any. */
export async function networkStarts(bench: Bench): Promise<void> {
  await onNetwork(bench, async () => {
    const run = (network: string) =>
      bench.sides.map((side) => side.cli("run", "--rm", "--network", network, "busybox", "true"));
    // In one comparison: what the machine does besides must not be taken for the network.
    const all = [...run(NETWORK), ...run("none")];
    const [b = 0, d = 0, bn = 0, dn = 0] = await bench.compare(all);
    bench.report("run --rm on a network of one's own", b, d, "dockerd");
    bench.report("of that, above --network none in the same run", b - bn, d - dn, "dockerd");
  });
}

const MANY = 500;
const FEW = 20;

/** Whether the five-hundredth container is connected to a network as fast as the first. */
export async function connects(bench: Bench): Promise<void> {
  const names = (count: number) =>
    Array.from({ length: count }, (_, index) => `connected-${index}`);
  const connect = (side: Side, Container: string) =>
    timed(async () => {
      const response = await fetch(`http://x/networks/${NETWORK}/connect`, {
        ...{ method: "POST", unix: side.socket, headers: { "Content-Type": "application/json" } },
        body: JSON.stringify({ Container }),
      });
      if (!response.ok) throw new Error(`${side.name}: ${await response.text()}`);
    });
  const counts = new Map([
    [bench.berth, MANY],
    [bench.docker, FEW],
  ]);
  const times = new Map<Side, number[]>();
  for (const side of bench.sides) {
    const all = names(counts.get(side) ?? 0);
    for (const name of all) await bench.once(side.cli("run", "-d", "--name", name, ...SLEEPER));
    await bench.once(side.cli("network", "create", "--subnet", "10.222.0.0/16", NETWORK));
    const took: number[] = [];
    for (const name of all) took.push(await connect(side, name));
    times.set(side, took);
    await bench.once(side.cli("rm", "-f", ...all));
    await bench.once(side.cli("network", "rm", NETWORK));
  }
  const own = times.get(bench.berth) ?? [];
  const first = median(own.slice(0, FEW));
  const what = `network connect at the API, a container that runs: 1-${FEW}`;
  bench.report(what, first, median(times.get(bench.docker) ?? []), "dockerd");
  const later = `the same: containers ${MANY - FEW + 1}-${MANY} beside 1-${FEW}`;
  bench.report(later, median(own.slice(-FEW)), first, "the first", undefined, 2);
}

const RATE_SECONDS = "4";
/** Questions that are open at once: what an asker's socket holds of answers. */
const OPEN = "200";

async function dnsperf(pid: string, questions: string, ...flags: string[]): Promise<string> {
  return within(pid, ["dnsperf", "-s", "127.0.0.11", "-d", questions, ...flags]);
}

/** One container's questions for others' names. */
export async function names(bench: Bench): Promise<void> {
  const questions = `${bench.directory}/questions`;
  writeFileSync(questions, "served A\nserved2 A\npair A\nserved AAAA\n");
  await onNetwork(bench, async () => {
    const alias = ["--network-alias", "pair"];
    const pids: string[] = [];
    for (const side of bench.sides) {
      for (const name of ["served", "served2", "asker"])
        await bench.once(
          side.cli("run", "-d", "--name", name, "--network", NETWORK, ...alias, ...SLEEPER),
        );
      pids.push(await told(bench, side, "inspect", "-f", "{{.State.Pid}}", "asker"));
    }
    let lost = 0;
    const rate = async (pid: string) => {
      const out = await dnsperf(pid, questions, "-l", RATE_SECONDS, "-q", OPEN);
      if (pid === pids[0]) lost += Number(/Queries lost:\s+(\d+)/.exec(out)?.[1]);
      return Number(/Queries per second:\s+([\d.]+)/.exec(out)?.[1]);
    };
    const latency = async (pid: string) => {
      const out = await dnsperf(pid, questions, "-l", "3", "-q", "1", "-Q", "500", "-v");
      const all = [...out.matchAll(/^> NOERROR .* ([\d.]+)$/gm)];
      return median(all.map(([, each]) => Number(each) * 1000));
    };
    const measured = (work: (pid: string) => Promise<number>) =>
      bench.alternate(
        pids.map((pid) => () => work(pid)),
        3,
      );
    const [b = 0, d = 0] = await measured(rate);
    const what = `names of containers asked by one container, ${OPEN} at once (${lost} lost by berth)`;
    reportRate(bench, what, counted(b), counted(d), "/s");
    const [bl = 0, dl = 0] = await measured(latency);
    const show = (value: number) => `${value.toFixed(3)} ms`;
    bench.report("one such question, 500 a second", bl, dl, "dockerd", show);
    for (const side of bench.sides)
      await bench.once(side.cli("rm", "-f", "served", "served2", "asker"));
  });
}

const NGINX = `daemon off; user root; pid /tmp/nginx.pid; error_log stderr crit; worker_processes 1;
events { worker_connections 1024; }
http { access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; keepalive_requests 1000000;
  server { listen 80; location / { return 200 "hello\\n"; } } }
`;

/** The host's programs in a container: what carries is the same on both sides. */
const MOUNTED = [
  "/usr:/usr",
  "/usr/lib:/lib",
  "/usr/lib64:/lib64",
  "/etc/passwd:/etc/passwd",
  "/etc/group:/etc/group",
];
const PROGRAMS = ["--tmpfs", "/tmp", ...MOUNTED.flatMap((one) => ["-v", `${one}:ro`])];

interface Served {
  readonly side: Side;
  /** In whose network namespace the engine's host is. */
  readonly host: number;
  readonly gateway: string;
}

async function serve(bench: Bench, side: Side): Promise<Served> {
  const conf = `${bench.directory}/conf`;
  mkdirSync(conf, { recursive: true });
  writeFileSync(`${conf}/nginx.conf`, NGINX);
  // dockerd's namespace is new, and its loopback down.
  await within(side.pid, ["ip", "link", "set", "lo", "up"]);
  const run = (name: string, flags: readonly string[], ...command: string[]) =>
    bench.once(side.cli("run", "-d", "--name", name, ...PROGRAMS, ...flags, "busybox", ...command));
  await run("carrier", ["-p", "127.0.0.1:5201:5201", "-p", "5301:5202"], "/usr/bin/iperf3", "-s");
  await bench.once(side.cli("exec", "-d", "carrier", "/usr/bin/iperf3", "-s", "-p", "5202"));
  await run("other", [], "/bin/sleep", "100000");
  await run(
    "web",
    ["-p", "127.0.0.1:8180:80", "-v", `${conf}:/conf:ro`],
    "/usr/sbin/nginx",
    "-c",
    "/conf/nginx.conf",
  );
  const gateway = await told(
    bench,
    side,
    "inspect",
    "-f",
    "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}",
    "other",
  );
  // Until the servers listen.
  await Bun.sleep(1500);
  return { side, host: side.pid, gateway };
}

function received(out: string): number {
  const { end, error } = JSON.parse(out) as {
    end: { sum_received?: { bits_per_second: number } };
    error?: string;
  };
  if (end.sum_received === undefined) throw new Error(`iperf3: ${error}`);
  return end.sum_received.bits_per_second / 1e9;
}

/** What published ports carry, and how many requests a second. */
export async function ports(bench: Bench): Promise<void> {
  const served: Served[] = [];
  try {
    for (const side of bench.sides) served.push(await serve(bench, side));
    await carried(bench, served);
  } finally {
    for (const side of bench.sides)
      await bench.once(side.cli("rm", "-f", "carrier", "other", "web"));
  }
}

async function carried(bench: Bench, served: readonly Served[]): Promise<void> {
  const measured = (work: (one: Served) => Promise<number>, count = 3) =>
    bench.alternate(
      served.map((one) => () => work(one)),
      count,
    );
  const iperf = ["iperf3", "-t", "2", "-J", "-c"];
  const [h = 0, hd = 0] = await measured(async ({ host }) =>
    received(await within(host, [...iperf, "127.0.0.1", "-p", "5201"])),
  );
  reportRate(bench, "iperf3, host to container by a port published on 127.0.0.1", h, hd, "Gbit/s");
  const [c = 0, cd = 0] = await measured(async ({ side, gateway }) =>
    received(
      await told(
        bench,
        side,
        "exec",
        "other",
        ...["/usr/bin/iperf3", ...iperf.slice(1), gateway, "-p", "5301"],
      ),
    ),
  );
  reportRate(
    bench,
    "iperf3, container to container by a published port of the host's",
    c,
    cd,
    "Gbit/s",
  );
  const load = ["wrk", "-t", "1", "-c", "32", "-d", "4s", "http://127.0.0.1:8180/"];
  const [w = 0, wd = 0] = await measured(async ({ host }) =>
    counted(Number(/Requests\/sec:\s+([\d.]+)/.exec(await within(host, load))?.[1])),
  );
  reportRate(bench, "wrk on nginx by a port published on 127.0.0.1", w, wd, "/s");
}
