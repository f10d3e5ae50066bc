/**
 * `berth daemon --rootless`: what an ordinary user's process does before it is the daemon. It finds or makes the namespaces
 * (a user namespace, in which it is root, and a mount and a network namespace that belong to it), which a keeper keeps, and
 * executes itself again inside of the first two. The daemon stays in the host's network; its helper and its shims have the
 * other one as theirs, where nothing needs the host's rights.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fault, messageOf } from "../../base/errors.ts";
import { parseSubordinateIds } from "../../spec/subordinate-ids.ts";
import { unpackPrograms } from "../assets.ts";
import { isKept } from "../kept.ts";
import { lockRoot } from "../lock.ts";
import { type OwnMaps, type OwnUser, ownMaps } from "./ids.ts";
import { chooseOutside, type Outside, outsideResolver, outsides, startOutside } from "./outside.ts";

/** Where the daemon inside reads that it is there: the keeper's socket. */
export const KEEPER = "BERTH_KEEPER";
/** What leads out. */
const OUTSIDE = "BERTH_ROOTLESS_NETWORK";
/** Who the user is outside. */
const USER = "BERTH_ROOTLESS_UID";

/** What asks name servers of the host's loopback, as the daemon inside was told; undefined: nothing does. */
export function outerResolver(
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const outside = outsides.find((name) => name === env[OUTSIDE]);
  return outside && outsideResolver[outside];
}

/** What has to be known before the daemon's own options are. */
export interface EntryOptions {
  readonly dataRoot: string;
  readonly execRoot: string;
  /** As --rootless-network has it. */
  readonly network: string | undefined;
}

function unsupported(message: string): Error {
  return fault("unsupported", "rootless-host", message);
}

/** By name, which a directory service may have: the runtime itself believes what the environment says. */
function whoami(): OwnUser {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const { exitCode, stdout } = Bun.spawnSync(["id", "-un"], { stderr: "ignore" });
  return { name: exitCode === 0 ? stdout.toString().trim() : String(uid), uid, gid };
}

function text(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** Throws Faults that say what to install or switch on. */
function checkHost(): void {
  for (const name of ["newuidmap", "newgidmap"]) {
    const path = Bun.which(name);
    if (path === null)
      throw unsupported(
        `${name} is not installed, which gives containers their ids: as root, install the package uidmap`,
      );
    // With file capabilities instead of the setuid bit it works, too: whether it has these, its own refusal tells.
    if (statSync(path).uid !== 0)
      throw unsupported(
        `${path} does not belong to root and can give nobody ids: as root, install the package uidmap again`,
      );
  }
  if (text("/proc/sys/user/max_user_namespaces").trim() === "0")
    throw unsupported(
      "user namespaces are switched off here: as root, run sysctl -w user.max_user_namespaces=28633",
    );
  if (text("/proc/sys/kernel/unprivileged_userns_clone").trim() === "0")
    throw unsupported(
      "user namespaces are for root alone here: as root, run sysctl -w kernel.unprivileged_userns_clone=1",
    );
}

function refusedNamespaces(said: string): Error {
  const restricted = text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").trim() === "1";
  const hint = restricted
    ? ": AppArmor keeps programs from them; as root, run sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    : "";
  return unsupported(`the kernel makes no user namespace for this user (${said.trim()})${hint}`);
}

async function mapIds(pid: string, { uids, gids }: OwnMaps): Promise<void> {
  for (const [program, words] of [
    ["newuidmap", uids],
    ["newgidmap", gids],
  ] as const) {
    const child = Bun.spawn([program, pid, ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, status] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    if (status !== 0)
      throw unsupported(
        `${program} gives no ids (${(err || out).trim()}): it must be setuid root (as root: chmod u+s ${Bun.which(program)}), and the file system that it is on not be mounted nosuid`,
      );
  }
}

/** A shim that has outlived a keeper: it has the namespaces that containers are in. */
function survivingShim(execRoot: string): string | undefined {
  return readdirSync("/proc").find((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(`berth-shim\0${execRoot}/c/`);
    } catch {
      return false;
    }
  });
}

/** Lines of a stream, one by one. */
function lineReader(stream: ReadableStream<Uint8Array>): () => Promise<string | undefined> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let kept = "";
  return async () => {
    for (;;) {
      const end = kept.indexOf("\n");
      if (end >= 0) {
        const line = kept.slice(0, end);
        kept = kept.slice(end + 1);
        return line;
      }
      const { value, done } = await reader.read();
      if (done) return undefined;
      kept += decoder.decode(value, { stream: true });
    }
  };
}

