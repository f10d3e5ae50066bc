/**
 * Follows a container's local copy and sends every record on. Its place in the log lasts, so that the next daemon goes on
 * where this one was: a record comes at least once, or it is said that it did not come.
 */
import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { messageOf } from "../base/errors.ts";
import {
  type Encoder,
  type EncoderContext,
  fluentdEncoder,
  gelfEncoder,
  journaldEncoder,
  syslogEncoder,
} from "./encoders.ts";
import { flagOf, JOURNAL_SOCKET, type LogOptions, logTarget, type Target } from "./options.ts";
import { type LogLife, readLogs } from "./reader.ts";
import { extraAttributes, type LogSource, tagOf } from "./source.ts";
import { openTransport, type SendUnixDatagram, type Transport } from "./transport.ts";

const FIRST_DELAY_MS = 100;
const LAST_DELAY_MS = 5000;
/** How often the place in the log is kept. */
const KEEP_MS = 1000;
/** A receiver that has taken nothing for so long is told of. */
const STALL_MS = 10_000;
/** How long a receiver is tried to be reached after the container has ended. */
const AFTER_END_MS = 10_000;

/** What a forwarder works with. */
export interface ForwarderOptions {
  readonly driver: string;
  readonly options: LogOptions;
  readonly source: LogSource;
  /** The local copy. */
  readonly path: string;
  /** Keeps the place in it. */
  readonly positionPath: string;
  readonly life: LogLife;
  readonly sendDatagram: SendUnixDatagram;
}

/** What a forwarder tells. */
export interface ForwarderHooks {
  /** The receiver cannot be reached; told once for each time that this begins. */
  unreachable(error: string): void;
  /** Records after one time and before another were rotated away before they could be sent. */
  lost(from: string, to: string): void;
}

/** The last record that was sent: its time, and which of those with this time it was. */
interface Position {
  readonly time: string;
  readonly count: number;
}

function readPosition(path: string): Position {
  try {
    const { time, count } = JSON.parse(readFileSync(path, "utf8"));
    if (typeof time === "string" && Number.isInteger(count)) return { time, count };
  } catch {
    // None yet, or torn: from the beginning.
  }
  return { time: "", count: 0 };
}

/** Tries to reach a driver's receiver, as a start does. Rejects with the system's error when there is none. */
export async function checkReceiver(
  target: Target,
  options: LogOptions,
  sendDatagram: SendUnixDatagram,
): Promise<void> {
  if (target.kind === "unixgram" && !existsSync(target.path))
    throw new Error(
      target.path === JOURNAL_SOCKET
        ? "journald is not enabled on this host"
        : `dial unixgram ${target.path}: connect: no such file or directory`,
    );
  (await openTransport(target, options, sendDatagram)).close();
}

/** Forwards one container's records. */
export class Forwarder {
  private position: Position;
  /** Places that are surely sent, a moment ago and two: what a broken connection had taken may not have arrived. */
  private settled: [Position, Position];
  private kept: Position;
  private readonly abort = new AbortController();
  private readonly target: Target;
  private readonly tag: string;
  private chunk = "";
  private transport: Transport | undefined;
  /** Since when a message waits for the receiver to take it; 0: none does. */
  private waitsSince = 0;
  private stallTold = false;
  private gapTold: string | undefined;
  private endedAt = 0;
  /** Resolves when everything is sent and the container has ended, or when it was stopped. */
  readonly done: Promise<void>;

  constructor(
    private readonly config: ForwarderOptions,
    private readonly hooks: ForwarderHooks,
  ) {
    const { driver, options, source, positionPath } = config;
    const target = logTarget(driver, options);
    if (target === undefined) throw new Error(`the driver ${driver} forwards nothing`);
    this.target = target;
    this.tag = tagOf(source, options.tag ?? "{{.ID}}");
    this.position = readPosition(positionPath);
    this.settled = [this.position, this.position];
    this.kept = this.position;
    this.done = this.run();
  }

  /** Stops where it is; the place is kept. */
  async stop(): Promise<void> {
    this.abort.abort();
    this.transport?.abort();
    await this.done;
  }

