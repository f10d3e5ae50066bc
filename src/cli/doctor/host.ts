/**
 * What the checks see of a host: files, file systems, programs. Tests give hosts of their own.
 */
import { accessSync, constants, readFileSync, statfsSync, statSync } from "node:fs";
import { release } from "node:os";

/** A host, read-only. */
export interface HostView {
  /** A file's text, or undefined when it cannot be read. */
  read(path: string): string | undefined;
  exists(path: string): boolean;
  /** Whether this process may write there. */
  writable(path: string): boolean;
  /** The file system below a path that may not be there yet. */
  fileSystem(path: string): { readonly magic: number; readonly freeBytes: number } | undefined;
  /** Such as "6.18.5-amd64". */
  readonly kernel: string;
  readonly uid: number;
  /** The user's name, or its number where it has none. */
  readonly user: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a program is, and with whose rights it runs; undefined: it is not installed. */
  program(name: string): ProgramView | undefined;
  /** What a daemon says at a socket; undefined when nobody answers. */
  daemon(): Promise<DaemonAnswer | undefined>;
}

/** A program that is installed. */
export interface ProgramView {
  readonly path: string;
  readonly isRoots: boolean;
  readonly setuid: boolean;
}

/** What a daemon says of itself. */
export interface DaemonAnswer {
  readonly version: string;
  readonly warnings: readonly string[];
  /** "nftables" or "iptables". */
  readonly firewall?: string | undefined;
  /** Whether the host's firewall lets containers' traffic through, in the daemon's words; undefined: it has not looked. */
  readonly forwarding?: string | undefined;
}

function nearestThere(path: string): string {
  for (let at = path; at !== "/" && at !== ""; at = at.slice(0, at.lastIndexOf("/")))
    if (isThere(at, constants.F_OK)) return at;
  return "/";
}

function isThere(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/** By name, which a directory service may have: the runtime itself believes what the environment says. */
function userName(): string {
  const { exitCode, stdout } = Bun.spawnSync(["id", "-un"], { stderr: "ignore" });
  return exitCode === 0 ? stdout.toString().trim() : String(process.getuid?.() ?? 0);
}

/** This host. */
export function thisHost(daemon: HostView["daemon"]): HostView {
  return {
    read(path) {
      try {
        return readFileSync(path, "utf8");
      } catch {
        return undefined;
      }
    },
    exists: (path) => isThere(path, constants.F_OK),
    writable: (path) => isThere(nearestThere(path), constants.W_OK),
    fileSystem(path) {
      try {
        const { type, bavail, bsize } = statfsSync(nearestThere(path));
        return { magic: type, freeBytes: bavail * bsize };
      } catch {
        return undefined;
      }
    },
    kernel: release(),
    uid: process.getuid?.() ?? 0,
    user: userName(),
    env: process.env,
    program(name) {
      const path = Bun.which(name);
      if (path === null) return undefined;
      const { uid, mode } = statSync(path);
      return { path, isRoots: uid === 0, setuid: (mode & 0o4000) !== 0 };
    },
    daemon,
  };
}
