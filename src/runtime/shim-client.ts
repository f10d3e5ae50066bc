/**
 * Speaks to a shim over its socket: one control connection a container, one more for each stream.
 */
import type { Socket } from "bun";
import { fault } from "../base/errors.ts";
import { kernelError, type PortRequest, socketNumbers } from "../kernel/index.ts";
import { type PlanOp, planOps, type ShimFrame, shimFrames } from "../spec/wire.ts";
import { encodeRecords, RecordDecoder } from "../spec/wire-codec.ts";

/** Something that a shim tells without having been asked. */
export type ShimEvent = Extract<
  ShimFrame,
  {
    name:
      | "prepared"
      | "started"
      | "exited"
      | "exec_exited"
      | "dns_query"
      | "log_files"
      | "log_lost";
  }
>;

/** A plan's operation that the kernel refused. `error` is the errno. */
export class LaunchFailure extends Error {
  constructor(
    readonly op: keyof typeof planOps | "unknown",
    readonly error: number,
    readonly detail: string,
  ) {
    super(`${op}: ${detail} (errno ${error})`);
    this.name = "LaunchFailure";
  }
}

/** What the owner of a control connection is told. */
export interface ShimHandlers {
  event(event: ShimEvent): void;
  /** The shim is gone: after `exited` as it should, or without it when it was killed. Called once. */
  closed(): void;
}

/** What the owner of a stream is told. `end` comes once, at the last. */
export interface StreamHandlers {
  data(chunk: Uint8Array): void;
  end(): void;
  /** There is room again after write() gave false. */
  drain(): void;
}

/** A container's or an exec's standard streams: raw with a terminal, in Docker's frames without. */
export interface AttachedStream {
  /** Sends to stdin; false when it was queued and the caller should wait for drain(). */
  write(chunk: Uint8Array): boolean;
  /** Ends stdin; output goes on. */
  end(): void;
  /** Lets go of both directions at once. */
  close(): void;
  /** Stops data() until resume(): the container waits meanwhile. */
  pause(): void;
  /** Lets data() come again. */
  resume(): void;
}

/** A claimed port whose clients the shim hands on. */
export interface RelayedPort extends Omit<PortRequest, "listen"> {
  /** A numeric address of the container's, of either family. */
  readonly target: string;
  readonly targetPort: number;
}

/** A control connection. */
export interface ShimConnection {
  /** PID 1 as the host sees it, once it is known; 0 before. */
  readonly pid: number;
  /** True when the container was running at the time of the connection. */
  readonly running: boolean;
  /** Lets the container begin; resolves with its pid, rejects with a LaunchFailure. */
  start(): Promise<number>;
  /** Sends a signal to the container (exec 0) or an exec; gives the errno, 0 if sent. */
  signal(exec: number, signal: number): Promise<number>;
  /** Sets a terminal's size; gives the errno. */
  resize(exec: number, rows: number, columns: number): Promise<number>;
  /** Ends the container's stdin. */
  closeStdin(): Promise<number>;
  /**
   * Claims a port of the host, which the shim holds until it is let go or the container ends. Gives the port; rejects with a
   * KernelError. The shim must be of version 2.
   */
  claimPort(request: PortRequest): Promise<number>;
  /** Lets go of every claimed port that is not among these; gives the errno. The shim must be of version 2. */
  retainPorts(ports: readonly Omit<PortRequest, "listen">[]): Promise<number>;
  /**
   * Hands clients of these claimed ports, and of no others, on to addresses of the container; gives the errno. The shim must be of
   * version 5.
   */
  relayPorts(ports: readonly RelayedPort[]): Promise<number>;
  /** Gives an answer to a dns_query; an empty one drops it. */
  answerDns(id: number, message: Uint8Array): void;
  /**
   * The same, and while no daemon is connected the shim answers the same question so. `section`: the length of the question
   * section. The shim must be of version 4.
   */
  keepDns(id: number, section: number, message: Uint8Array): void;
  /** What has been kept holds no longer. The shim must be of version 4. */
  forgetDns(): void;
  /**
   * Has a compressed file take the place of the log's rotated file with this inode, and gives the errno; `log_files` tells
   * when that is done. Only for shims that have told `log_files`: older ones do not know it.
   */
  swapLog(inode: number, path: string): Promise<number>;
  close(): void;
}

const ESRCH = 3;
const opNames = new Map(
  Object.entries(planOps).map(([name, kind]) => [kind.code, name as PlanOp["name"]]),
);

function failureOf(frame: Extract<ShimFrame, { name: "failed" }>): LaunchFailure {
  return new LaunchFailure(opNames.get(frame.op) ?? "unknown", frame.error, frame.detail);
}

/** A socket that takes what is written even when the kernel does not yet. */
class Outbox {
  private backlog: Uint8Array[] = [];
  private held: Uint8Array[] | undefined;
  private ending = false;
  constructor(private readonly socket: Socket) {}

