/**
 * Sockets that whoever started the daemon listens on already, as systemd gives them (sd_listen_fds): `--host fd://`.
 * Bun's HTTP server cannot listen on a descriptor; a plain server can, and hands each connection over to it.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { ApiServer } from "../api/index.ts";
import { fault } from "../base/errors.ts";

const FIRST = 3;

/**
 * The descriptors for this process; the variables are taken away, so that no child believes they are for it.
 * None when they were meant for another process.
 */
export function takeInheritedSockets(env: NodeJS.ProcessEnv, pid: number): readonly number[] {
  const { LISTEN_PID: owner, LISTEN_FDS: count } = env;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete env[name];
  if (owner !== String(pid) || !/^[1-9]\d{0,2}$/.test(count ?? "")) return [];
  return Array.from({ length: Number(count) }, (_, at) => FIRST + at);
}

/** Which of the inherited sockets an address means: `fd://` all, `fd://3` one. Throws when it was not given. */
export function chosenSockets(host: string, inherited: readonly number[]): readonly number[] {
  const which = /^fd:\/\/(\d*)$/.exec(host)?.[1];
  if (which === undefined)
    throw fault("invalid", "daemon-option", `invalid host ${host}: use fd:// or fd://NUMBER`);
  if (inherited.length === 0)
    throw fault(
      "invalid",
      "daemon-option",
      `${host}: no sockets were passed to the daemon: start it by its systemd socket, or listen on unix:///PATH`,
    );
  if (which === "") return inherited;
  if (!inherited.includes(Number(which)))
    throw fault(
      "invalid",
      "daemon-option",
      `${host}: the sockets that were passed are ${inherited.join(", ")}`,
    );
  return [Number(which)];
}

/** The address of the first of some sockets, as `--host` would write it; undefined when there is none. */
export function givenAddress([fd]: readonly number[]): string | undefined {
  if (fd === undefined) return undefined;
  const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
  // Num RefCount Protocol Flags Type St Inode Path
  const rows = readFileSync("/proc/net/unix", "utf8").split("\n");
  const row = rows.map((one) => one.trim().split(/\s+/)).find((cells) => cells[6] === inode);
  const path = row?.slice(7).join(" ");
  if (!path?.startsWith("/"))
    throw fault(
      "invalid",
      "daemon-option",
      `fd://${fd} is no Unix socket with a path: whoever reached it could not be told apart`,
    );
  return `unix://${path}`;
}

/** Serves what comes in on a descriptor that listens. */
export async function listenOnDescriptor(api: ApiServer, fd: number): Promise<Server> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => api.accept(socket));
  server.once("error", reject);
  server.listen({ fd }, resolve);
  await promise;
  return server;
}
