/**
 * Random sequences of calls, of deaths of the daemon, of shims and of containers, each compared with what a small pure
 * machine foretells (tests/kits/container-model.ts), and with what the kernel has. A counterexample is shrunk and printed
 * with what repeats it: BERTH_MODEL_SEED, BERTH_MODEL_PATH. BERTH_MODEL_SECONDS makes it longer.
 */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { type Call, type Modelled, type Program, World } from "../kits/container-model.ts";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const SECONDS = Number(process.env.BERTH_MODEL_SECONDS ?? 15);
const PATIENCE_MS = 10_000;

const commands: Readonly<Record<Program, readonly string[]>> = {
  sleeper: ["sh", "-c", "echo begin; exec sleep 1000"],
  polite: [
    "sh",
    "-c",
    "trap 'exit 3' TERM; trap 'exit 4' USR1; trap : HUP; echo begin; while :; do sleep 0.02; done",
  ],
  short: ["sh", "-c", "echo begin; sleep 0.02; exit 7"],
  missing: ["no-such-command"],
};

interface Inspected {
  readonly Id: string;
  readonly RestartCount: number;
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly Paused: boolean;
    readonly Restarting: boolean;
    readonly Pid: number;
    readonly ExitCode: number;
  };
}

interface Event {
  readonly Type: string;
  readonly Action: string;
  readonly timeNano: number;
  readonly Actor: { readonly Attributes: Readonly<Record<string, string>> };
}

async function inspect(name: string): Promise<Inspected | undefined> {
  const { status, text } = await daemon.api("GET", `/containers/${name}/json`);
  return status === 200 ? (JSON.parse(text) as Inspected) : undefined;
}

async function pidOf(name: string): Promise<number> {
  return (await inspect(name))?.State.Pid ?? 0;
}

/** Sends a call; gives the status and the message. */
async function send(call: Call): Promise<{ status: number; text: string }> {
  const at = "name" in call ? `/containers/${call.name}` : "";
  switch (call.kind) {
    case "create":
      return daemon.api("POST", `/containers/create?name=${call.name}`, {
        Image: "busybox",
        Cmd: commands[call.program],
        HostConfig: {
          NetworkMode: "none",
          AutoRemove: call.autoRemove,
          RestartPolicy: policyOf(call.policy),
        },
      });
    case "startTwice": {
      const both = await Promise.all([1, 2].map(() => daemon.api("POST", `${at}/start`)));
      expect(both.map(({ status }) => status).sort()).toEqual([204, 304]);
      return { status: 204, text: "" };
    }
    case "stop":
    case "restart": {
      // A sleeper hears no TERM: it is not waited for.
      const { text } = await daemon.api("GET", `${at}/json`);
      return daemon.api(
        "POST",
        `${at}/${call.kind}?t=${text.includes("exec sleep 1000") ? 0 : 10}`,
      );
    }
    case "kill":
      return daemon.api("POST", `${at}/kill?signal=${call.signal}`);
    case "remove":
      return daemon.api("DELETE", `${at}?force=${call.force}`);
    case "rename":
      return daemon.api("POST", `${at}/rename?name=${call.to}`);
    case "update":
      return daemon.api("POST", `${at}/update`, { RestartPolicy: policyOf(call.policy) });
    case "prune":
      return daemon.api("POST", "/containers/prune");
    case "exec":
      return exec(at);
    case "logs":
      return daemon.api("GET", `${at}/logs?stdout=1`);
    case "killInit":
      process.kill(await pidOf(call.name), "SIGKILL");
      return { status: 0, text: "" };
    case "killShim": {
      const status = readFileSync(`/proc/${await pidOf(call.name)}/status`, "utf8");
      process.kill(Number(/PPid:\s*(\d+)/.exec(status)?.[1]), "SIGKILL");
      return { status: 0, text: "" };
    }
    case "killDaemon":
    case "stopDaemon":
      await (call.kind === "killDaemon" ? daemon.kill() : daemon.stop());
      await daemon.start();
      return { status: 0, text: "" };
    default:
      return daemon.api("POST", `${at}/${call.kind}`);
  }
}

function policyOf(policy: string) {
  return { Name: policy, MaximumRetryCount: policy === "on-failure" ? 2 : 0 };
}

async function exec(at: string): Promise<{ status: number; text: string }> {
  const body = { Cmd: ["sh", "-c", "exit 5"], AttachStdout: true };
  const made = await daemon.api("POST", `${at}/exec`, body);
  if (made.status !== 201) return made;
  const { Id } = JSON.parse(made.text) as { Id: string };
  expect((await daemon.api("POST", `/exec/${Id}/start`, {})).status).toBe(200);
  const after = JSON.parse((await daemon.api("GET", `/exec/${Id}/json`)).text);
  expect(after).toMatchObject({ Running: false, ExitCode: 5 });
  return made;
}

