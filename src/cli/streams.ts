/**
 * The streams of a container or an exec on this program's own: input in, output out, signals and the
 * terminal's size passed on.
 */

import { type Connection, Demultiplexer } from "../client/index.ts";
import { fs } from "./late-modules.ts";
import { err, out } from "./output.ts";
import { terminalSize } from "./terminal.ts";

/** Throws when there is no file to read there, in the words of the system. */
export function checkReadable(path: string): void {
  const found = path === "-" ? undefined : fs().statSync(path, { throwIfNoEntry: false });
  if (found === undefined && path !== "-")
    throw new Error(`open ${path}: no such file or directory`);
  if (found?.isDirectory()) throw new Error(`read ${path}: is a directory`);
}

/** A file's bytes, whatever kind of file it is; "-" is the standard input. */
export function inputFrom(path: string): AsyncIterable<Uint8Array> {
  const options = { highWaterMark: 256 * 1024 };
  return path === "-"
    ? fs().createReadStream("", { ...options, fd: 0, autoClose: false })
    : fs().createReadStream(path, options);
}

/** Copies output until it ends. */
export async function copyOutput(connection: Connection, tty: boolean): Promise<void> {
  const demux = new Demultiplexer((stream, bytes) => (stream === 2 ? err(bytes) : out(bytes)));
  for (;;) {
    const bytes = await connection.read().catch(() => undefined);
    if (bytes === undefined) return;
    if (tty) out(bytes);
    else demux.push(bytes);
  }
}

/** Copies standard input until it ends, then closes that direction. */
export async function copyInput(connection: Connection): Promise<void> {
  try {
    for await (const bytes of Bun.stdin.stream()) await connection.write(bytes);
    connection.end();
  } catch {
    // The other side has gone; its output says why.
  }
}

const proxied = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGCONT",
] as const;

/** After so many signals that mean the end, the command ends, whatever the container does. */
const INSISTENCE = 3;

/** Passes signals on from now on; returns what ends that. */
export function proxySignals(send: (signal: string) => Promise<unknown>): () => void {
  let insisted = 0;
  const handlers = proxied.map((signal) => {
    const handler = () => {
      if (signal === "SIGINT" || signal === "SIGTERM") insisted++;
      if (insisted >= INSISTENCE) {
        err(`got ${INSISTENCE} SIGTERM/SIGINTs, forcefully exiting\n`);
        process.exit(1);
      }
      void send(signal.slice(3)).catch(() => {});
    };
    process.on(signal, handler);
    return [signal, handler] as const;
  });
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}

/**
 * Tells the terminal's size now and at each change; returns what ends that. `redraw`: tells another size before, since what is on
 * a screen is drawn anew only for one that changes.
 */
export function followSize(
  resize: (size: { h: number; w: number }) => Promise<unknown>,
  { redraw = false } = {},
) {
  const tell = (more = 0) => {
    const size = terminalSize(1) ?? terminalSize(0);
    if (!size) return Promise.resolve();
    return resize({ h: size.rows + more, w: size.columns + more }).catch(() => {});
  };
  const changed = () => void tell();
  if (redraw) void tell(1).then(changed);
  else changed();
  process.on("SIGWINCH", changed);
  return () => void process.off("SIGWINCH", changed);
}
