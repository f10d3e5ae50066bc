/**
 * A container in the foreground: attach and wait before it starts, then streams until it ends.
 */
import type { ApiClient } from "../client/index.ts";
import type { ContainerWaitResponse } from "../spec/engine-api.ts";
import { copyInput, copyOutput, followSize, proxySignals } from "./streams.ts";
import { rawMode } from "./terminal.ts";

/** How to attach. */
export interface Foreground {
  readonly id: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly signals: boolean;
  readonly detachKeys: string;
  /** Waits for the removal (`--rm`), not only for the exit. */
  readonly removed: boolean;
  /** Starts the container once everything listens; left out for a running one. */
  readonly start?: () => Promise<void>;
}

/** What docker's client says, with status 1, when its user leaves what it has not started by the detach keys. */
export const DETACHED = "read escape sequence";

/** Runs in the foreground, returns the container's exit status; 0 when the user detached from what was started here. */
export async function foreground(client: ApiClient, how: Foreground): Promise<number> {
  const condition = how.removed ? "removed" : how.start ? "next-exit" : "not-running";
  const path = `/containers/${how.id}`;
  const query = {
    stream: true,
    stdin: how.stdin,
    stdout: how.stdout,
    stderr: how.stderr,
    detachKeys: how.detachKeys || undefined,
  };
  const attaching = client.hijack(`${path}/attach`, { query });
  const waiting = client.request("POST", `${path}/wait`, { query: { condition } });
  waiting.catch(() => {});
  const connection = await attaching;
  const ended = (await waiting).text().then((text) => JSON.parse(text) as ContainerWaitResponse);
  const ends: (() => void)[] = [];
  if (how.signals && !how.tty)
    ends.push(proxySignals((signal) => client.json("POST", `${path}/kill`, { query: { signal } })));
  try {
    if (how.tty && how.stdin) ends.push(rawMode(0));
    const output = copyOutput(connection, how.tty);
    await how.start?.();
    if (how.stdin) void copyInput(connection);
    if (how.tty) {
      const resize = (query: { h: number; w: number }) =>
        client.json("POST", `${path}/resize`, { query });
      ends.push(followSize(resize, { redraw: how.start === undefined }));
    }
    await output;
    if (how.tty && how.stdin && (await isRunning(client, path))) {
      if (how.start === undefined) throw new Error(DETACHED);
      return 0;
    }
    const result = await ended;
    if (result.Error?.Message) throw new Error(result.Error.Message);
    return result.StatusCode;
  } finally {
    for (const end of ends) end();
    connection.close();
  }
}

/** The output of a terminal ends at a detach too: the container then still runs. */
async function isRunning(client: ApiClient, path: string): Promise<boolean> {
  const found = await client
    .json<{ State?: { Running?: boolean } }>("GET", `${path}/json`)
    .catch(() => undefined);
  return found?.State?.Running === true;
}
