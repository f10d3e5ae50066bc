/**
 * A connection through ssh: `berth system dial-stdio` on the other host joins its standard streams with the daemon's socket.
 */
import { spawn } from "node:child_process";
import type { Wire, WireHandlers } from "./connection.ts";
import type { SshTarget } from "./host.ts";
import { shellWord, sshArguments, sshFailure, withoutSsh } from "./ssh-command.ts";

/** What of ssh's own messages is kept for the error. */
const STDERR_MAX = 4096;

/** The command that reaches a daemon. */
function sshCommand(target: SshTarget): string[] {
  const { socket } = target;
  const there = socket === undefined ? ["berth"] : ["berth", "-H", `unix://${shellWord(socket)}`];
  return [...sshArguments(target), ...there, "system", "dial-stdio"];
}

/** Starts ssh. That it could not connect is told by the connection's end. */
export function openSsh(target: SshTarget, handlers: WireHandlers): Promise<Wire> {
  const [program = "", ...args] = sshCommand(target);
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  const { promise, resolve, reject } = Promise.withResolvers<Wire>();
  let said = "";
  let isFull = false;
  let isClosing = false;
  let ended = false;
  const finish = (error: Error | undefined) => {
    if (ended) return;
    ended = true;
    handlers.end(isClosing ? undefined : error);
  };
  child.stderr.on("data", (bytes: Buffer) => {
    said = `${said}${bytes.toString()}`.slice(-STDERR_MAX);
  });
  child.stdout.on("data", (bytes: Uint8Array) => handlers.data(bytes));
  child.stdin.on("drain", () => {
    isFull = false;
    handlers.drain();
  });
  // Its exit says more.
  child.stdin.on("error", () => {});
  child.on("spawn", () =>
    resolve({
      write(bytes) {
        if (ended || child.stdin.destroyed) return -1;
        if (isFull) return 0;
        isFull = !child.stdin.write(Buffer.from(bytes));
        return bytes.length;
      },
      shutdown: () => child.stdin.end(),
      terminate() {
        isClosing = true;
        child.kill();
      },
      pause: () => child.stdout.pause(),
      resume: () => child.stdout.resume(),
    }),
  );
  child.on("error", (error) => reject(withoutSsh(error)));
  child.on("close", (status, signal) => {
    const isDone = status === 0;
    finish(isDone ? undefined : sshFailure(target, [program, ...args], { status, signal }, said));
  });
  return promise;
}
