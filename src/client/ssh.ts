/**
 * A connection through ssh: `berth system dial-stdio` on the other host joins its standard streams with the daemon's socket.
 */
import { spawn } from "node:child_process";
import { errnoOf } from "../base/errors.ts";
import type { Wire, WireHandlers } from "./connection.ts";
import type { SshTarget } from "./host.ts";
import { sshAdvice } from "./ssh-advice.ts";

/** What of ssh's own messages is kept for the error. */
const STDERR_MAX = 4096;

/** The command that reaches a daemon. */
export function sshCommand({ host, user, port, socket }: SshTarget): string[] {
  const there = socket === undefined ? ["berth"] : ["berth", "-H", `unix://${quoted(socket)}`];
  return [
    ...["ssh", "-o", "ConnectTimeout=30", "-T"],
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", port]),
    ...["--", host, ...there, "system", "dial-stdio"],
  ];
}

/** ssh hands its words to a shell. */
function quoted(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
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
  child.on("error", (error) =>
    reject(
      new Error(
        errnoOf(error) === "ENOENT"
          ? "there is no ssh in the PATH: install it (Debian: openssh-client)"
          : `cannot start ssh: ${error.message}`,
      ),
    ),
  );
  child.on("close", (status, signal) => {
    const how = signal === null ? `exit status ${status}` : `signal ${signal}`;
    const advice = sshAdvice(target, status, said);
    finish(
      status === 0
        ? undefined
        : new Error(
            `command [${[program, ...args].join(" ")}] has exited with ${how}, make sure the URL is valid, and berth is installed on the remote host: stderr=${said.trim()}${advice && `\n${advice}`}`,
          ),
    );
  });
  return promise;
}
