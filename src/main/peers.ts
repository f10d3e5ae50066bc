/**
 * Who is at the other end of a connection to the API: the kernel's word for a Unix socket, the certificate for TLS.
 */
import { readdirSync } from "node:fs";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Peer } from "../api/index.ts";

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_ACCEPTCONN = 30;
const AF_UNIX = 1;

type Libc = ReturnType<typeof openLibc>;

function openLibc() {
  const { dlopen } = require("bun:ffi") as typeof import("bun:ffi");
  const option = { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" } as const;
  return dlopen("libc.so.6", {
    getsockopt: option,
    getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
  }).symbols;
}

/** The number that an option of a socket has; undefined when the descriptor is no socket. */
function optionOf(libc: Libc, fd: number, option: number, words: number): Int32Array | undefined {
  const value = new Int32Array(words);
  const size = Int32Array.of(4 * words);
  return libc.getsockopt(fd, SOL_SOCKET, option, value, size) === 0 ? value : undefined;
}

/** Whether a descriptor is a connection that was accepted at this path. */
function isAcceptedAt(libc: Libc, fd: number, path: string): boolean {
  const address = new Uint8Array(110);
  const size = Int32Array.of(address.length);
  if (libc.getsockname(fd, address, size) !== 0 || address[0] !== AF_UNIX) return false;
  const name = new TextDecoder().decode(address.subarray(2, size[0])).replace(/\0.*$/, "");
  return name === path && optionOf(libc, fd, SO_ACCEPTCONN, 1)?.[0] === 0;
}

/**
 * The peers of a Unix socket. Bun does not say which descriptor a connection has, so that each is looked for when it comes: the
 * one that was accepted at this path and is nobody's yet. Where there are several, and they are not of one process, it is not
 * known, rather than taken for another.
 */
export class UnixPeers {
  private readonly libc = openLibc();
  private readonly taken = new Map<number, Duplex>();
  private readonly peers = new WeakMap<Duplex, Peer>();

  constructor(private readonly path: string) {}

  /** To be called as soon as a connection comes. */
  arrived(socket: Duplex): void {
    for (const [fd, other] of this.taken) if (other.destroyed) this.taken.delete(fd);
    const fresh = readdirSync("/proc/self/fd")
      .map(Number)
      .filter((fd) => !this.taken.has(fd) && isAcceptedAt(this.libc, fd, this.path));
    const found = fresh.flatMap((fd) => {
      const [pid = 0, uid = -1, gid = -1] = optionOf(this.libc, fd, SO_PEERCRED, 3) ?? [];
      return uid < 0 ? [] : [{ user: "", method: "", pid, uid, gid } as const];
    });
    const [peer, ...others] = found;
    if (
      peer !== undefined &&
      others.every((other) => other.pid === peer.pid && other.uid === peer.uid)
    )
      this.peers.set(socket, peer);
    const [fd] = fresh;
    if (fd !== undefined && fresh.length === 1) this.taken.set(fd, socket);
  }

  /** Who is at the other end. */
  of(socket: Duplex): Peer {
    return this.peers.get(socket) ?? { user: "", method: "" };
  }
}

/** Who is at the other end of a TCP connection. */
export function tcpPeer(socket: Duplex): Peer {
  const { remoteAddress: address = "", getPeerCertificate } = socket as Partial<TLSSocket>;
  const certificate = getPeerCertificate?.call(socket as TLSSocket);
  const name = certificate?.subject?.CN;
  const user = [name ?? ""].flat()[0] ?? "";
  return { user, method: user === "" ? "" : "TLS", address };
}
