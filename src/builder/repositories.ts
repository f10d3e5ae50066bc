/**
 * Git repositories that a build fetches, for ADD and as contexts, with the host's `git`. It asks no questions and reads no
 * settings of the host; a repository on the daemon's own disk is fetched only where its administrator allows that, and one
 * behind ssh only with an agent that the client has lent: neither the daemon's files nor its keys are a client's to use.
 */
import { mkdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute } from "node:path";
import { confinedFetch } from "../base/confinement.ts";
import { fault, messageOf } from "../base/errors.ts";
import { failedToFetch, isHttp, shown } from "./remote.ts";

/** A repository's address, taken apart. */
export interface GitSource {
  readonly url: string;
  /** A branch, tag or commit; "" for what the repository says. */
  readonly ref: string;
  /** A directory in it; "" for all of it. */
  readonly directory: string;
}

/** What of the host, and of its client, a build's git may have. */
export interface GitAccess {
  /** Directories below which `file:` addresses may lead. */
  readonly directories: readonly string[];
  /** Makes a socket at a path that leads to the client's agent; gives what ends it. Undefined: the client has lent none. */
  readonly agent: ((path: string) => Promise<() => Promise<void>>) | undefined;
}

const GIT_MS = 600_000;
/**
 * Repositories of any owner: which ones is said by the administrator, not by who owns them. No hook ever runs, should a repository
 * find a way to put one where git looks for them (CVE-2025-48384).
 */
const SETTINGS = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n";
const SSH = /^((git\+)?ssh:\/\/|[\w.-]+@[\w.-]+:)/;
const FILE = /^file:\/\//;

/** Takes the address of a git repository apart; undefined for everything else. */
export function gitSource(source: string): GitSource | undefined {
  const [address = "", fragment = ""] = source.split("#", 2);
  const isGit =
    /^git:\/\//.test(address) ||
    SSH.test(address) ||
    FILE.test(address) ||
    /^github\.com\//.test(address) ||
    (isHttp(address) && /\.git\/?$/.test(address));
  if (!isGit) return undefined;
  const colon = fragment.indexOf(":");
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const directory = colon < 0 ? "" : fragment.slice(colon + 1);
  const url = address.startsWith("github.com/") ? `https://${address}` : address;
  return { url, ref, directory };
}

/** Whether a source of a COPY or ADD is fetched from elsewhere. */
export function isFetched({ kind }: { readonly kind: "copy" | "add" }, source: string): boolean {
  return kind === "add" && (isHttp(source) || gitSource(source) !== undefined);
}

/** The address of a repository on this host, with every link followed. Throws a Fault "forbidden" for one that is not allowed. */
function allowedFile(url: string, directories: readonly string[]): string {
  const refused = (advice: string) =>
    fault("forbidden", "build-git-file", `${url} is on the daemon's host: ${advice}`);
  if (directories.length === 0)
    throw refused(
      "start the daemon with --allow-git-directory DIR, or send the files as a context",
    );
  let path: string;
  try {
    path = realpathSync(decodeURIComponent(url.replace(FILE, "")));
  } catch (error) {
    throw refused(`it is in none of the directories that are allowed (${messageOf(error)})`);
  }
  const inside = directories.some((one) => `${path}/`.startsWith(`${realDirectory(one)}/`));
  if (!inside) throw refused(`allowed are ${directories.join(", ")}`);
  return `file://${path}`;
}

/** A directory with every link followed; one that is not there holds nothing, whatever it is called. */
function realDirectory(path: string): string {
  try {
    return realpathSync(path).replace(/\/$/, "");
  } catch {
    return path;
  }
}

/** The first line that tells of an end: what follows is about what else cannot be done then. */
function reasonIn(text: string): string {
  const lines = text.trim().split("\n");
  const at = lines.findIndex((line) => line.startsWith("fatal: "));
  const reason = lines[at] ?? lines.at(-1) ?? "";
  // What ssh has said stands before git's own word, which only says that there was something.
  const before = /^fatal: Could not read/.test(reason) ? lines[at - 1]?.trim() : undefined;
  return before ? `${reason.replace(/\.$/, "")}: ${before}` : reason;
}

/** git in one directory, with what it may reach. */
class Git {
  constructor(
    /** It may change what is in here, and nothing else of the host's. */
    private readonly parent: string,
    private readonly directory: string,
    private readonly settings: string,
    private readonly agentSocket: string | undefined,
    private readonly signal: AbortSignal,
  ) {}

