/**
 * Agents of ssh that are on a client's side: a RUN that has one sees a socket, and each connection to that is joined with
 * another from the client, which alone reaches the agent. So nobody's agent is opened with the daemon's rights.
 */
import { createServer, type Socket } from "node:net";
import { fault } from "../base/errors.ts";

/** A client that has not come for a connection by then does not come; milliseconds. */
const WAIT_MS = 30_000;

/** What of a build's agents somebody has to be told. */
export type TellOfConnection = (connection: string) => void;

/** The connections that wait for their clients. */
export class Agents {
  private readonly waiting = new Map<string, { readonly socket: Socket; readonly timer: Timer }>();

  /** Listens at a path until it is closed; each connection has a name that nobody can guess. */
  async listen(path: string, tell: TellOfConnection): Promise<() => Promise<void>> {
    const sockets = new Set<Socket>();
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      const connection = crypto.randomUUID();
      const timer = setTimeout(() => socket.destroy(), WAIT_MS);
      timer.unref();
      this.waiting.set(connection, { socket, timer });
      socket.on("error", () => {});
      socket.on("close", () => {
        clearTimeout(timer);
        sockets.delete(socket);
        this.waiting.delete(connection);
      });
      tell(connection);
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(path, resolve);
    await promise;
    return async () => {
      for (const socket of sockets) socket.destroy();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    };
  }

  /** A connection by its name, for one client. Throws a Fault "not-found" when it does not wait. */
  take(connection: string): Socket {
    const found = this.waiting.get(connection);
    if (found === undefined)
      throw fault("not-found", "build-agent", "no such connection of a build waits for its client");
    this.waiting.delete(connection);
    clearTimeout(found.timer);
    return found.socket;
  }
}