/** Where it is noted what leads out: a later daemon finds the namespaces as they are. */
const outsideFile = (execRoot: string) => `${execRoot}/outside`;

/** Starts a keeper with namespaces that are made, or that a shim still has. Nothing is left when this rejects. */
async function startKeeper(
  helper: string,
  socket: string,
  execRoot: string,
  outside: Outside,
): Promise<void> {
  const shim = survivingShim(execRoot);
  const maps = shim === undefined ? ownIds() : undefined;
  const child = Bun.spawn([helper, "keep", socket, ...(shim === undefined ? [] : [shim])], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    env: {},
    cwd: "/",
  });
  try {
    const line = lineReader(child.stdout);
    const tell = (text: string) => {
      child.stdin.write(text);
      child.stdin.flush();
    };
    const inside = await line();
    if (inside === undefined) throw refusedNamespaces(await child.stderr.text());
    if (maps !== undefined) await mapIds(inside, maps);
    tell("\n");
    if ((await line()) !== "kept") throw refusedNamespaces(await child.stderr.text());
    const { pid, again } = await startOutside(outside, Number(inside), execRoot);
    tell([pid, ...again, ""].map((word) => `${word}\0`).join(""));
    writeFileSync(outsideFile(execRoot), outside, { mode: 0o600 });
    if ((await child.exited) !== 0) throw refusedNamespaces(await child.stderr.text());
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

function ownIds(): OwnMaps {
  const files = {
    uids: parseSubordinateIds(text("/etc/subuid")),
    gids: parseSubordinateIds(text("/etc/subgid")),
  };
  return ownMaps(whoami(), files);
}

function makeRoots({ dataRoot, execRoot }: EntryOptions): void {
  for (const path of [dataRoot, execRoot]) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o711 });
    } catch (error) {
      throw unsupported(
        `${path} cannot be made (${messageOf(error)}): set HOME, and XDG_RUNTIME_DIR to a directory of yours (loginctl enable-linger makes /run/user/UID), or give --data-root and --exec-root`,
      );
    }
  }
}

/**
 * Becomes berth with these words inside of the namespaces: does not return, unless something is missing. Rejects with Faults
 * "unsupported" that say what to do.
 */
export async function enterOwnNamespaces(
  options: EntryOptions,
  words: readonly string[],
): Promise<never> {
  const { dataRoot, execRoot } = options;
  const outside = chooseOutside(options.network);
  checkHost();
  makeRoots(options);
  const { helper } = unpackPrograms(`${dataRoot}/bin`);
  const socket = `${execRoot}/keeper.sock`;
  const lock = lockRoot(
    execRoot,
    (path) =>
      `another berth daemon uses ${path}: stop it, or give this one roots of its own (--data-root, --exec-root)`,
  );
  if (!(await isKept(helper, socket))) await startKeeper(helper, socket, execRoot, outside);
  lock.close();
  const env: Record<string, string> = {
    [KEEPER]: socket,
    [OUTSIDE]: text(outsideFile(execRoot)),
    [USER]: String(process.getuid?.()),
  };
  for (const [name, value] of Object.entries(process.env))
    if (value !== undefined) env[name] ??= value;
  const command = [helper, "join", socket, process.execPath, ...words];
  if (process.execve === undefined)
    throw new Error("this runtime cannot execute another program in its place");
  return process.execve(helper, command, env);
}