  /** What it reads beside its programs: the hosts that ssh knows, and a repository on this host. */
  private readable(more: readonly string[]): string[] {
    const programs = (process.env.PATH ?? "").split(delimiter).filter((path) => isAbsolute(path));
    const hosts = ["/etc/ssh/ssh_known_hosts", `${homedir()}/.ssh/known_hosts`];
    return [...programs, ...hosts, ...more];
  }

  private env(protocols: string): Record<string, string> {
    const agent = this.agentSocket ?? "none";
    // The host's keys are nobody's to use here; which hosts it knows is.
    const ssh = `ssh -F none -oBatchMode=yes -oIdentityFile=none -oIdentityAgent=${agent}`;
    return {
      PATH: process.env.PATH ?? "/usr/bin:/bin",
      HOME: "/nonexistent",
      // No questions, no settings of the host, and no transport that runs programs.
      GIT_TERMINAL_PROMPT: "0",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_ALLOW_PROTOCOL: protocols,
      GIT_SSH_COMMAND: ssh,
      // A file, since git hands no other settings on to its submodules.
      GIT_CONFIG_GLOBAL: this.settings,
      TMPDIR: this.parent,
      LC_ALL: "C",
      ...(this.agentSocket === undefined ? {} : { SSH_AUTH_SOCK: this.agentSocket }),
    };
  }

  /** Runs git; gives its output. `directories`: those on this host that it may fetch from. Rejects with the line that says why. */
  async run(args: readonly string[], directories: readonly string[] = []): Promise<string> {
    const { signal } = this;
    const git = Bun.which("git");
    if (git === null)
      throw fault(
        "unsupported",
        "build-git",
        "git is not on this host: install it, or send the files as a context",
      );
    const readable = this.readable(directories.map(realDirectory));
    const command = [git, "-c", "core.symlinks=true", ...args] as const;
    try {
      const child = Bun.spawn([...confinedFetch(command, { readable, writable: this.parent })], {
        cwd: this.directory,
        env: this.env(`https:http:git:ssh${directories.length === 0 ? "" : ":file"}`),
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        timeout: GIT_MS,
        signal,
      });
      const [out, err, status] = await Promise.all([
        child.stdout.text(),
        child.stderr.text(),
        child.exited,
      ]);
      signal.throwIfAborted();
      if (status === 0) return out.trim();
      throw new Error(shown(reasonIn(err) || `git ended with ${status}`));
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }
}

/**
 * Fetches one commit of a repository into a new directory below `parent`; gives the directory and the commit. Rejects with
 * Faults, and with the signal's reason.
 */
export async function fetchRepository(
  source: GitSource,
  parent: string,
  keepGitDirectory: boolean,
  access: GitAccess,
  signal: AbortSignal,
): Promise<{ readonly directory: string; readonly commit: string }> {
  const { ref } = source;
  // A name that begins with a dash would be an option.
  if (source.url.startsWith("-") || ref.startsWith("-"))
    throw fault(
      "invalid",
      "build-fetch",
      `${shown(source.url)}#${ref} is no address of a repository`,
    );
  const isFile = FILE.test(source.url);
  const url = isFile ? allowedFile(source.url, access.directories) : source.url;
  const needsAgent = SSH.test(url);
  if (needsAgent && access.agent === undefined)
    throw fault(
      "invalid",
      "build-git-agent",
      `${shown(url)} needs a key of yours: lend the build your agent with --ssh default`,
    );
  const directory = `${parent}/repository`;
  const [socket, settings] = [`${parent}/agent`, `${parent}/gitconfig`];
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(settings, SETTINGS, { mode: 0o600 });
  const endAgent = needsAgent ? await access.agent?.(socket) : undefined;
  try {
    const git = new Git(parent, directory, settings, endAgent && socket, signal);
    await git.run(["init", "--quiet", "--template="]);
    const fetch = ["fetch", "--quiet", "--depth=1", "--", url, ref || "HEAD"];
    await git.run(fetch, isFile ? access.directories : []);
    await git.run(["checkout", "--quiet", "--detach", "FETCH_HEAD"]);
    // What a repository names is never on this host.
    await git.run(["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"]);
    const commit = await git.run(["rev-parse", "HEAD"]);
    if (!keepGitDirectory) rmSync(`${directory}/.git`, { recursive: true, force: true });
    return { directory, commit };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && "kind" in error) throw error;
    throw failedToFetch(shown(url) + (ref === "" ? "" : `#${ref}`), messageOf(error), error);
  } finally {
    await endAgent?.();
  }
}
