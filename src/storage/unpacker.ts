/**
 * Threads that unpack layers, so that the daemon goes on answering: started when there is work, ended when there is none.
 */
import { closeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { ArrivingFile } from "../base/arriving-file.ts";
import { fault, messageOf } from "../base/errors.ts";
import { receiveError, sendError } from "../base/thread-errors.ts";
import { openRoot, type Privileged } from "../tree/index.ts";
import type { FromWorker, ToWorker, Whiteouts } from "./unpack-job.ts";

const WORKERS_MAX = Math.max(1, Math.min(availableParallelism(), 4));
/** Archives that one thread has in hand: some may be waiting for the network. */
const JOBS_EACH = 3;
const IDLE_MS = 2000;

/** Bundled, the thread's code lies beside the daemon's in the executable; otherwise beside this file. */
const code = import.meta.url.includes("/$bunfs/")
  ? "/$bunfs/root/storage/unpack-worker.js"
  : new URL("./unpack-worker.ts", import.meta.url);

/** What came of an archive. */
export interface Unpacked {
  readonly diffId: string;
  /** Bytes of its files' contents. */
  readonly size: number;
}

/** What is to be unpacked. */
export interface UnpackRequest {
  readonly archive: ArrivingFile;
  readonly directory: string;
  readonly whiteouts: Whiteouts;
  /** Hears now and then that much has been written. */
  written(): void;
}

interface Job {
  readonly written: () => void;
  readonly result: PromiseWithResolvers<{ diffId: string | undefined; size: number }>;
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
    this.worker.on("message", (message: FromWorker) => this.hear(message));
    this.worker.on("error", (error) => this.end(error));
  }

  get load(): number {
    return this.jobs.size;
  }

  private say(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  /** Unpacks; undefined as diff id when that is the archive's own digest. */
  async run(
    { archive, whiteouts, written }: UnpackRequest,
    directory: number,
    descriptor: number,
  ): Promise<{ diffId: string | undefined; size: number }> {
    clearTimeout(this.idle);
    this.worker.ref();
    const job = ++this.lastJob;
    const result = Promise.withResolvers<{ diffId: string | undefined; size: number }>();
    this.jobs.set(job, { written, result });
    let digested = false;
    const unfollow = archive.follow(({ whole }) => {
      digested ||= !whole;
    });
    unfollow();
    this.say({ kind: "begin", job, archive: descriptor, directory, whiteouts, digested });
    const leave = archive.follow(({ error, ...state }) => {
      const failed = error === undefined ? {} : { error: sendError(error) };
      this.say({ kind: "arrived", job, ...state, ...failed });
    });
    try {
      return await result.promise;
    } finally {
      leave();
      this.jobs.delete(job);
      if (this.jobs.size === 0) this.rest();
    }
  }

  private rest(): void {
    this.worker.unref();
    this.idle = setTimeout(() => this.end(undefined), IDLE_MS);
    this.idle.unref();
  }

  private hear(message: FromWorker): void {
    if (message.kind === "done") this.jobs.get(message.job)?.result.resolve(message);
    else if (message.kind === "failed")
      this.jobs.get(message.job)?.result.reject(receiveError(message.error));
    else if (message.kind === "written") for (const { written } of this.jobs.values()) written();
    else {
      const done =
        message.kind === "mknod"
          ? this.kernel.mknod(...message.arguments)
          : this.kernel.setXattr(...message.arguments);
      const { call } = message;
      done.then(
        () => this.say({ kind: "answer", call }),
        (error) => this.say({ kind: "answer", call, error: sendError(error) }),
      );
    }
  }

  private end(error: unknown): void {
    this.ended(this);
    const died = fault("failed", "unpack-thread", `unpacking ended: ${messageOf(error)}`, error);
    for (const { result } of this.jobs.values()) result.reject(died);
    this.worker.terminate();
  }
}

/** The threads of one daemon. */
export class Unpacker {
  private readonly threads = new Set<Thread>();
  private readonly queue: (() => void)[] = [];
  private running = 0;

  constructor(private readonly kernel: Privileged) {}

  /**
   * Unpacks an archive, plain or compressed, into a directory that is there, while it arrives. Rejects with a Fault
   * "invalid" when it is damaged, and with the writer's error when that gives up; what is in the directory then is for the
   * caller to throw away.
   */
  async unpack(request: UnpackRequest): Promise<Unpacked> {
    if (this.running >= WORKERS_MAX * JOBS_EACH)
      await new Promise<void>((resolve) => this.queue.push(resolve));
    else this.running++;
    try {
      return await this.begin(request);
    } finally {
      const next = this.queue.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }

  private async begin(request: UnpackRequest): Promise<Unpacked> {
    const directory = openRoot(request.directory);
    const descriptor = request.archive.open();
    try {
      const { diffId, size } = await this.thread().run(request, directory, descriptor);
      const known = diffId ?? request.archive.digest;
      if (known === undefined) throw new Error("an archive that is whole has no digest");
      return { diffId: known, size };
    } finally {
      closeSync(descriptor);
      closeSync(directory);
    }
  }

  /** The thread with the least to do; a new one while there may be more. */
  private thread(): Thread {
    const [least] = [...this.threads].sort((a, b) => a.load - b.load);
    if (least !== undefined && (least.load === 0 || this.threads.size >= WORKERS_MAX)) return least;
    const thread = new Thread(this.kernel, (gone) => this.threads.delete(gone));
    this.threads.add(thread);
    return thread;
  }
}