/** The events of containers since a moment, as the model writes them. */
async function eventsSince(nano: number): Promise<{ lines: string[]; last: number }> {
  // The next microsecond: an event's time has more digits than a number of seconds.
  const since = (nano / 1e9 + 1e-6).toFixed(9);
  const until = (Date.now() / 1000 + 0.002).toFixed(3);
  const { text } = await daemon.api("GET", `/events?since=${since}&until=${until}`);
  const all = text.split("\n").filter((line) => line.trim() !== "");
  const events = all
    .map((line) => JSON.parse(line) as Event)
    .filter(({ timeNano }) => timeNano > nano);
  const lines = events
    .filter(({ Type, Action }) => Type === "container" && Action !== "prune")
    .map(({ Action, Actor: { Attributes } }) => {
      const detail = Attributes.exitCode ?? Attributes.signal;
      return `${Attributes.name} ${Action.split(":")[0]}${detail === undefined ? "" : ` ${detail}`}`;
    });
  return { lines, last: Math.max(nano, ...events.map(({ timeNano }) => timeNano)) };
}

/** Whether the freezer holds a process; with version 1 or 2. */
function isFrozen(pid: number): boolean {
  const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  const path = /^\d+:freezer:(.*)$/m.exec(groups)?.[1];
  if (path !== undefined)
    return readFileSync(`/sys/fs/cgroup/freezer${path}/freezer.state`, "utf8").trim() !== "THAWED";
  const unified = /^0::(.*)$/m.exec(groups)?.[1];
  return readFileSync(`/sys/fs/cgroup${unified}/cgroup.freeze`, "utf8").trim() === "1";
}

/** What is wrong with a container, compared with its model and with the kernel; "" for nothing. */
function difference(model: Modelled, found: Inspected): string {
  const { State, Id } = found;
  if (model.status === "looping")
    return State.Status === "running" || State.Status === "restarting"
      ? ""
      : `${State.Status}, not looping`;
  const is = `${State.Status} ${State.Running} ${State.Paused} ${State.Restarting} ${found.RestartCount}`;
  const runs = model.status === "running" || model.status === "paused";
  const wanted = `${model.status} ${runs} ${model.status === "paused"} false ${model.restartCount}`;
  // How often a container has been started again before it was called off is not known.
  const counted =
    model.program !== "short" || model.policy === "on-failure" || model.policy === "no";
  if (is !== wanted && (counted || !is.startsWith(`${model.status} ${runs}`)))
    return `${is}, not ${wanted}`;
  if (!model.codes.includes(State.ExitCode))
    return `exit code ${State.ExitCode}, not ${model.codes}`;
  const alive = State.Pid > 0 && existsSync(`/proc/${State.Pid}`);
  if (runs !== alive) return `its process ${State.Pid} is ${alive ? "there" : "gone"}`;
  if (runs && !readFileSync(`/proc/${State.Pid}/cgroup`, "utf8").includes(Id))
    return "another's process";
  if (runs && isFrozen(State.Pid) !== (model.status === "paused")) return "the freezer disagrees";
  const directory = `${daemon.directory}/exec/c/${Id.slice(0, 32)}`;
  if (existsSync(directory) !== runs) return `${directory} is ${runs ? "gone" : "there"}`;
  return "";
}

/** Everything that is wrong at this moment. */
async function differences(world: World): Promise<string[]> {
  const wrong: string[] = [];
  const list = JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text) as {
    Names: string[];
  }[];
  const names = list.map(({ Names }) => Names[0]?.slice(1)).sort();
  const wanted = [...world.containers.keys()].sort();
  if (`${names}` !== `${wanted}`) return [`containers ${names}, not ${wanted}`];
  for (const [name, model] of world.containers) {
    const found = await inspect(name);
    const what = found === undefined ? "not there" : difference(model, found);
    if (what !== "") wrong.push(`${name}: ${what}`);
  }
  const kept = readdirSync(`${daemon.directory}/data/containers`).length;
  if (kept !== world.containers.size) wrong.push(`${kept} directories`);
  return wrong;
}

/** The daemon beside its model. */
interface Real {
  /** The time of the last event that has been looked at. */
  seen: number;
}

class Step implements fc.AsyncCommand<World, Real> {
  constructor(private readonly call: Call) {}

  check(world: Readonly<World>): boolean {
    return copyOf(world).foretell(this.call) !== undefined;
  }

  toString(): string {
    const { kind, ...rest } = this.call;
    return `${kind}(${Object.values(rest).join(" ")})`;
  }

