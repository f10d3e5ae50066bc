/**
 * The forwarders of containers whose log driver sends records elsewhere.
 */
import { existsSync } from "node:fs";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Kernel } from "../kernel/index.ts";
import { checkReceiver, Forwarder, flagOf, logTarget } from "../logging/index.ts";
import type { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineSettings } from "./deps.ts";
import type { Events } from "./events.ts";
import { logSourceOf } from "./log-copy.ts";
import { recordsUnsent } from "./log-losses.ts";
import { logPath } from "./places.ts";

/** How long a removal waits for the last records to go. */
const DRAIN_MS = 2000;
/** How often, at most, a container's lost records are told of. */
const TELL_MS = 1000;
/** A receiver that has no room is asked again this often, and this many times. */
const FULL_MS = 5;
const FULL_TRIES = 400;

/** All forwarders of this daemon. */
export class LogForwarding {
  private readonly running = new Map<string, Forwarder>();
  private closed = false;

  constructor(
    private readonly settings: EngineSettings,
    private readonly kernel: Kernel,
    readonly events: Events,
  ) {}

  private readonly sendDatagram = async (path: string, data: Uint8Array): Promise<void> => {
    for (let tries = 0; ; tries++) {
      try {
        return await this.kernel.sendUnixDatagram(path, data);
      } catch (error) {
        if (errnoOf(error) !== "EAGAIN" || tries >= FULL_TRIES) throw error;
        await Bun.sleep(FULL_MS);
      }
    }
  };

  /** Makes sure, before a start, that the receiver is there. Throws a Fault in Docker's words when it is not. */
  async check({ hostConfig }: ContainerRecord): Promise<void> {
    const { Type = "json-file", Config = {} } = hostConfig.LogConfig ?? {};
    const target = logTarget(Type, Config);
    const patient = flagOf(Config, "fluentd-async") || flagOf(Config, "fluentd-async-connect");
    if (target === undefined || patient) return;
    try {
      await checkReceiver(target, Config, this.sendDatagram);
    } catch (error) {
      throw fault(
        "failed",
        "log-receiver",
        `failed to create task for container: failed to initialize logging driver: ${messageOf(error)}`,
        error,
      );
    }
  }

  /** Goes on with a container's records, from where the last forwarder was. Nothing for drivers that only keep. */
  begin(container: Container): void {
    const { record } = container;
    const { Type = "json-file", Config = {} } = record.hostConfig.LogConfig ?? {};
    const path = logPath(this.settings, record);
    if (logTarget(Type, Config) === undefined || this.running.has(record.id)) return;
    if (!container.running && !existsSync(path)) return;
    const forwarder = new Forwarder(
      {
        driver: Type,
        options: Config,
        source: logSourceOf(record),
        path,
        positionPath: `${this.settings.containersDirectory}/${record.id}/forwarded.json`,
        life: {
          running: () => container.running,
          exited: (left) => container.wait("next-exit", left),
        },
        sendDatagram: this.sendDatagram,
      },
      this.hooksOf(container),
    );
    this.running.set(record.id, forwarder);
    void forwarder.done.then(() => {
      this.running.delete(record.id);
      // It was started again while the last records went.
      if (container.running && !this.closed) this.begin(container);
    });
  }

  private hooksOf(container: Container) {
    const { record } = container;
    let told = 0;
    return {
      unreachable: (error: string) =>
        log.warn("a log receiver cannot be reached; records wait", { id: record.id, error }),
      lost: (from: string, to: string) => {
        const often = Date.now() - told < TELL_MS;
        if (!often) told = Date.now();
        recordsUnsent(this, container, { from, to }, !often);
      },
    };
  }

  /** Sends what is left for a bounded time, before a container's files go. */
  async drain(id: string): Promise<void> {
    const forwarder = this.running.get(id);
    if (forwarder === undefined) return;
    await Promise.race([forwarder.done, Bun.sleep(DRAIN_MS)]);
    await forwarder.stop();
  }

  /** Stops all; the next daemon goes on. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.running.values()].map((forwarder) => forwarder.stop()));
  }
}