  private async run(): Promise<void> {
    const timer = setInterval(() => this.tick(), KEEP_MS);
    timer.unref();
    let delay = FIRST_DELAY_MS;
    let told = false;
    try {
      while (!this.abort.signal.aborted) {
        try {
          await this.connectAndSend(() => {
            delay = FIRST_DELAY_MS;
            told = false;
          });
          return;
        } catch (error) {
          this.position = this.settled[0];
          if (this.abort.signal.aborted) return;
          if (!told) this.hooks.unreachable(messageOf(error));
          told = true;
          if (this.givesUp()) return;
          await this.pause(delay);
          delay = Math.min(delay * 2, LAST_DELAY_MS);
        }
      }
    } finally {
      clearInterval(timer);
      this.keep();
    }
  }

  private givesUp(): boolean {
    if (this.config.life.running()) {
      this.endedAt = 0;
      return false;
    }
    this.endedAt ||= Date.now();
    return Date.now() - this.endedAt > AFTER_END_MS;
  }

  private async pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.abort.signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    clearTimeout(timer);
  }

  private async connectAndSend(connected: () => void): Promise<void> {
    const { options, sendDatagram } = this.config;
    const transport = await openTransport(this.target, options, sendDatagram);
    this.transport = transport;
    try {
      await this.send(transport, connected);
      this.settled = [this.position, this.position];
    } finally {
      this.transport = undefined;
      this.waitsSince = 0;
      transport.close();
    }
  }

  private async send(transport: Transport, connected: () => void): Promise<void> {
    const { path, life } = this.config;
    const encode = this.encoder();
    const from = this.position;
    let seen = 0;
    let last = from.time;
    let first = true;
    const lost = () => this.lost(last, "");
    const query = { stdout: true, stderr: true, follow: true, until: "", tail: -1, lost };
    for await (const entry of readLogs(
      path,
      { ...query, since: from.time },
      life,
      this.abort.signal,
    )) {
      // The record that was sent last is still there, unless it was rotated away, and more with it.
      if (first && from.time !== "" && entry.time !== from.time) this.lost(from.time, entry.time);
      first = false;
      last = entry.time;
      if (entry.time === from.time && seen++ < from.count) continue;
      for (const message of encode(entry)) await this.deliver(transport, message);
      connected();
      const same = entry.time === this.position.time;
      this.position = { time: entry.time, count: same ? this.position.count + 1 : 1 };
    }
  }

  /** A gap that was met before a connection broke is met again after it. */
  private lost(from: string, to: string): void {
    if (from !== this.gapTold) this.hooks.lost(from, to);
    this.gapTold = from;
  }

  private async deliver(transport: Transport, message: Uint8Array): Promise<void> {
    this.waitsSince = Date.now();
    await transport.send(message);
    if (this.chunk !== "") {
      // The answer is a map of one entry: that the chunk's name is in it is all that counts.
      for (let answer = ""; !answer.includes(this.chunk); )
        answer += Buffer.from(await transport.receive()).toString("latin1");
      this.settled = [this.position, this.position];
    }
    this.waitsSince = 0;
    this.stallTold = false;
  }

  private encoder(): Encoder {
    const { driver, options, source } = this.config;
    const context: EncoderContext = {
      source,
      options,
      tag: this.tag,
      extra: extraAttributes(source, options),
      host: hostname(),
      pid: process.pid,
      transport: this.target.kind,
    };
    if (driver === "syslog") return syslogEncoder(context);
    if (driver === "gelf") return gelfEncoder(context);
    if (driver === "journald") return journaldEncoder(context);
    if (!flagOf(options, "fluentd-request-ack")) return fluentdEncoder(context);
    return fluentdEncoder(context, () => {
      this.chunk = crypto.randomUUID();
      return this.chunk;
    });
  }

  private tick(): void {
    this.settled = [this.settled[1], this.position];
    this.keep();
    if (this.waitsSince === 0 || Date.now() - this.waitsSince < STALL_MS) return;
    if (!this.stallTold) this.hooks.unreachable("it takes nothing");
    this.stallTold = true;
    // While the container runs it may still go on; after that nobody is waited for without end.
    if (this.givesUp()) this.transport?.abort();
  }

  private keep(): void {
    const [place] = this.settled;
    if (place === this.kept) return;
    try {
      writeFileAtomic(this.config.positionPath, JSON.stringify(place));
      this.kept = place;
    } catch {
      // The container's files are gone, or the disk is full: some records may come twice.
    }
  }
}
