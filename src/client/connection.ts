/**
 * One socket to the daemon: reads as they come, writes that wait for room, half-close.
 */
import type { Host, HostTls } from "./host.ts";

/** Above this much unread input the socket is paused. */
const readAhead = 1 << 20;

/** What carries bytes: a socket, or a program's standard streams. */
export interface Wire {
  /** Takes as many bytes as there is room for; gives how many, or less than 0 when nobody takes any more. */
  write(bytes: Uint8Array): number;
  /** Says that no more will be written. */
  shutdown(): void;
  /** Ends both directions at once. */
  terminate(): void;
  pause(): void;
  resume(): void;
}

/** What a wire tells. `end` comes once, at the last. */
export interface WireHandlers {
  /** The bytes are only lent. */
  data(bytes: Uint8Array): void;
  drain(): void;
  end(error: Error | undefined): void;
}

function tlsOptions(hostname: string, { ca, cert, key, verify }: HostTls) {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    serverName: hostname,
    rejectUnauthorized: verify,
  };
}

async function openWire({ target }: Host, handlers: WireHandlers): Promise<Wire> {
  if ("ssh" in target) return (await import("./ssh.ts")).openSsh(target.ssh, handlers);
  const { promise: secured, resolve, reject } = Promise.withResolvers<void>();
  secured.catch(() => {});
  const socket = {
    binaryType: "uint8array" as const,
    data: (_: unknown, bytes: Uint8Array) => handlers.data(bytes),
    drain: () => handlers.drain(),
    end: () => handlers.end(undefined),
    close: () => {
      reject(new Error("the daemon closed the connection"));
      handlers.end(undefined);
    },
    error: (_: unknown, error: Error) => {
      reject(error);
      handlers.end(error);
    },
    handshake: (_: unknown, ok: boolean, error: Error | null) =>
      ok ? resolve() : reject(error ?? new Error("the TLS handshake failed")),
  };
  if ("unix" in target)
    return await Bun.connect<undefined>({ unix: target.unix, socket, allowHalfOpen: true });
  const { hostname, port, tls } = target;
  if (tls === undefined)
    return await Bun.connect<undefined>({ hostname, port, socket, allowHalfOpen: true });
  const opened = await Bun.connect<undefined>({
    ...{ hostname, port, socket },
    tls: tlsOptions(hostname, tls),
  });
  await secured;
  return opened;
}

/** A byte duplex. After `end` the other direction stays open. */
export class Connection {
  #socket: Wire | undefined;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #paused = false;
  #ended = false;
  #failure: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /** Connects; rejects with the system's error (code ENOENT, ECONNREFUSED, …). */
  static async open(host: Host): Promise<Connection> {
    const self = new Connection();
    self.#socket = await openWire(host, {
      data: (bytes) => self.#take(bytes),
      drain: () => self.#wakeWriter?.(),
      end: (error) => self.#finish(error),
    });
    return self;
  }

  #take(bytes: Uint8Array): void {
    // Bun reuses its buffer once the callback returns.
    this.#queue.push(bytes.slice());
    this.#queued += bytes.length;
    if (this.#queued > readAhead && !this.#paused) {
      this.#paused = true;
      this.#socket?.pause();
    }
    this.#wakeReader?.();
  }

  #finish(error: Error | undefined): void {
    this.#ended = true;
    this.#failure ??= error;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  /** True when the peer has closed its side. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Gives bytes back, to be read next. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue.unshift(bytes);
    this.#queued += bytes.length;
  }

  /** The next bytes, or undefined at the end of the stream. */
  async read(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0) {
      if (this.#failure) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
      this.#wakeReader = undefined;
    }
    const bytes = this.#queue.shift();
    this.#queued -= bytes?.length ?? 0;
    if (this.#paused && this.#queued < readAhead / 2) {
      this.#paused = false;
      this.#socket?.resume();
    }
    return bytes;
  }

  /** Writes all bytes, waiting for room. Rejects when the peer is gone. One writer at a time. */
  async write(bytes: Uint8Array | string): Promise<void> {
    let rest = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    while (rest.length > 0) {
      const written = this.#socket?.write(rest) ?? -1;
      if (written < 0) throw this.#failure ?? new Error("write: broken pipe");
      rest = rest.subarray(written);
      if (rest.length === 0) return;
      if (this.#ended && written === 0) throw this.#failure ?? new Error("write: broken pipe");
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
      this.#wakeWriter = undefined;
    }
  }

  /** Says that no more will be written; reading goes on. */
  end(): void {
    this.#socket?.shutdown();
  }

  /** Ends both directions. */
  close(): void {
    this.#ended = true;
    this.#socket?.terminate();
  }
}

/** Connects to a socket of this machine that is no daemon's. */
export function connectTo(unix: string): Promise<Connection> {
  return Connection.open({ url: `unix://${unix}`, explicit: true, target: { unix } });
}
