/** Ten thousand random calls from 32 clients at once, on the same fifty names: what is left must agree with the kernel. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";
import { pickFrom, randomFrom, seedFrom } from "../kits/random.ts";

const daemon = daemonOfFile();
const CALLS = Number(process.env.BERTH_RANDOM_CALLS ?? 10_000);
const CLIENTS = 32;
const NAMES = 50;
/** A call that takes longer than this has hung. */
const PATIENCE_MS = 20_000;

interface Answer {
  readonly status: number;
  readonly text: string;
}

const failures: string[] = [];
/** The daemon is being killed: what is asked of it now may get no answer. */
let dying = 0;
const counts = new Map<number, number>();

async function call(
  method: string,
  path: string,
  body?: unknown,
  patience = PATIENCE_MS,
): Promise<Answer> {
  const response = await fetch(`http://x${path}`, {
    method,
    unix: daemon.socket,
    signal: AbortSignal.timeout(patience),
    ...(body === undefined
      ? {}
      : {
          body: body instanceof Uint8Array ? body : JSON.stringify(body),
          headers: { "Content-Type": "application/json" },
        }),
  }).catch((error) => {
    throw new Error(`${method} ${path}: ${error}`);
  });
  const text = await response.text().catch((error) => {
    throw new Error(`${method} ${path}: ${error}`);
  });
  const answer = { status: response.status, text };
  counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
  if (answer.status >= 500) failures.push(`${method} ${path}: ${answer.status} ${answer.text}`);
  return answer;
}