  async run(world: World, real: Real): Promise<void> {
    const loopers = new Set(
      [...world.containers].filter(([, one]) => one.status === "looping").map(([name]) => name),
    );
    const foretold = world.foretell(this.call);
    if (this.call.kind === "killDaemon" || this.call.kind === "stopDaemon")
      real.seen = Date.now() * 1e6;
    const { status, text } = await send(this.call);
    expect(status).toBe(foretold?.status ?? -1);
    if (foretold?.message !== undefined) expect(JSON.parse(text).message).toMatch(foretold.message);
    for (const [name, one] of world.containers) if (one.status === "looping") loopers.add(name);
    if (this.call.kind === "rename" && loopers.has(this.call.name)) loopers.add(this.call.to);
    const known = (lines: readonly string[]) =>
      lines.filter((line) => !loopers.has(line.split(" ")[0] ?? "")).sort(byName);
    const wanted = known(foretold?.events ?? []);
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const { lines, last } = await eventsSince(real.seen);
      const wrong = await differences(world);
      const told = known(lines);
      if (wrong.length === 0 && `${told}` === `${wanted}`) {
        real.seen = last;
        break;
      }
      if (Date.now() > deadline) {
        expect(wrong).toEqual([]);
        expect(told).toEqual(wanted);
      }
      await Bun.sleep(10);
    }
    await this.look(world, text);
  }

  /** What some calls answer beyond a status. */
  private async look(world: World, text: string): Promise<void> {
    if (this.call.kind === "wait") {
      const codes = world.containers.get(this.call.name)?.codes;
      if (codes !== undefined) expect(codes).toContain(JSON.parse(text).StatusCode);
    }
    if (this.call.kind !== "logs") return;
    const model = world.containers.get(this.call.name);
    if (model === undefined || (model.program === "short" && model.policy !== "no")) return;
    const deadline = Date.now() + PATIENCE_MS;
    const begun = (log: string) => log.split("begin").length - 1;
    let log = text;
    while (begun(log) !== model.starts && model.status !== "paused" && Date.now() < deadline)
      log = (await daemon.api("GET", `/containers/${this.call.name}/logs?stdout=1`)).text;
    if (model.status !== "paused") expect(begun(log)).toBe(model.starts);
  }
}

/** Stable: the order of one name's lines stays. */
function byName(a: string, b: string): number {
  const [left = "", right = ""] = [a.split(" ")[0], b.split(" ")[0]];
  return left < right ? -1 : left > right ? 1 : 0;
}

function copyOf(world: Readonly<World>): World {
  const copy = new World();
  for (const [name, one] of world.containers) copy.containers.set(name, { ...one });
  return copy;
}

// None of them is the beginning of an id.
const name = fc.constantFrom("one", "two", "six");
const policy = fc.constantFrom("no", "no", "always", "unless-stopped", "on-failure" as const);
const program = fc.constantFrom("sleeper", "polite", "polite", "short", "missing" as const);
const on = <K extends Call["kind"]>(kind: K) => name.map((one) => ({ kind, name: one }) as Call);

const calls: fc.Arbitrary<Call>[] = [
  ...[1, 2].map(() =>
    fc
      .record({
        kind: fc.constant("create" as const),
        name,
        program,
        policy,
        autoRemove: fc.boolean(),
      })
      .map((call) => (call.autoRemove ? { ...call, policy: "no" as const } : call)),
  ),
  ...(
    [
      "start",
      "start",
      "start",
      "startTwice",
      "stop",
      "restart",
      "pause",
      "unpause",
      "exec",
      "wait",
      "logs",
    ] as const
  ).map(on),
  ...(["killInit", "killShim"] as const).map(on),
  ...[1, 2].map(() =>
    fc.record({
      kind: fc.constant("kill" as const),
      name,
      signal: fc.constantFrom("KILL", "TERM", "USR1", "HUP" as const),
    }),
  ),
  fc.record({ kind: fc.constant("remove" as const), name, force: fc.boolean() }),
  fc.record({ kind: fc.constant("rename" as const), name, to: name }),
  fc.record({ kind: fc.constant("update" as const), name, policy }),
  fc.constant({ kind: "prune" }),
  fc.constant({ kind: "killDaemon" }),
  fc.constant({ kind: "killDaemon" }),
  fc.constant({ kind: "stopDaemon" }),
];

async function setUp(): Promise<{ model: World; real: Real }> {
  const list = JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text) as {
    Id: string;
  }[];
  for (const { Id } of list) await daemon.api("DELETE", `/containers/${Id}?force=1`);
  // What was told in this millisecond is not of this run.
  await Bun.sleep(2);
  return { model: new World(), real: { seen: Date.now() * 1e6 } };
}

test(
  "whatever happens in whatever order, containers stand as the model foretells and as the kernel has them",
  async () => {
    const { BERTH_MODEL_SEED: seed, BERTH_MODEL_PATH: path } = process.env;
    await daemon.berth("create", "--name", "warm", "busybox", "true");
    let steps = 0;
    const property = fc.asyncProperty(
      fc.commands(
        calls.map((call) => call.map((one) => new Step(one))),
        { maxCommands: 30, size: "max" },
      ),
      async (sequence) => {
        const world = await setUp();
        await fc.asyncModelRun(() => world, sequence);
        steps += [...sequence].length;
      },
    );
    const from = Number(seed ?? Math.floor(Math.random() * 2 ** 31));
    const end = Date.now() + SECONDS * 1000;
    // Looking for the shortest way there takes longer than this test may: that is for who repeats it.
    const endOnFailure = seed === undefined;
    // A few runs at a time: one that is broken off in its middle would leave a daemon that is being started.
    for (let part = 0; part === 0 || (Date.now() < end && path === undefined); part++)
      await fc.assert(property, {
        ...{ seed: from + part, numRuns: 4, endOnFailure },
        ...(path && { path }),
      });
    console.info(`${steps} steps`);
    expect(steps).toBeGreaterThan(10);
  },
  SECONDS * 1000 + 90_000,
);
