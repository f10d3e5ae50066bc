/**
 * A container in the daemon's memory: its record, its shim, and who waits for what.
 */
import { existsSync } from "node:fs";
import { errnoOf, Fault, fault } from "../base/errors.ts";
import type { AttachedStream, ShimConnection, StreamHandlers } from "../runtime/index.ts";
import type { ContainerRecord } from "./container-record.ts";
import { isEnding } from "./ending-process.ts";
import type { ExitRecord } from "./exit-record.ts";

/** How a container ended. */
export interface ExitStatus {
  readonly code: number;
  readonly error?: string;
}

/** Streams that were asked for before the shim was there; they are joined to it at the start. */
export interface WaitingStream {
  readonly streams: number;
  readonly handlers: StreamHandlers;
  joined(stream: AttachedStream): void;
}

/** What wait() waits for. */
export type WaitCondition = "not-running" | "next-exit" | "removed";

/** The refusal of what only a running container can do. */
export function notRunning(container: Container): Error {
  return fault("conflict", "not-running", `container ${container.id} is not running`);
}

/** Throws a Fault "failed" when a container runs and somebody has deleted the socket by which it is entered. */
export function checkSocket(container: Container, socket: string): void {
  if (!container.running || existsSync(socket) || isEnding(container.record.state.pid)) return;
  throw fault(
    "failed",
    "shim-socket",
    `container ${container.id} runs, but cannot be entered any more: somebody has deleted ${socket}; restart it`,
  );
}

/**
 * What to say of a failure to reach a container: that its supervisor is gone means that it has ended. Throws as checkSocket
 * when it goes on.
 */
export function endedMeanwhile(container: Container, error: unknown, socket: string): unknown {
  const gone = error instanceof Fault && error.code === "shim-gone";
  if (!gone && errnoOf(error) !== "ENOENT") return error;
  checkSocket(container, socket);
  return notRunning(container);
}

/** A container. All changes of its state go through the engine's functions. */
export class Container {
  shim: ShimConnection | undefined;
  /** Requests that change the state come one after the other. */
  private turn: Promise<unknown> = Promise.resolve();
  private readonly exitWaiters = new Set<(status: ExitStatus) => void>();
  private readonly removalWaiters = new Set<(status: ExitStatus) => void>();
  readonly waitingStreams = new Set<WaitingStream>();
  /** Ids of execs, for inspect. */
  readonly execs = new Set<string>();
  /** Set while somebody has asked it to stop, so that no restart policy works against it. */
  stopping = false;
  /** Resolves when what follows an exit (network, cgroup, record) has been done. */
  cleaned: Promise<void> = Promise.resolve();
  removed = false;
  /** Which of its shims is listened to: each start and each take-over has a number of its own. */
  run = 0;
  /** A start or a take-over is under way: an end waits in `earlyExit` until that has been told. */
  beginning = false;
  earlyExit: ExitRecord | undefined;
  /** So many of its processes have been killed for want of memory in this run, as far as has been told. */
  oomKills = 0;
  /** So many restarts are under way, which --rm does not count as its end. */
  restartsUnderWay = 0;
  /** So many commits hold its processes still, whatever its state says. */
  heldStill = 0;
  /** Is told when an exec has ended, by its number with the shim. */
  execExited: ((number: number, status: number) => void) | undefined;
  /** Is told that the container has ended, and every exec with it. */
  endExecs: (() => void) | undefined;

  constructor(readonly record: ContainerRecord) {}

  get id(): string {
    return this.record.id;
  }

  get running(): boolean {
    const { status } = this.record.state;
    return status === "running" || status === "paused";
  }

  /** It has ended and waits for its next start by its restart policy. */
  get restarting(): boolean {
    return this.record.state.status === "restarting";
  }

  /** It runs, or will again by its restart policy: what Docker's API calls running. */
  get alive(): boolean {
    return this.running || this.restarting;
  }

  /** Runs `work` once all earlier work on this container is done. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const next = this.turn.then(work, work);
    this.turn = next.catch(() => {});
    return next;
  }

  /** Resolves with the exit status when the condition holds. Whoever gives up by the signal waits for ever, unremembered. */
  wait(condition: WaitCondition, signal?: AbortSignal): Promise<ExitStatus> {
    const { promise, resolve } = Promise.withResolvers<ExitStatus>();
    if (this.removed || (condition === "not-running" && !this.alive)) {
      resolve(this.exitStatus());
      return promise;
    }
    const waiters = condition === "removed" ? this.removalWaiters : this.exitWaiters;
    waiters.add(resolve);
    signal?.addEventListener("abort", () => waiters.delete(resolve), { once: true });
    return promise;
  }

  /** How many wait for its exit or its removal. */
  get waiters(): number {
    return this.exitWaiters.size + this.removalWaiters.size;
  }

  private exitStatus(): ExitStatus {
    const { exitCode, error } = this.record.state;
    return error === "" ? { code: exitCode } : { code: exitCode, error };
  }

  /** Tells those who wait for the exit. */
  tellExit(): void {
    const status = this.exitStatus();
    for (const resolve of this.exitWaiters) resolve(status);
    this.exitWaiters.clear();
  }

  /** Tells those who wait for the removal. */
  tellRemoved(): void {
    this.removed = true;
    // Whatever has kept it from starting is not what has removed it.
    const status = { code: this.record.state.exitCode };
    for (const resolve of [...this.removalWaiters, ...this.exitWaiters]) resolve(status);
    this.removalWaiters.clear();
    this.exitWaiters.clear();
  }

  /** Ends streams that wait for a start that will not come. */
  endWaitingStreams(): void {
    for (const waiting of this.waitingStreams) waiting.handlers.end();
    this.waitingStreams.clear();
  }
}