/** Sends a request, and goes away without waiting for its end. */
async function vanish(request: string): Promise<void> {
  const socket = connect(daemon.socket, () => {
    socket.write(`${request} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
  });
  socket.on("error", () => {});
  await Bun.sleep(20);
  socket.destroy();
}

/** Waits for a while only. */
async function waitFor(name: string, condition: string): Promise<void> {
  await call("POST", `/containers/${name}/wait?condition=${condition}`, undefined, 200).catch(
    (error) => {
      if (!String(error).includes("TimeoutError")) throw error;
    },
  );
}

/** Sends input to a process of a container, and reads what comes back until its end, or for a while. */
async function execWithInput(name: string): Promise<void> {
  const body = { Cmd: ["cat"], AttachStdin: true, AttachStdout: true };
  const { status, text } = await call("POST", `/containers/${name}/exec`, body);
  if (status !== 201) return;
  const { Id } = JSON.parse(text) as { Id: string };
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(daemon.socket, () => {
    socket.write(
      `POST /exec/${Id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n` +
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n{}",
    );
    for (let i = 0; i < 20; i++) socket.write("some input\n".repeat(100));
    socket.end();
  });
  socket.resume();
  socket.on("error", () => resolve());
  socket.on("close", () => resolve());
  await Promise.race([promise, Bun.sleep(300)]);
  socket.destroy();
}

interface Told {
  readonly Type: string;
  readonly Action: string;
  readonly timeNano: number;
  readonly Actor: { readonly ID: string };
}

/** Listens to events; `lines` grows until `stop`. */
function listen(): { readonly lines: string[]; stop(): void } {
  const lines: string[] = [];
  const abort = new AbortController();
  const read = async () => {
    const response = await fetch("http://x/events", { unix: daemon.socket, signal: abort.signal });
    let rest = "";
    for await (const chunk of response.body ?? []) {
      const parts = (rest + new TextDecoder().decode(chunk)).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts.filter((line) => line.trim() !== ""));
    }
  };
  read().catch(() => {});
  return { lines, stop: () => abort.abort() };
}

/** What cannot be in a sequence of events: times that go back, lives that begin twice or go on after their end. */
function impossible(events: readonly Told[]): string[] {
  const found: string[] = [];
  const lives = new Map<string, "stopped" | "running" | "gone">();
  let last = 0;
  for (const { Type, Action, timeNano, Actor } of events) {
    if (timeNano <= last) found.push(`${Action} at ${timeNano}, after ${last}`);
    last = timeNano;
    if (Type !== "container") continue;
    const now = lives.get(Actor.ID);
    // What was there before anybody listened.
    if (now === undefined && Action !== "create") continue;
    const [from, to] = (
      {
        create: [undefined, "stopped"],
        start: ["stopped", "running"],
        die: ["running", "stopped"],
        destroy: ["stopped", "gone"],
      } as const
    )[Action] ?? [now, now];
    if (now !== from) found.push(`${Action} of ${Actor.ID.slice(0, 8)}, which is ${now}`);
    if (to !== undefined) lives.set(Actor.ID, to);
  }
  return found;
}

const archive = new Uint8Array(Bun.spawnSync(["tar", "-C", "/etc", "-c", "hostname"]).stdout);
const commands = [
  ["sleep", "1000"],
  ["true"],
  ["false"],
  ["sh", "-c", "trap '' TERM; while :; do echo x; sleep 0.05; done"],
  ["no-such-command"],
];

function operations(random: () => number): (() => Promise<unknown>)[] {
  const pick = <T>(list: readonly T[]): T => pickFrom(random, list);
  const name = () => `n${Math.floor(random() * NAMES)}`;
  const on = (method: string, path: string, body?: unknown) => () =>
    call(method, `/containers/${name()}${path}`, body);
  const create = () =>
    call("POST", `/containers/create?name=${name()}`, {
      Image: "busybox",
      Cmd: pick(commands),
      Tty: random() < 0.2,
      OpenStdin: random() < 0.3,
      HostConfig: {
        AutoRemove: random() < 0.15,
        Init: random() < 0.3,
        NetworkMode: pick(["none", "none", "bridge"]),
        ...(random() < 0.1 ? { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } } : {}),
      },
    });
  const exec = async () => {
    const body = { Cmd: pick([["true"], ["sleep", "0.1"], ["nope"]]), AttachStdout: true };
    const { status, text } = await call("POST", `/containers/${name()}/exec`, body);
    if (status !== 201) return;
    const { Id } = JSON.parse(text) as { Id: string };
    // Whoever is attached to a process of a paused container waits as long as that is paused.
    const attached = call("POST", `/exec/${Id}/start`, { Detach: random() < 0.5 }, 2000);
    await attached.catch((error) => {
      if (!String(error).includes("TimeoutError")) throw error;
    });
    await call("GET", `/exec/${Id}/json`);
  };
  const start = on("POST", "/start");
  return [
    ...[create, create, create, start, start, start, exec, exec],
    on("POST", "/stop?t=0"),
    on("POST", "/stop?t=1"),
    on("POST", "/kill"),
    on("POST", "/restart?t=0"),
    on("POST", "/pause"),
    on("POST", "/unpause"),
    on("POST", "/unpause"),
    () => call("POST", `/containers/${name()}/rename?name=${name()}`),
    on("GET", "/logs?stdout=1&stderr=1&tail=5"),
    on("GET", "/json?size=1"),
    on("GET", "/top"),
    on("GET", "/stats?stream=0&one-shot=1"),
    on("GET", "/changes"),
    on("GET", "/archive?path=/etc/passwd"),
    on("PUT", "/archive?path=/tmp", archive),
    on("POST", "/resize?h=10&w=20"),
    on("POST", "/update", { Memory: 64 << 20, MemorySwap: -1 }),
    on("DELETE", "?force=1&v=1"),
    on("DELETE", ""),
    () => waitFor(name(), pick(["removed", "next-exit", "not-running"])),
    () => execWithInput(name()),
    () => vanish(`POST /containers/${name()}/attach?stream=1&logs=1&stdout=1&stderr=1`),
    () => vanish("GET /events?since=0"),
    () => vanish(`POST /containers/${name()}/attach?stream=1&stdin=1&stdout=1`),
    () => vanish(`GET /containers/${name()}/logs?follow=1&stdout=1`),
    () => vanish(`POST /containers/${name()}/wait`),
    () => vanish(`GET /containers/${name()}/stats`),
    () => vanish(`GET /containers/${name()}/export`),
    () => call("GET", "/containers/json?all=1&size=1"),
    () => call("GET", `/events?since=0&until=${Math.floor(Date.now() / 1000)}`),
    () => (random() < 0.2 ? call("POST", "/containers/prune") : call("GET", "/system/df")),
  ];
}

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly State: { readonly Status: string; readonly Pid: number; readonly Running: boolean };
}

/** What a container says of itself, against what the kernel has. */
function contradiction({ Id, Name, State }: Inspected): string | undefined {
  const alive = State.Pid > 0 && existsSync(`/proc/${State.Pid}`);
  const its = alive && readFileSync(`/proc/${State.Pid}/cgroup`, "utf8").includes(Id);
  const should = State.Status === "running" || State.Status === "paused";
  return should === its ? undefined : `${Name} is ${State.Status}, its process ${State.Pid} ${its}`;
}

/** Lets all clients call; between, as many times as asked, the daemon is killed and started. */
async function storm(calls: number, kills: number): Promise<void> {
  const seed = seedFrom("BERTH_RANDOM_SEED");
  let left = calls;
  const client = async (number: number) => {
    const random = randomFrom(seed + number);
    const all = operations(random);
    while (left-- > 0) {
      const operation = all[Math.floor(random() * all.length)];
      const deaths = dying;
      await operation?.().catch(async (error) => {
        // Whoever was cut off by the daemon's death goes on when there is another.
        if (
          kills > 0 &&
          /ECONNRESET|ENOENT|ECONNREFUSED|Unable to connect|socket|closed/i.test(String(error))
        ) {
          await Bun.sleep(50);
          if (deaths !== dying || dying % 2 === 1) return;
        }
        failures.push(String(error));
      });
    }
  };
  const killer = async () => {
    for (let kill = 1; kill <= kills; kill++) {
      while (left > calls - (calls * kill) / (kills + 1) && left > 0) await Bun.sleep(5);
      dying++;
      await daemon.kill();
      await daemon.start();
      dying++;
    }
  };
  await Promise.all([killer(), ...Array.from({ length: CLIENTS }, (_, number) => client(number))]);
}

async function contradictions(): Promise<string[]> {
  await Bun.sleep(500);
  const list = JSON.parse((await call("GET", "/containers/json?all=1")).text) as { Id: string }[];
  const wrong: string[] = [];
  for (const { Id } of list) {
    const { status, text } = await call("GET", `/containers/${Id}/json`);
    if (status !== 200) continue;
    const found = contradiction(JSON.parse(text));
    if (found !== undefined) wrong.push(found);
  }
  return wrong;
}

test(`${CALLS} random calls from ${CLIENTS} clients leave nothing that contradicts the kernel`, async () => {
  expect((await daemon.berth("create", "--name", "warm", "busybox", "true")).status).toBe(0);
  const listeners = [listen(), listen()] as const;
  await storm(CALLS, 0);
  expect(failures).toEqual([]);
  // Each kind of answer has come often: the calls have done something.
  for (const status of [200, 201, 204, 404, 409]) expect(counts.get(status)).toBeGreaterThan(20);
  expect(await contradictions()).toEqual([]);
  // Both have heard the same, all of it, in an order that can be.
  for (const { stop } of listeners) stop();
  const [one, other] = listeners;
  expect(one.lines.length).toBeGreaterThan(CALLS / 10);
  const shorter = Math.min(one.lines.length, other.lines.length);
  expect(Math.abs(one.lines.length - other.lines.length)).toBeLessThan(50);
  expect(one.lines.slice(0, shorter).join("\n") === other.lines.slice(0, shorter).join("\n")).toBe(
    true,
  );
  expect(impossible(one.lines.map((line) => JSON.parse(line) as Told))).toEqual([]);
}, 600_000);

test("the same with the daemon killed in between", async () => {
  failures.length = 0;
  await storm(Math.ceil(CALLS / 5), 4);
  expect(failures).toEqual([]);
  expect(await contradictions()).toEqual([]);
}, 600_000);
