/**
 * A thread that reads and writes a build's files, several tasks in turns. What needs the helper it asks the daemon for.
 */
import { parentPort } from "node:worker_threads";
import { Inflow, Outflow } from "../../base/piece-flow.ts";
import { receiveError, sendError } from "../../base/thread-errors.ts";
import type { Privileged } from "../../tree/index.ts";
import { AttributesAhead } from "./attributes.ts";
import type { FromThread, KernelCall, ToThread } from "./protocol.ts";
import { type TaskContext, tasks } from "./tasks.ts";

interface Running {
  readonly body: Inflow;
  readonly written: Outflow;
  readonly ending: AbortController;
}

const port = parentPort;
const running = new Map<number, Running>();
const calls = new Map<number, PromiseWithResolvers<unknown>>();
let lastCall = 0;

function say(message: FromThread, buffers: ArrayBuffer[] = []): void {
  port?.postMessage(message, buffers);
}

function ask<T>(what: KernelCall): Promise<T> {
  const call = ++lastCall;
  const answer = Promise.withResolvers<unknown>();
  calls.set(call, answer);
  say({ kind: "call", call, what });
  return answer.promise as Promise<T>;
}

const attributes = new AttributesAhead((paths) => ask({ name: "xattrs", paths }));
const kernel: Privileged = {
  mknod: (...all) => ask({ name: "mknod", arguments: all }),
  setXattr: (...all) => ask({ name: "setXattr", arguments: all }),
  xattrs: (path) => attributes.of(path),
};

function begin({ job, task, input }: Extract<ToThread, { kind: "begin" }>): void {
  const body = new Inflow((bytes) => say({ kind: "taken", job, bytes }));
  const written = new Outflow((bytes) =>
    // Nobody here looks at it again.
    say({ kind: "piece", job, bytes }, [bytes.buffer as ArrayBuffer]),
  );
  const ending = new AbortController();
  running.set(job, { body, written, ending });
  const context: TaskContext = {
    kernel,
    body: body.pieces(),
    write: (piece) => written.write(piece),
    signal: ending.signal,
  };
  const work = tasks[task as keyof typeof tasks] as (
    given: unknown,
    more: TaskContext,
  ) => Promise<unknown>;
  work(input, context)
    .then(
      (result): FromThread => ({ kind: "done", job, result }),
      (error): FromThread => ({ kind: "failed", job, error: sendError(error) }),
    )
    .then((end) => {
      running.delete(job);
      say(end);
    });
}

function hear(message: Exclude<ToThread, { kind: "begin" | "answer" }>): void {
  const task = running.get(message.job);
  if (task === undefined) return;
  switch (message.kind) {
    case "piece":
      return task.body.push(message.bytes);
    case "end":
      return task.body.end(message.error && receiveError(message.error));
    case "taken":
      return task.written.taken(message.bytes);
    case "cancel": {
      const reason = receiveError(message.error);
      task.ending.abort(reason);
      task.body.end(reason);
      task.written.end(reason);
    }
  }
}

function answer({ call, value, error }: Extract<ToThread, { kind: "answer" }>): void {
  const waiting = calls.get(call);
  calls.delete(call);
  if (error === undefined) waiting?.resolve(value);
  else waiting?.reject(receiveError(error));
}

port?.on("message", (message: ToThread) => {
  if (message.kind === "begin") begin(message);
  else if (message.kind === "answer") answer(message);
  else hear(message);
});