  /** Writes what is written meanwhile in one go. */
  together(work: () => void): void {
    const held: Uint8Array[] = [];
    this.held = held;
    try {
      work();
    } finally {
      this.held = undefined;
      const [first, ...more] = held;
      if (first !== undefined) this.write(more.length === 0 ? first : Buffer.concat(held));
    }
  }

  write(chunk: Uint8Array): boolean {
    if (this.held !== undefined) {
      this.held.push(chunk);
      return true;
    }
    if (this.backlog.length > 0) {
      this.backlog.push(chunk.slice());
      return false;
    }
    const sent = Math.max(this.socket.write(chunk), 0);
    if (sent === chunk.length) return true;
    this.backlog.push(chunk.slice(sent));
    return false;
  }

  /** True when everything has gone. */
  flush(): boolean {
    for (let chunk = this.backlog[0]; chunk !== undefined; chunk = this.backlog[0]) {
      const sent = Math.max(this.socket.write(chunk), 0);
      if (sent < chunk.length) {
        this.backlog[0] = chunk.subarray(sent);
        return false;
      }
      this.backlog.shift();
    }
    if (this.ending) this.socket.shutdown();
    return true;
  }

  end(): void {
    this.ending = true;
    if (this.backlog.length === 0) this.socket.shutdown();
  }
}

class Control implements ShimConnection {
  pid = 0;
  running = false;
  private readonly decoder = new RecordDecoder(shimFrames);
  private readonly waiting: ((error: number, value: number) => void)[] = [];
  private readonly starting = Promise.withResolvers<number>();
  readonly state = Promise.withResolvers<void>();
  private outbox: Outbox | undefined;
  private socket: Socket | undefined;
  private gone = false;

  constructor(private readonly handlers: ShimHandlers) {
    // Nobody may have asked for the start when the shim dies.
    this.starting.promise.catch(() => {});
  }

  opened(socket: Socket): void {
    this.socket = socket;
    this.outbox = new Outbox(socket);
    this.send({ name: "control" });
  }

  received(chunk: Uint8Array): void {
    // Name questions come many at a time, and so do their answers go.
    this.outbox?.together(() => {
      for (const frame of this.decoder.push(chunk)) this.take(frame);
    });
  }

  drained(): void {
    this.outbox?.flush();
  }

  ended(): void {
    if (this.gone) return;
    this.gone = true;
    this.starting.reject(new LaunchFailure("shim", 0, "the shim ended before the container began"));
    this.state.reject(shimGone());
    for (const answer of this.waiting.splice(0)) answer(ESRCH, 0);
    this.handlers.closed();
  }

  start(): Promise<number> {
    this.send({ name: "start" });
    return this.starting.promise;
  }

  signal(exec: number, signal: number): Promise<number> {
    return this.request({ name: "signal", exec, signal });
  }

  resize(exec: number, rows: number, columns: number): Promise<number> {
    return this.request({ name: "resize", exec, rows, columns });
  }

  closeStdin(): Promise<number> {
    return this.request({ name: "close_stdin" });
  }

  async claimPort(request: PortRequest): Promise<number> {
    const { address, port } = request;
    const frame = { name: "claim_port", ...socketNumbers(request), address, port } as const;
    const { error, value } = await this.ask(frame);
    if (error !== 0) throw kernelError(error, `bind ${address}:${port}`);
    return value;
  }

  retainPorts(ports: readonly Omit<PortRequest, "listen">[]): Promise<number> {
    return this.request({
      name: "retain_ports",
      protocols: ports.map((port) => socketNumbers({ ...port, listen: false }).protocol),
      addresses: ports.map(({ address }) => address),
      ports: ports.map(({ port }) => port),
    });
  }

  relayPorts(ports: readonly RelayedPort[]): Promise<number> {
    return this.request({
      name: "relay_ports",
      protocols: ports.map((port) => socketNumbers({ ...port, listen: false }).protocol),
      addresses: ports.map(({ address }) => address),
      ports: ports.map(({ port }) => port),
      targets: ports.map(({ target }) => target),
      target_ports: ports.map(({ targetPort }) => targetPort),
    });
  }

  answerDns(id: number, message: Uint8Array): void {
    this.send({ name: "dns_answer", id, message });
  }

  keepDns(id: number, section: number, message: Uint8Array): void {
    this.send({ name: "dns_keep", id, section, message });
  }

  forgetDns(): void {
    this.send({ name: "dns_forget" });
  }

  swapLog(inode: number, path: string): Promise<number> {
    return this.request({ name: "log_swap", inode: BigInt(inode), path });
  }

  close(): void {
    this.socket?.end();
  }

  private send(frame: ShimFrame): void {
    this.outbox?.write(encodeRecords(shimFrames, frame));
  }

  /** The shim answers requests in their order. */
  private ask(frame: ShimFrame): Promise<{ error: number; value: number }> {
    if (this.gone) return Promise.resolve({ error: ESRCH, value: 0 });
    const { promise, resolve } = Promise.withResolvers<{ error: number; value: number }>();
    this.waiting.push((error, value) => resolve({ error, value }));
    this.send(frame);
    return promise;
  }

