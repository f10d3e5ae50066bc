/**
 * How long a head may take on connections that Bun's HTTP server was given: on those it looks at no clock.
 */
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** Ends connections on which no whole head has come for a while: since they came, or since the last answer. */
export class HeadPatience {
  private readonly waiting = new Map<Duplex, Timer>();
  private readonly known = new WeakSet<Duplex>();

  /** `milliseconds`: the while. */
  constructor(private readonly milliseconds: number) {}

  /** From now on a head is waited for. */
  begin(socket: Duplex): void {
    this.heard(socket);
    const timer = setTimeout(() => {
      // Who reads it or not: the connection is over.
      socket.end("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
      socket.destroy();
    }, this.milliseconds);
    timer.unref();
    this.waiting.set(socket, timer);
    if (this.known.has(socket)) return;
    this.known.add(socket);
    socket.once("close", () => this.heard(socket));
  }

  /** A head has come. */
  heard(socket: Duplex): void {
    clearTimeout(this.waiting.get(socket));
    this.waiting.delete(socket);
  }

  /** A request has come that is answered on this connection, and perhaps another behind it. */
  request(socket: Duplex, response: ServerResponse): void {
    this.heard(socket);
    response.once("close", () => {
      if (!socket.destroyed) this.begin(socket);
    });
  }
}
