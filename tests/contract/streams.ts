/**
 * What carries a stream: logs, attach (upgraded, as an answer, over WebSocket), execs.
 */
import { expect } from "bun:test";
import type { Answer, Caller } from "./caller.ts";
import {
  create,
  demux,
  ended,
  eventually,
  execute,
  logs,
  remove,
  type Scenarios,
  scripted,
  sleeper,
  start,
} from "./steps.ts";

const RAW = "application/vnd.docker.raw-stream";
const MULTIPLEXED = "application/vnd.docker.multiplexed-stream";
const nothing = { id: "nothing" };

async function logOptions(api: Caller): Promise<void> {
  const script = "echo one; echo err >&2; sleep 0.1; echo two; echo three";
  const path = { id: await start(api, scripted(script)) };
  const follow = await logs(api, path.id, { follow: true });
  follow.shows("query follow", demux(follow.bytes, 1), "one\ntwo\nthree\n");
  expect(follow.headers.get("content-type")).toBe(MULTIPLEXED);
  const out = await api.call("ContainerLogs", { path, query: { stdout: true } });
  out.shows("query stdout", demux(out.bytes), "one\ntwo\nthree\n");
  const err = await api.call("ContainerLogs", { path, query: { stderr: true } });
  err.shows("query stderr", demux(err.bytes), "err\n");
  const tail = await logs(api, path.id, { tail: "2" });
  tail.shows("query tail", demux(tail.bytes), "two\nthree\n");
  const stamped = await logs(api, path.id, { timestamps: true, tail: 3 });
  const stamps = demux(stamped.bytes, 1).trim().split("\n");
  const pattern = /^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z (two|three)$/;
  stamped.shows(
    "query timestamps",
    stamps.slice(-2).every((line) => pattern.test(line)),
    true,
  );
  const moment = String(stamps.at(-2)?.split(" ")[0]);
  const since = await logs(api, path.id, { since: moment });
  since.shows("query since", demux(since.bytes), "two\nthree\n");
  const until = await logs(api, path.id, { until: Date.parse(moment) / 1000 - 0.05 });
  until.shows("query until", demux(until.bytes, 1), "one\n");
  await api.call("ContainerLogs", { path, status: 400 });
  await api.call("ContainerLogs", { path: nothing, query: { stdout: true }, status: 404 });
  await remove(api, path.id);
  const terminal = await start(api, scripted("echo shown", { Tty: true }));
  await ended(api, terminal);
  const raw = await logs(api, terminal);
  expect([raw.headers.get("content-type"), raw.text]).toEqual([RAW, "shown\r\n"]);
  await remove(api, terminal);
}

async function attach(api: Caller): Promise<void> {
  const echo = scripted("echo ready >&2; cat", { OpenStdin: true, StdinOnce: true });
  const answer = await api.call("ContainerCreate", { body: echo });
  const path = { id: String(answer.at("Id")) };
  await api.call("ContainerStart", { path });
  const all = { stream: true, stdin: true, stdout: true, stderr: true };
  const attached = await api.upgrade("ContainerAttach", {
    path,
    query: { ...all, logs: true },
    input: "typed\n",
  });
  attached.shows(
    ["query stream", "query stdin", "query stdout"],
    demux(attached.bytes, 1),
    "typed\n",
  );
  attached.shows(["query logs", "query stderr"], demux(attached.bytes, 2), "ready\n");
  answer.shows(["body OpenStdin", "body StdinOnce"], await ended(api, path.id), 0);
  expect(attached.headers.get("content-type")).toBe(MULTIPLEXED);
  const past = await api.call("ContainerAttach", {
    path,
    query: { logs: true, stdout: true },
    status: 200,
  });
  expect(demux(past.bytes)).toBe("typed\n");
  await api.call("ContainerAttach", {
    path,
    query: { detachKeys: "nonsense", stream: true },
    status: 400,
  });
  await api.call("ContainerAttach", { path: nothing, query: { stream: true }, status: 404 });
  await remove(api, path.id);
}

