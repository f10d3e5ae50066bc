/**
 * Attach and exec take the connection over: after the answer's head it carries raw bytes both ways.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { DetachWatcher } from "./detach-keys.ts";

/** The engine's side of a stream; structurally what the runtime gives. */
export interface EngineStream {
  write(chunk: Uint8Array): boolean;
  end(): void;
  close(): void;
  pause(): void;
  resume(): void;
}

/** What the engine tells of its side. */
export interface EngineStreamHandlers {
  data(chunk: Uint8Array): void;
  end(): void;
  drain(): void;
}

/** A connection that has been taken over. */
export interface Hijacked {
  /** Bytes to the client; false when it should be waited with. */
  write(chunk: Uint8Array): boolean;
  end(): void;
  onDrain(callback: () => void): void;
  /** Input from the client, and its end; `gone` when the whole connection is. */
  onInput(callbacks: { data(chunk: Uint8Array): void; end(): void; gone(): void }): void;
  pause(): void;
  resume(): void;
}

/** What comes from a socket that is taken over. It is listened to at once: what comes before anybody asks for it is kept. */
export class SocketInput {
  private readonly early: Uint8Array[] = [];
  private sink: ((chunk: Uint8Array) => void) | undefined;
  private onEnd: (() => void) | undefined;
  private onGone: (() => void) | undefined;
  private ended = false;
  private isGone = false;

  /** `head`: what came with the request already. */
  constructor(socket: Duplex, head: Uint8Array) {
    if (head.length > 0) this.early.push(head);
    socket.on("data", (chunk: Uint8Array) => {
      if (this.sink === undefined) this.early.push(chunk);
      else this.sink(chunk);
    });
    socket.on("end", () => {
      this.ended = true;
      this.onEnd?.();
    });
    const gone = () => {
      this.isGone = true;
      this.onGone?.();
    };
    socket.on("error", gone);
    socket.on("close", gone);
    // Whoever has read the request's body from it has paused it.
    socket.resume();
  }

  /** Hands over what has come and what will: data, its end, and that the whole connection is gone. */
  deliver({ data, end, gone }: Parameters<Hijacked["onInput"]>[0]): void {
    this.sink = data;
    for (const chunk of this.early.splice(0)) data(chunk);
    [this.onEnd, this.onGone] = [end, gone];
    if (this.ended) end();
    if (this.isGone) gone();
  }
}

/** The answer's head for a connection with "Upgrade: tcp". `head` is what came with the request already; `type`: the stream's. */
export function hijackSocket(socket: Duplex, head: Uint8Array, type: string): Hijacked {
  const input = new SocketInput(socket, head);
  socket.write(
    `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`,
  );
  return {
    write: (chunk) => socket.write(chunk),
    end: () => socket.end(),
    onDrain: (callback) => socket.on("drain", callback),
    onInput: (callbacks) => input.deliver(callbacks),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  };
}

/** The same for a client that does not upgrade: its input is the request's body. */
export function hijackResponse(
  request: IncomingMessage,
  response: ServerResponse,
  type: string,
): Hijacked {
  response.writeHead(200, { "Content-Type": type });
  response.flushHeaders();
  return {
    write: (chunk) => response.write(chunk),
    end: () => response.end(),
    onDrain: (callback) => response.on("drain", callback),
    onInput: ({ gone }) => {
      request.resume();
      response.on("close", gone);
    },
    pause: () => request.pause(),
    resume: () => request.resume(),
  };
}

/** Joins a client with a container's stream, both ways, each made to wait when the other is slow. */
export async function joinStreams(
  client: Hijacked,
  open: (handlers: EngineStreamHandlers) => Promise<EngineStream>,
  detach: DetachWatcher | undefined,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let stream: EngineStream | undefined;
  let ended = false;
  const finish = () => {
    if (ended) return;
    ended = true;
    client.end();
    resolve();
  };
  stream = await open({
    data: (chunk) => {
      if (!client.write(chunk)) stream?.pause();
    },
    end: finish,
    drain: () => client.resume(),
  });
  const opened = stream;
  client.onDrain(() => opened.resume());
  client.onInput({
    data: (chunk) => {
      const { pass, detached } = detach?.feed(chunk) ?? { pass: chunk, detached: false };
      if (pass.length > 0 && !opened.write(pass)) client.pause();
      if (!detached) return;
      opened.close();
      finish();
    },
    end: () => opened.end(),
    gone: () => {
      opened.close();
      finish();
    },
  });
  return promise;
}
