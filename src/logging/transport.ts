/**
 * The ways to a receiver of records: streams, which push back and break, and datagrams, which are sent and forgotten.
 */
import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { flagOf, type LogOptions, type Target } from "./options.ts";

const CONNECT_MS = 5000;

/** A way to a receiver. */
export interface Transport {
  /** Resolves when there is room for more. Rejects when the receiver is gone. */
  send(message: Uint8Array): Promise<void>;
  /** The next bytes that come back. Rejects when the receiver is gone. */
  receive(): Promise<Uint8Array>;
  /** What has been sent still goes. */
  close(): void;
  /** Lets go at once: whoever waits for room or an answer is refused. */
  abort(): void;
}

/** Sends one datagram to a Unix socket; JavaScript has no such sockets. */
export type SendUnixDatagram = (path: string, data: Uint8Array) => Promise<void>;

class StreamTransport implements Transport {
  private failure: Error | undefined;

  constructor(private readonly socket: Socket) {
    const end = (error?: Error) => {
      this.failure ??= error ?? new Error("the receiver has closed the connection");
    };
    socket.on("error", end);
    socket.on("close", () => end());
    socket.on("end", () => end());
  }

  private until(event: "drain" | "data"): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const done = (data: Uint8Array) => {
      this.socket.off("close", gone);
      resolve(data);
    };
    const gone = () => {
      this.socket.off(event, done);
      reject(this.failure);
    };
    this.socket.once(event, done);
    this.socket.once("close", gone);
    return promise;
  }

  async send(message: Uint8Array): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    if (!this.socket.write(message)) await this.until("drain");
  }

  async receive(): Promise<Uint8Array> {
    if (this.failure !== undefined) throw this.failure;
    return this.until("data");
  }

  close(): void {
    this.socket.end();
    // Whoever does not close in turn is not waited for.
    setTimeout(() => this.socket.destroy(), 1000).unref();
  }

  abort(): void {
    this.socket.destroy();
  }
}

function secured(target: Target, options: LogOptions): Socket {
  const read = (name: string) => (options[name] ? readFileSync(options[name]) : undefined);
  const { host, port } = target as Extract<Target, { host: string }>;
  return connectTls({
    host,
    port,
    servername: host,
    ca: read("syslog-tls-ca-cert"),
    cert: read("syslog-tls-cert"),
    key: read("syslog-tls-key"),
    rejectUnauthorized: !flagOf(options, "syslog-tls-skip-verify"),
  });
}

async function openStream(target: Target, options: LogOptions): Promise<Transport> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const isTls = target.kind === "tls";
  const socket = isTls
    ? secured(target, options)
    : connectTcp(
        "path" in target ? { path: target.path } : { host: target.host, port: target.port },
      );
  const timer = setTimeout(() => reject(new Error("i/o timeout")), CONNECT_MS);
  socket.once(isTls ? "secureConnect" : "connect", resolve);
  socket.once("error", reject);
  try {
    await promise;
    return new StreamTransport(socket);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function openUdp(host: string, port: number): Promise<Transport> {
  // Nobody who listens is no error with UDP: the datagram is gone, as any may be.
  const socket = await Bun.udpSocket({ connect: { hostname: host, port }, socket: { error() {} } });
  return {
    async send(message) {
      try {
        // A full buffer takes none; it is given a moment.
        for (let tries = 0; !socket.send(message) && tries < 100; tries++) await Bun.sleep(1);
      } catch {
        // Refused by who got the one before.
      }
    },
    receive: () => Promise.reject(new Error("UDP answers nothing")),
    close: () => socket.close(),
    abort: () => {},
  };
}

/** Opens a way to a receiver. Rejects with the system's error when there is none. */
export async function openTransport(
  target: Target,
  options: LogOptions,
  sendDatagram: SendUnixDatagram,
): Promise<Transport> {
  if (target.kind === "udp") return openUdp(target.host, target.port);
  if (target.kind !== "unixgram") return openStream(target, options);
  return {
    send: (message) => sendDatagram(target.path, message),
    receive: () => Promise.reject(new Error("a datagram socket answers nothing")),
    close: () => {},
    abort: () => {},
  };
}
