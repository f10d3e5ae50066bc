/**
 * What scenarios are made of: containers that run a script, their output, and waiting for what is to come.
 */
import type { Answer, Caller } from "./caller.ts";

/** One scenario; it fails by throwing. */
export type Scenario = (api: Caller) => Promise<void>;
/** Scenarios by name. */
export type Scenarios = Readonly<Record<string, Scenario>>;

/** A body of /containers/create, as far as scenarios give one. */
export interface ContainerBody {
  readonly HostConfig?: Readonly<Record<string, unknown>>;
  readonly NetworkingConfig?: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** A container that sleeps until it is killed. */
export const sleeper: ContainerBody = { Image: "busybox", Cmd: ["sleep", "1000"] };

/** A container that runs a script. */
export function scripted(script: string, more: ContainerBody = {}): ContainerBody {
  return { Image: "busybox", Cmd: ["sh", "-c", script], ...more };
}

/** Creates a container; gives its id. */
export async function create(api: Caller, body: ContainerBody, name?: string): Promise<string> {
  return String((await api.call("ContainerCreate", { body, query: { name } })).at("Id"));
}

/** Creates and starts one. */
export async function start(api: Caller, body: ContainerBody, name?: string): Promise<string> {
  const id = await create(api, body, name);
  await api.call("ContainerStart", { path: { id } });
  return id;
}

/** Waits for a container's end; gives its exit code. */
export async function ended(api: Caller, id: string): Promise<unknown> {
  return (await api.call("ContainerWait", { path: { id } })).at("StatusCode");
}

/** Removes one, whatever it does. */
export async function remove(api: Caller, id: string): Promise<void> {
  await api.call("ContainerDelete", { path: { id }, query: { force: true, v: true } });
}

/** The text of a multiplexed stream, of both outputs or of one. */
export function demux(bytes: Uint8Array, only?: 1 | 2): string {
  const view = Buffer.from(bytes);
  let text = "";
  for (let at = 0; at + 8 <= view.length; ) {
    const length = view.readUInt32BE(at + 4);
    if (only === undefined || view[at] === only)
      text += view.subarray(at + 8, at + 8 + length).toString();
    at += 8 + length;
  }
  return text;
}

/** What a container has written so far. */
export async function logs(
  api: Caller,
  id: string,
  query: Readonly<Record<string, unknown>> = {},
): Promise<Answer> {
  return api.call("ContainerLogs", {
    path: { id },
    query: { stdout: true, stderr: true, ...query },
  });
}

/** Runs a container to its end; gives its output, and leaves it. */
export async function ran(
  api: Caller,
  body: ContainerBody,
): Promise<{ id: string; output: string }> {
  const id = await start(api, body);
  await ended(api, id);
  return { id, output: demux((await logs(api, id)).bytes) };
}

/** Runs a command in a container; gives its output. */
export async function execute(api: Caller, id: string, ...command: string[]): Promise<string> {
  const exec = await api.call("ContainerExec", {
    path: { id },
    body: { Cmd: command, AttachStdout: true, AttachStderr: true },
  });
  const path = { id: String(exec.at("Id")) };
  return demux((await api.call("ExecStart", { path, body: {} })).bytes);
}

/** Asks again until the answer is as wanted; throws after ten seconds. */
export async function eventually<T>(
  ask: () => Promise<T>,
  holds: (value: T) => boolean,
): Promise<T> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (Date.now() > deadline) throw new Error(`in vain, the last is ${JSON.stringify(value)}`);
    await Bun.sleep(10);
  }
}