  private async request(frame: ShimFrame): Promise<number> {
    return (await this.ask(frame)).error;
  }

  private take(frame: ShimFrame): void {
    switch (frame.name) {
      case "state":
        this.pid = frame.pid;
        this.running = frame.phase === 2;
        if (this.running) this.starting.resolve(frame.pid);
        this.state.resolve();
        return;
      case "done":
        this.waiting.shift()?.(frame.error, 0);
        return;
      case "claimed":
        this.waiting.shift()?.(frame.error, frame.port);
        return;
      case "failed":
        this.starting.reject(failureOf(frame));
        return;
      case "started":
        if (frame.exec === 0) {
          this.pid = frame.pid;
          this.running = true;
          this.starting.resolve(frame.pid);
        }
        this.handlers.event(frame);
        return;
      case "prepared":
        this.pid = frame.pid;
        this.handlers.event(frame);
        return;
      case "exited":
      case "exec_exited":
      case "dns_query":
      case "log_files":
      case "log_lost":
        this.handlers.event(frame);
    }
  }
}

function shimGone(): Error {
  return fault("unavailable", "shim-gone", "the container's supervisor has ended");
}

/** Opens a control connection. Rejects when nobody listens at the path. */
export async function connectShim(path: string, handlers: ShimHandlers): Promise<ShimConnection> {
  const control = new Control(handlers);
  await Bun.connect({
    unix: path,
    socket: {
      open: (socket) => control.opened(socket),
      data: (_socket, chunk) => control.received(chunk),
      drain: () => control.drained(),
      close: () => control.ended(),
      error: () => control.ended(),
    },
  });
  await control.state.promise;
  return control;
}

interface OpenedStream {
  readonly stream: AttachedStream;
  readonly first: ShimFrame;
}

/** Opens a connection, sends one frame once that is known, and turns raw after the first frame back. */
async function openStream(
  path: string,
  opening: ShimFrame | Promise<ShimFrame>,
  handlers: StreamHandlers,
): Promise<OpenedStream> {
  const decoder = new RecordDecoder(shimFrames);
  const { promise, resolve, reject } = Promise.withResolvers<ShimFrame>();
  // The other side may go before anybody waits for its answer.
  promise.catch(() => {});
  let raw = false;
  let ended = false;
  let outbox: Outbox | undefined;
  const end = () => {
    if (ended) return;
    ended = true;
    if (raw) handlers.end();
    else reject(shimGone());
  };
  const socket = await Bun.connect({
    unix: path,
    allowHalfOpen: true,
    socket: {
      open: (opened) => {
        outbox = new Outbox(opened);
      },
      data: (_socket, chunk) => {
        if (raw) {
          handlers.data(chunk);
          return;
        }
        for (const frame of decoder.push(chunk)) {
          raw = true;
          resolve(frame);
          break;
        }
        const rest = raw ? decoder.rest() : new Uint8Array(0);
        if (rest.length > 0) handlers.data(rest.slice());
      },
      drain: () => {
        if (outbox?.flush()) handlers.drain();
      },
      end: (closing) => {
        end();
        closing.end();
      },
      close: end,
      error: end,
    },
  }).catch(() => {
    throw shimGone();
  });
  try {
    outbox?.write(encodeRecords(shimFrames, await opening));
  } catch (error) {
    socket.terminate();
    throw error;
  }
  const first = await promise;
  const stream: AttachedStream = {
    write: (chunk) => outbox?.write(chunk) ?? true,
    end: () => outbox?.end(),
    close: () => {
      ended = true;
      socket.terminate();
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  };
  return { stream, first };
}

/** Attaches to a container; `streams` is a sum of ATTACH_*. */
export async function attachShim(
  path: string,
  streams: number,
  handlers: StreamHandlers,
): Promise<AttachedStream> {
  return (await openStream(path, { name: "attach", streams }, handlers)).stream;
}

/**
 * Runs a process in the container. `id` (above 0) is the caller's number for it, by which exec_exited names it later. The
 * connection is made while the plan is.
 * Rejects with a LaunchFailure when it could not be started.
 */
export async function execInShim(
  path: string,
  id: number,
  streams: number,
  plan: Promise<Uint8Array>,
  handlers: StreamHandlers,
): Promise<{ stream: AttachedStream; pid: number }> {
  const opening = plan.then((bytes): ShimFrame => ({ name: "exec", id, streams, plan: bytes }));
  // Whoever waits for the connection first has not looked at it yet.
  opening.catch(() => {});
  const opened = await openStream(path, opening, handlers);
  if (opened.first.name === "failed") {
    opened.stream.close();
    throw failureOf(opened.first);
  }
  return { stream: opened.stream, pid: opened.first.name === "started" ? opened.first.pid : 0 };
}
