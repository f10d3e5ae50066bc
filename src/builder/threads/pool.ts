/**
 * Threads that read and write a build's many files, so that the daemon goes on answering: started when there is work, ended
 * when there is none.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { ByteStream } from "../../base/compression.ts";
import { fault, messageOf } from "../../base/errors.ts";
import { Inflow, Outflow } from "../../base/piece-flow.ts";
import { receiveError, sendError } from "../../base/thread-errors.ts";
import type { Privileged } from "../../tree/index.ts";
import type { FoundAttributes, FromThread, KernelCall, ToThread } from "./protocol.ts";
import type { Tasks } from "./tasks.ts";

const THREADS_MAX = Math.max(1, Math.min(availableParallelism(), 4));
const IDLE_MS = 2000;

/** Bundled, the thread's code lies beside the daemon's in the executable; otherwise beside this file. */
const code = import.meta.url.includes("/$bunfs/")
  ? "/$bunfs/root/builder/threads/worker.js"
  : new URL("./worker.ts", import.meta.url);

/** What a task gets besides its input. */
export interface TaskOptions {
  /** What it reads. */
  readonly body?: ByteStream;
  readonly signal?: AbortSignal | undefined;
}

/** A task in hand. */
interface Job {
  readonly result: PromiseWithResolvers<unknown>;
  /** What the daemon sends it, and what it sends. */
  readonly body: Outflow;
  readonly written: Inflow;
}

async function attributesOf(kernel: Privileged, path: string): Promise<FoundAttributes> {
  try {
    const found = await kernel.xattrs(path);
    return found.size === 0 ? undefined : found;
  } catch (error) {
    return { error: sendError(error) };
  }
}

async function call(kernel: Privileged, what: KernelCall): Promise<unknown> {
  switch (what.name) {
    case "mknod":
      return kernel.mknod(...what.arguments);
    case "setXattr":
      return kernel.setXattr(...what.arguments);
    case "xattrs":
      return Promise.all(what.paths.map((path) => attributesOf(kernel, path)));
  }
}

/** One thread and what it has in hand. */
class Thread {
  private readonly worker = new Worker(code);
  private readonly jobs = new Map<number, Job>();
  private lastJob = 0;
  private idle: Timer | undefined;

  constructor(
    private readonly kernel: Privileged,
    private readonly ended: (thread: Thread) => void,
  ) {
    this.worker.on("message", (message: FromThread) => this.hear(message));
    this.worker.on("error", (error) => this.end(error));
  }

  get load(): number {
    return this.jobs.size;
  }

  private say(message: ToThread): void {
    this.worker.postMessage(message);
  }

  /** Begins a task. It ends with its result, or by `cancel`, and then works no more. */
  begin(task: string, input: unknown, body: ByteStream | undefined) {
    clearTimeout(this.idle);
    this.worker.ref();
    const id = ++this.lastJob;
    const result = Promise.withResolvers<unknown>();
    const job: Job = {
      result,
      body: new Outflow((bytes) => this.say({ kind: "piece", job: id, bytes })),
      written: new Inflow((bytes) => this.say({ kind: "taken", job: id, bytes })),
    };
    this.jobs.set(id, job);
    this.say({ kind: "begin", job: id, task, input });
    if (body !== undefined) void this.send(id, body, job.body);
    const over = result.promise.finally(() => {
      this.jobs.delete(id);
      // Whoever still sends hears that nobody takes it.
      job.body.end(new Error("the task has ended"));
      if (this.jobs.size === 0) this.rest();
    });
    const cancel = (reason: unknown) =>
      this.say({ kind: "cancel", job: id, error: sendError(reason) });
    return { result: over, written: job.written, cancel };
  }

  private async send(job: number, body: ByteStream, flow: Outflow): Promise<void> {
    let end: { error?: ReturnType<typeof sendError> } = {};
    try {
      for await (const piece of body) await flow.write(piece);
    } catch (error) {
      end = { error: sendError(error) };
    }
    this.say({ kind: "end", job, ...end });
  }

  private rest(): void {
    this.worker.unref();
    this.idle = setTimeout(() => this.end(undefined), IDLE_MS);
    this.idle.unref();
  }

  private hear(message: FromThread): void {
    if (message.kind === "call") {
      const { call: id } = message;
      call(this.kernel, message.what).then(
        (value) => this.say({ kind: "answer", call: id, value }),
        (error) => this.say({ kind: "answer", call: id, error: sendError(error) }),
      );
      return;
    }
    const job = this.jobs.get(message.job);
    if (job === undefined) return;
    if (message.kind === "piece") job.written.push(message.bytes);
    else if (message.kind === "taken") job.body.taken(message.bytes);
    else if (message.kind === "done") {
      job.written.end();
      job.result.resolve(message.result);
    } else this.fail(job, receiveError(message.error));
  }

  private fail(job: Job, error: unknown): void {
    job.written.end(error);
    job.result.reject(error);
  }

  private end(error: unknown): void {
    this.ended(this);
    const died = fault("failed", "build-thread", `a thread has ended: ${messageOf(error)}`, error);
    for (const job of this.jobs.values()) this.fail(job, died);
    this.worker.terminate();
  }
}

/** The threads of one daemon. */
export class BuildThreads {
  private readonly threads = new Set<Thread>();

  constructor(private readonly kernel: Privileged) {}

  /** Does a task. When this settles, nothing of it goes on; aborted, it rejects with the signal's reason. */
  run<Name extends keyof Tasks>(
    name: Name,
    input: Parameters<Tasks[Name]>[0],
    options: TaskOptions = {},
  ): Promise<Awaited<ReturnType<Tasks[Name]>>> {
    const { result } = this.begin(name, input, options);
    return result as Promise<Awaited<ReturnType<Tasks[Name]>>>;
  }

  /** What a task writes. Whoever stops reading ends it. */
  async *stream<Name extends keyof Tasks>(
    name: Name,
    input: Parameters<Tasks[Name]>[0],
    options: TaskOptions = {},
  ): ByteStream {
    const { result, written, cancel } = this.begin(name, input, options);
    result.catch(() => {});
    try {
      yield* written.pieces();
    } finally {
      cancel(new Error("nobody reads what is written"));
      await result.catch(() => {});
    }
    await result;
  }

  private begin(name: string, input: unknown, { body, signal }: TaskOptions) {
    signal?.throwIfAborted();
    const job = this.thread().begin(name, input, body);
    const abort = () => job.cancel(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    const result = job.result.finally(() => signal?.removeEventListener("abort", abort));
    return { ...job, result };
  }

  /** The thread with the least to do; a new one while there may be more. */
  private thread(): Thread {
    const [least] = [...this.threads].sort((a, b) => a.load - b.load);
    if (least !== undefined && (least.load === 0 || this.threads.size >= THREADS_MAX)) return least;
    const thread = new Thread(this.kernel, (gone) => this.threads.delete(gone));
    this.threads.add(thread);
    return thread;
  }
}
