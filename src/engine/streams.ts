/**
 * Attaching to a container, before or after it has started.
 */
import { fault } from "../base/errors.ts";
import { type AttachedStream, attachShim, type StreamHandlers } from "../runtime/index.ts";
import { wireConstants } from "../spec/wire.ts";
import { attributesOf } from "./attributes.ts";
import { type Container, checkSocket, endedMeanwhile, type WaitingStream } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { shimSocket } from "./places.ts";

/** Which streams somebody wants. */
export interface StreamChoice {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** A choice as the shim takes it. */
export function streamMask(choice: StreamChoice): number {
  const { ATTACH_STDIN, ATTACH_STDOUT, ATTACH_STDERR } = wireConstants;
  return (
    (choice.stdin ? ATTACH_STDIN : 0) |
    (choice.stdout ? ATTACH_STDOUT : 0) |
    (choice.stderr ? ATTACH_STDERR : 0)
  );
}

/** A stream to a container that has not started: keeps what is written, and is joined to the shim later. */
class EarlyStream implements AttachedStream {
  private real: AttachedStream | undefined;
  private readonly kept: Uint8Array[] = [];
  private ended = false;
  private paused = false;
  private closed = false;

  constructor(private readonly leave: () => void) {}

  joined(stream: AttachedStream): void {
    this.real = stream;
    if (this.closed) {
      stream.close();
      return;
    }
    for (const chunk of this.kept.splice(0)) stream.write(chunk);
    if (this.ended) stream.end();
    if (this.paused) stream.pause();
  }

  write(chunk: Uint8Array): boolean {
    if (this.real !== undefined) return this.real.write(chunk);
    this.kept.push(chunk.slice());
    // A client that sends before the start is made to wait: drain() comes with the join.
    return this.kept.length < 16;
  }

  end(): void {
    this.ended = true;
    this.real?.end();
  }

  close(): void {
    this.closed = true;
    this.leave();
    this.real?.close();
  }

  pause(): void {
    this.paused = true;
    this.real?.pause();
  }

  resume(): void {
    this.paused = false;
    this.real?.resume();
  }
}

/** Throws Faults, "conflict" in Docker's words. `asked`: the container as the user has called it. */
export function checkAttachable(
  { settings }: Pick<EngineDeps, "settings">,
  container: Container,
  asked: string,
): void {
  const { record, restarting } = container;
  checkSocket(container, shimSocket(settings, container.id));
  if (record.state.status === "paused")
    throw fault(
      "conflict",
      "paused",
      `container ${asked} is paused, unpause the container before attach`,
    );
  if (restarting)
    throw fault(
      "conflict",
      "restarting",
      `container ${asked} is restarting, wait until the container is running`,
    );
}

/** Attaches. A container that does not run is waited for: its next start joins the stream. */
export async function attachContainer(
  deps: EngineDeps,
  container: Container,
  choice: StreamChoice,
  handlers: StreamHandlers,
): Promise<AttachedStream> {
  const { config } = container.record;
  checkAttachable(deps, container, container.id);
  deps.events.emit("container", "attach", container.id, attributesOf(container.record));
  const streams = streamMask({ ...choice, stdin: choice.stdin && config.OpenStdin === true });
  const socket = shimSocket(deps.settings, container.id);
  if (container.running)
    return attachShim(socket, streams, handlers).catch((error) => {
      throw endedMeanwhile(container, error, socket);
    });
  const early = new EarlyStream(() => container.waitingStreams.delete(waiting));
  const waiting: WaitingStream = {
    streams,
    handlers,
    joined: (stream) => {
      early.joined(stream);
      handlers.drain();
    },
  };
  container.waitingStreams.add(waiting);
  return early;
}
