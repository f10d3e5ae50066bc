/** Ten thousand random calls from 32 clients at once, on the same fifty names: what is left must agree with the kernel. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const CALLS = Number(process.env.BERTH_RANDOM_CALLS ?? 10_000);
const CLIENTS = 32;
const NAMES = 50;
/** A call that takes longer than this has hung. */
const PATIENCE_MS = 20_000;

/** A generator of its own, so that a run can be repeated by its seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

const failures: string[] = [];
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
  const answer = { status: response.status, text: await response.text() };
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

const archive = new Uint8Array(Bun.spawnSync(["tar", "-C", "/etc", "-c", "hostname"]).stdout);
const commands = [
  ["sleep", "1000"],
  ["true"],
  ["false"],
  ["sh", "-c", "trap '' TERM; while :; do echo x; sleep 0.05; done"],
  ["no-such-command"],
];

function operations(random: () => number): (() => Promise<unknown>)[] {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
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

test(`${CALLS} random calls from ${CLIENTS} clients leave nothing that contradicts the kernel`, async () => {
  expect((await daemon.berth("create", "--name", "warm", "busybox", "true")).status).toBe(0);
  const seed = Number(process.env.BERTH_RANDOM_SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.info(`seed ${seed}`);
  let left = CALLS;
  const client = async (number: number) => {
    const random = randomFrom(seed + number);
    const all = operations(random);
    while (left-- > 0) {
      const operation = all[Math.floor(random() * all.length)];
      await operation?.().catch((error) => failures.push(String(error)));
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  expect(failures).toEqual([]);
  // Each kind of answer has come often: the calls have done something.
  for (const status of [200, 201, 204, 404, 409]) expect(counts.get(status)).toBeGreaterThan(20);
  await Bun.sleep(500);
  const list = JSON.parse((await call("GET", "/containers/json?all=1")).text) as { Id: string }[];
  const wrong: string[] = [];
  for (const { Id } of list) {
    const { status, text } = await call("GET", `/containers/${Id}/json`);
    if (status !== 200) continue;
    const found = contradiction(JSON.parse(text));
    if (found !== undefined) wrong.push(found);
  }
  expect(wrong).toEqual([]);
}, 600_000);