async function detach(api: Caller): Promise<void> {
  const path = { id: await start(api, { ...sleeper, Tty: true, OpenStdin: true }) };
  const left = await api.upgrade("ContainerAttach", {
    path,
    query: { stream: true, stdin: true, stdout: true, detachKeys: "ctrl-x,x" },
    input: "\x18x",
  });
  const state = (await api.call("ContainerInspect", { path })).at("State.Running");
  left.shows("query detachKeys", state, true);
  expect(left.headers.get("content-type")).toBe(RAW);
  await remove(api, path.id);
}

/** A client of the WebSocket protocol, frames unmasked from the server: what text came until it closed. */
async function webSocket(api: Caller): Promise<void> {
  const body = scripted("echo ready >&2; head -n 1", { OpenStdin: true, StdinOnce: true });
  const path = { id: await start(api, body) };
  const query = { stream: true, stdin: true, stdout: true, stderr: true, logs: true };
  const headers = {
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": btoa("0123456789abcdef"),
  };
  const typed = Buffer.from("typed\n");
  const frame = Buffer.concat([Buffer.from([0x82, 0x80 | typed.length, 0, 0, 0, 0]), typed]);
  const answer = await api.upgrade("ContainerAttachWebsocket", {
    path,
    query,
    headers,
    input: frame,
  });
  answer.shows(
    ["query stream", "query stdin", "query stdout", "query stderr", "query logs"],
    /ready[\s\S]*typed/.test(answer.text),
    true,
  );
  const keys = { ...query, detachKeys: "nonsense" };
  const refused = await api.call("ContainerAttachWebsocket", { path, query: keys, status: 400 });
  refused.shows("query detachKeys", refused.message, expect.stringContaining("detach keys"));
  await api.call("ContainerAttachWebsocket", { path, query, status: 400 });
  await api.call("ContainerAttachWebsocket", { path: nothing, query, status: 404 });
  await remove(api, path.id);
}

interface ExecRow {
  readonly sends: Readonly<Record<string, unknown>>;
  readonly prints: string | RegExp;
  readonly command: readonly string[];
}

const execRows: readonly ExecRow[] = [
  { sends: { Env: ["A=b"], AttachStdout: true }, command: ["sh", "-c", "echo $A"], prints: "b\n" },
  { sends: { User: "1000:1001" }, command: ["id", "-u"], prints: "1000\n" },
  { sends: { WorkingDir: "/tmp" }, command: ["pwd"], prints: "/tmp\n" },
  {
    sends: { Privileged: true },
    command: ["sh", "-c", "mkdir /m && mount -t tmpfs t /m && echo mounted"],
    prints: "mounted\n",
  },
  { sends: { AttachStderr: true }, command: ["sh", "-c", "echo said >&2"], prints: "said\n" },
];

async function execRow(api: Caller, container: string, row: ExecRow): Promise<void> {
  const body = { Cmd: row.command, AttachStdout: true, ...row.sends };
  const created = await api.call("ContainerExec", { path: { id: container }, body });
  const path = { id: String(created.at("Id")) };
  const output = demux((await api.call("ExecStart", { path, body: { Detach: false } })).bytes);
  const items = ["Cmd", ...Object.keys(row.sends)].map((field) => `body ${field}`);
  created.shows(items, output, row.prints);
  const inspect = await api.call("ExecInspect", { path });
  expect([inspect.at("Running"), inspect.at("ExitCode"), inspect.at("ContainerID")]).toEqual([
    false,
    0,
    container,
  ]);
}

