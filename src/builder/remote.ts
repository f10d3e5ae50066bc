/**
 * What a build fetches by itself: files over HTTP and git repositories, for ADD and as contexts. Everything is bounded, and
 * lands in a directory that the build takes away.
 */
import { closeSync, mkdirSync, openSync, readSync, rmSync, utimesSync, writeSync } from "node:fs";
import { posix } from "node:path";
import { fault, messageOf } from "../base/errors.ts";

/** A file that was fetched. */
export interface FetchedFile {
  readonly path: string;
  /** As ADD calls it: the last part of its address. */
  readonly name: string;
}

/** A repository's address, taken apart. */
export interface GitSource {
  readonly url: string;
  /** A branch, tag or commit; "" for what the repository says. */
  readonly ref: string;
  /** A directory in it; "" for all of it. */
  readonly directory: string;
}

const IDLE_MS = 60_000;
const GIT_MS = 600_000;

/** Whether an address is one of files over HTTP. */
export function isHttp(source: string): boolean {
  return /^https?:\/\//i.test(source);
}

/** Takes the address of a git repository apart; undefined for everything else. */
export function gitSource(source: string): GitSource | undefined {
  const [address = "", fragment = ""] = source.split("#", 2);
  const isGit =
    /^(git|ssh|git\+ssh):\/\//.test(address) ||
    /^[\w.-]+@[\w.-]+:/.test(address) ||
    /^github\.com\//.test(address) ||
    (isHttp(address) && /\.git\/?$/.test(address));
  if (!isGit) return undefined;
  const colon = fragment.indexOf(":");
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const directory = colon < 0 ? "" : fragment.slice(colon + 1);
  const url = address.startsWith("github.com/") ? `https://${address}` : address;
  return { url, ref, directory };
}

function failed(what: string, why: string, cause?: unknown): Error {
  return fault("failed", "build-fetch", `failed to fetch ${what}: ${why}`, cause);
}

/** An address without the password that may be in it. */
function shown(address: string): string {
  return address.replace(/\/\/[^/@]*@/, "//");
}

/** Fetches a file into a directory. Rejects with a Fault "failed", and with the signal's reason. */
export async function fetchFile(
  address: string,
  directory: string,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const name = posix.basename(new URL(address).pathname);
  if (name === "" || name === "/" || name === "." || name === "..")
    throw fault("invalid", "build-fetch", `cannot determine filename for source ${shown(address)}`);
  const path = `${directory}/${name}`;
  const idle = new AbortController();
  const tooSlow = () => idle.abort(new Error("nothing has come for a minute"));
  let timer = setTimeout(tooSlow, IDLE_MS);
  const fd = openSync(path, "wx", 0o600);
  try {
    const response = await fetch(address, { signal: AbortSignal.any([signal, idle.signal]) });
    if (!response.ok || response.body === null)
      throw failed(shown(address), `invalid response status ${response.status}`);
    let size = 0;
    for await (const chunk of response.body) {
      clearTimeout(timer);
      timer = setTimeout(tooSlow, IDLE_MS);
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
      size += chunk.length;
    }
    const said = response.headers.get("content-length");
    const coded = response.headers.has("content-encoding");
    if (said !== null && !coded && Number(said) !== size)
      throw failed(shown(address), `${size} bytes came of ${said}`);
    const modified = Date.parse(response.headers.get("last-modified") ?? "") || 0;
    utimesSync(path, modified / 1000, modified / 1000);
    return { path, name };
  } catch (error) {
    rmSync(path, { force: true });
    signal.throwIfAborted();
    if (error instanceof Error && "kind" in error) throw error;
    throw failed(shown(address), messageOf(error), error);
  } finally {
    clearTimeout(timer);
    closeSync(fd);
  }
}

/** Throws a Fault "invalid" when a file is not what --checksum says. */
export function checkChecksum({ path, name }: FetchedFile, checksum: string): void {
  const [, wanted = ""] = /^sha256:([0-9a-f]{64})$/.exec(checksum) ?? [];
  if (wanted === "")
    throw fault(
      "invalid",
      "build-checksum",
      `invalid checksum ${checksum}: it is sha256 and 64 hexadecimal digits`,
    );
  const hash = new Bun.CryptoHasher("sha256");
  const fd = openSync(path, "r");
  const chunk = new Uint8Array(1 << 20);
  for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk))
    hash.update(chunk.subarray(0, length));
  closeSync(fd);
  const found = hash.digest("hex");
  if (found !== wanted)
    throw fault(
      "invalid",
      "build-checksum",
      `digest mismatch of ${name}: sha256:${found}, expected: sha256:${wanted}`,
    );
}

async function git(
  directory: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const env = {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    HOME: "/nonexistent",
    // No questions, no settings of the host, and no transport that runs programs or reads the host's files.
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_ALLOW_PROTOCOL: "https:http:git:ssh",
    GIT_SSH_COMMAND: "ssh -oBatchMode=yes",
    LC_ALL: "C",
  };
  try {
    const child = Bun.spawn(["git", "-c", "core.symlinks=true", ...args], {
      cwd: directory,
      env,
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
    throw new Error(shown(err.trim().split("\n").at(-1) ?? `git ended with ${status}`));
  } catch (error) {
    signal.throwIfAborted();
    const missing =
      messageOf(error).includes("ENOENT") || messageOf(error).includes("not found in $PATH");
    throw missing
      ? fault(
          "unsupported",
          "build-git",
          "git is not on this host: install it, or send the files as a context",
        )
      : error;
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
  signal: AbortSignal,
): Promise<{ readonly directory: string; readonly commit: string }> {
  const { url, ref } = source;
  // A name that begins with a dash would be an option.
  if (url.startsWith("-") || ref.startsWith("-"))
    throw fault("invalid", "build-fetch", `${shown(url)}#${ref} is no address of a repository`);
  const directory = `${parent}/repository`;
  mkdirSync(directory, { mode: 0o700 });
  try {
    await git(directory, ["init", "--quiet"], signal);
    await git(directory, ["fetch", "--quiet", "--depth=1", "--", url, ref || "HEAD"], signal);
    await git(directory, ["checkout", "--quiet", "--detach", "FETCH_HEAD"], signal);
    const modules = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
    await git(directory, modules, signal);
    const commit = await git(directory, ["rev-parse", "HEAD"], signal);
    if (!keepGitDirectory) rmSync(`${directory}/.git`, { recursive: true, force: true });
    return { directory, commit };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && "kind" in error) throw error;
    throw failed(shown(url) + (ref === "" ? "" : `#${ref}`), messageOf(error), error);
  }
}

/** Whether a source of a COPY or ADD is fetched from elsewhere. */
export function isFetched({ kind }: { readonly kind: "copy" | "add" }, source: string): boolean {
  return kind === "add" && (isHttp(source) || gitSource(source) !== undefined);
}