async function execs(api: Caller): Promise<void> {
  const id = await start(api, sleeper);
  for (const row of execRows) await execRow(api, id, row);
  const terminal = await api.call("ContainerExec", {
    path: { id },
    body: {
      Cmd: ["sh", "-c", "read line; stty size; echo $line"],
      Tty: true,
      AttachStdin: true,
      AttachStdout: true,
      DetachKeys: "ctrl-y",
      ConsoleSize: [20, 70],
    },
  });
  const path = { id: String(terminal.at("Id")) };
  const begun = await api.upgrade("ExecStart", {
    path,
    body: { Tty: true, ConsoleSize: [22, 77] },
    input: "typed\n",
    status: 101,
  });
  begun.shows(["body ConsoleSize", "body Tty"], begun.text.includes("22 77\r\ntyped\r\n"), true);
  terminal.shows(
    ["body Tty", "body AttachStdin"],
    begun.text.includes("typed\r\ntyped") || begun.text.includes("typed\r\n"),
    true,
  );
  const shown = await api.call("ExecInspect", { path });
  terminal.shows("body DetachKeys", shown.at("DetachKeys"), "ctrl-y");
  await api.call("ExecStart", { path, body: {}, status: 409 });
  await sized(api, id);
  await detached(api, id);
  await api.call("ContainerExec", { path: nothing, body: { Cmd: ["true"] }, status: 404 });
  await api.call("ContainerExec", { path: { id }, body: { Cmd: [] }, status: 400 });
  for (const operation of ["ExecStart", "ExecInspect", "ExecResize"])
    expect(
      (
        await api.call(operation, {
          path: nothing,
          status: 404,
          ...(operation === "ExecStart" ? { body: {} } : {}),
          ...(operation === "ExecResize" ? { query: { h: 1, w: 1 } } : {}),
        })
      ).message,
    ).toBe("No such exec instance: nothing");
  await remove(api, id);
  const stopped = await create(api, sleeper);
  const refused = await api.call("ContainerExec", {
    path: { id: stopped },
    body: { Cmd: ["true"] },
    status: 409,
  });
  expect(refused.message).toBe(`container ${stopped} is not running`);
  await remove(api, stopped);
}

/** ConsoleSize of the creation holds where the start says none. */
async function sized(api: Caller, container: string): Promise<void> {
  const body = {
    Cmd: ["stty", "size"],
    Tty: true,
    AttachStdin: true,
    AttachStdout: true,
    ConsoleSize: [20, 70],
  };
  const created = await api.call("ContainerExec", { path: { id: container }, body });
  const path = { id: String(created.at("Id")) };
  const answer = await api.upgrade("ExecStart", { path, body: { Tty: true }, status: 101 });
  created.shows("body ConsoleSize", answer.text, "20 70\r\n");
}

async function detached(api: Caller, container: string): Promise<void> {
  const body = {
    Cmd: ["sh", "-c", "until test -e /go; do sleep 0.02; done; stty size > /size"],
    Tty: true,
  };
  const created = await api.call("ContainerExec", { path: { id: container }, body });
  const path = { id: String(created.at("Id")) };
  const begun = await api.call("ExecStart", { path, body: { Detach: true } });
  begun.shows("body Detach", begun.bytes.length, 0);
  const running = await api.call("ExecInspect", { path });
  expect([running.at("Running"), running.at("Pid")]).toEqual([true, expect.any(Number)]);
  const list = await api.call("ContainerInspect", { path: { id: container } });
  expect(list.at("ExecIDs")).toContain(path.id);
  const resized: Answer = await api.call("ExecResize", { path, query: { h: 11, w: 55 } });
  await execute(api, container, "touch", "/go");
  const size = await eventually(
    () => execute(api, container, "cat", "/size"),
    (text) => /^\d/.test(text),
  );
  resized.shows(["query h", "query w"], size, "11 55\n");
  await api.call("ExecResize", { path, query: { h: "x", w: 1 }, status: 400 });
}

/** The scenarios. */
export const streamScenarios: Scenarios = {
  "logs with each option": logOptions,
  "attach with input and past output": attach,
  "attach and detach": detach,
  "attach over WebSocket": webSocket,
  execs,
};
