/**
 * The mounts of a RUN: what they are looked up to be, what counts of them for the cache, and what is made for them while the
 * command runs.
 */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { fault } from "../base/errors.ts";
import type { CacheBase } from "./cache-mounts.ts";
import type { CopySpec, TreeSpec } from "./copy/spec.ts";
import type { CopyWork, RunWork } from "./dockerfile/evaluate.ts";
import type { RunMount } from "./dockerfile/run-mounts.ts";
import type { PerformerDeps, StageFiles } from "./perform.ts";
import type { StepMount } from "./ports.ts";
import type { BuildRequest } from "./request.ts";

/** What is mounted while a command runs. */
export interface PreparedMounts {
  readonly mounts: readonly StepMount[];
  readonly env: readonly string[];
  /** Takes away what was made, and lets go of what was locked. */
  release(): Promise<void>;
}

/** Mounts that were looked up. */
export interface StepMounts {
  /** What counts for the cache: what is bound by its content, caches and secrets by their places alone. */
  readonly digests: readonly unknown[];
  prepare(): Promise<PreparedMounts>;
}

type Deps = Pick<
  PerformerDeps,
  "agents" | "files" | "threads" | "cacheMounts" | "secretsDirectory"
>;
type Bound = Extract<StepMount, { kind: "snapshot" | "bind" }>;
type Bind = Extract<RunMount, { type: "bind" }>;
type Cache = Extract<RunMount, { type: "cache" }>;
type Secret = Extract<RunMount, { type: "secret" | "ssh" }>;

/** Copies one thing of a tree to the root, as it is. */
function copyOf(source: string): CopyWork {
  const plain = { inline: [], link: true, parents: false, exclude: [], keepGitDir: false };
  return { kind: "copy", sources: [source], destination: "/", ...plain };
}

/** What a copy of a tree comes to. */
function specOf(tree: TreeSpec, source: string, owner: CopySpec["owner"]): CopySpec {
  const none = { fetched: [], time: 0 };
  return { work: copyOf(source), tree, base: tree.directories, owner, ...none };
}

const ROOT = { uid: 0, gid: 0 };

/** What a bind's source is, a digest of it, and the directory that its root is. */
async function bindOf(
  { threads, files }: Deps,
  request: BuildRequest,
  mount: Bind,
  from: (name: string) => Promise<StageFiles>,
): Promise<{ mount: Bound; digest: unknown; root: () => string | undefined }> {
  const { target, source } = mount;
  const place =
    mount.from === undefined
      ? { tree: request.context, directory: request.contextDirectory }
      : await from(mount.from);
  if ("snapshot" in place) {
    const { snapshot } = place;
    const digest = [snapshot.chain.at(-1) ?? "", source];
    const root = () => files.directories(snapshot)[0];
    return { mount: { kind: "snapshot", snapshot, subpath: source, target }, digest, root };
  }
  const { signal } = request;
  const { tree, directory } = place;
  const { digest } = await threads.run("digestCopy", specOf(tree, source, ROOT), { signal });
  const bound = {
    kind: "bind",
    source: directory,
    subpath: source,
    target,
    readonly: true,
  } as const;
  return { mount: bound, digest, root: () => directory };
}

/** What the directory of a cache begins with. */
async function cacheBase(
  { threads, files }: Deps,
  { signal }: BuildRequest,
  place: StageFiles,
): Promise<CacheBase> {
  // A snapshot's files may not be here before they are needed.
  const spec = () =>
    "snapshot" in place
      ? specOf({ directories: files.directories(place.snapshot), attributes: true }, "/", undefined)
      : specOf(place.tree, "/", ROOT);
  const key =
    "snapshot" in place
      ? (place.snapshot.chain.at(-1) ?? "")
      : (await threads.run("digestCopy", spec(), { signal })).digest;
  const fill = (directory: string) => {
    const body = threads.stream("packCopy", spec(), { signal });
    return threads.run("unpack", { directory, keepOwners: true }, { body, signal });
  };
  return { key, fill };
}

function secretOf(request: BuildRequest, mount: Secret): Uint8Array | undefined {
  const value = mount.type === "secret" ? request.secrets.get(mount.id) : undefined;
  const isThere = value !== undefined || (mount.type === "ssh" && request.agents.has(mount.id));
  if (isThere || !mount.required) return value;
  throw fault(
    "invalid",
    "build-secret",
    mount.type === "ssh"
      ? `unset ssh forward key ${mount.id}: give one with --ssh`
      : `secret ${mount.id}: not found; give it with --secret id=${mount.id},src=FILE`,
  );
}

/** Looks up the mounts of a RUN. Rejects with Faults in BuildKit's words. */
export async function resolveMounts(
  deps: Deps,
  request: BuildRequest,
  work: RunWork,
  from: (name: string) => Promise<StageFiles>,
): Promise<StepMounts> {
  const digests: unknown[] = [];
  const makers: ((prepared: Preparation) => Promise<void>)[] = [];
  const caches: WantedCache[] = [];
  for (const mount of work.mounts) {
    if (mount.type === "bind") {
      const bound = await bindOf(deps, request, mount, from);
      const writable = mount.readonly ? [] : ["rw"];
      digests.push(["bind", mount.target, bound.digest, ...writable]);
      makers.push(async (prepared) => prepared.bind(bound.mount, mount.readonly, bound.root()));
    } else if (mount.type === "cache") {
      const base =
        mount.from === undefined
          ? undefined
          : await cacheBase(deps, request, await from(mount.from));
      const begins = base === undefined ? [] : [base.key, mount.source];
      digests.push(["cache", mount.target, mount.id, ...begins]);
      const wanted = { key: JSON.stringify([mount.id, base?.key, mount.sharing]), mount, base };
      caches.push(wanted);
      makers.push(async (prepared) => prepared.cache(wanted));
    } else if (mount.type === "tmpfs") {
      digests.push(["tmpfs", mount.target]);
      const { target, size } = mount;
      makers.push(async (prepared) => void prepared.mounts.push({ kind: "tmpfs", target, size }));
    } else {
      digests.push([mount.type, mount.target ?? "", mount.env ?? "", mount.id]);
      const value = secretOf(request, mount);
      if (value !== undefined) makers.push(async (prepared) => prepared.secret(mount, value));
      else if (mount.type === "ssh" && request.agents.has(mount.id))
        makers.push((prepared) => prepared.agent(mount, request));
    }
  }
  const { script } = work;
  if (script !== undefined)
    makers.push(async (prepared) =>
      prepared.file(script.path, new TextEncoder().encode(script.content), { mode: 0o755 }),
    );
  return { digests, prepare: () => Preparation.make(deps, request, caches, makers) };
}

/** A directory of type=cache that a command wants. */
interface WantedCache {
  /** The same for the same directory. */
  readonly key: string;
  readonly mount: Cache;
  readonly base: CacheBase | undefined;
}

/** What is being made for one command. */
class Preparation implements PreparedMounts {
  readonly mounts: StepMount[] = [];
  readonly env: string[] = [];
  private readonly ends: (() => void | Promise<void>)[] = [];
  private directory: string | undefined;
  private agents = 0;
  /** Directories of type=cache, by their keys. */
  private readonly taken = new Map<string, string>();

  private constructor(
    private readonly deps: Deps,
    private readonly scratch: string,
  ) {}

  static async make(
    deps: Deps,
    { scratch, signal }: Pick<BuildRequest, "scratch" | "signal">,
    caches: readonly WantedCache[],
    makers: readonly ((prepared: Preparation) => Promise<void>)[],
  ): Promise<Preparation> {
    const prepared = new Preparation(deps, scratch);
    try {
      // In one order for all, since each may have to wait for the other, and each once: it would wait for itself.
      for (const wanted of [...caches].sort((a, b) => (a.key < b.key ? -1 : 1)))
        await prepared.take(wanted, signal);
      for (const make of makers) await make(prepared);
      return prepared;
    } catch (error) {
      await prepared.release();
      throw error;
    }
  }

  /** Binds what is there; what a command writes goes elsewhere, and away with its end. */
  bind(mount: Bound, readonly: boolean, root: string | undefined): void {
    this.mounts.push(readonly ? mount : { ...mount, writes: this.place(root) });
  }

  /** A place for what is written upon a directory; it looks as that one does. */
  private place(root: string | undefined): string {
    const directory = mkdtempSync(`${this.scratch}/writes-`);
    this.ends.push(() => rm(directory, { recursive: true, force: true }));
    const upper = `${directory}/upper`;
    for (const path of [upper, `${directory}/work`]) mkdirSync(path);
    const { mode, uid, gid } = root === undefined ? { mode: 0o755, ...ROOT } : statSync(root);
    chownSync(upper, uid, gid);
    chmodSync(upper, mode & 0o7777);
    return directory;
  }

  async take({ key, mount, base }: WantedCache, signal: AbortSignal): Promise<void> {
    if (this.taken.has(key)) return;
    const { path, end } = await this.deps.cacheMounts.take(mount, signal, base);
    this.ends.push(end);
    this.taken.set(key, path);
  }

  cache({ key, mount }: WantedCache): void {
    const source = this.taken.get(key) ?? "";
    const { target, readonly, source: subpath } = mount;
    this.mounts.push({ kind: "bind", source, subpath, target, readonly });
  }

  secret(mount: Secret, value: Uint8Array): void {
    if (mount.env !== undefined) this.env.push(`${mount.env}=${new TextDecoder().decode(value)}`);
    if (mount.target !== undefined) this.file(mount.target, value, mount);
  }

  file(
    target: string,
    content: Uint8Array,
    { mode, uid = 0, gid = 0 }: { mode: number; uid?: number; gid?: number },
  ): void {
    const source = this.ownPath();
    writeFileSync(source, content, { mode: 0o600 });
    chownSync(source, uid, gid);
    chmodSync(source, mode);
    this.mounts.push({ kind: "bind", source, subpath: "/", target, readonly: true });
  }

  /** A path that nobody else has, on a tmpfs. */
  private ownPath(): string {
    const { secretsDirectory } = this.deps;
    mkdirSync(secretsDirectory, { recursive: true, mode: 0o700 });
    this.directory ??= mkdtempSync(`${secretsDirectory}/`);
    return `${this.directory}/${this.mounts.length}`;
  }

  /** A socket that leads to an agent of the client's; the first one is what programs look for. */
  async agent(mount: Secret, request: BuildRequest): Promise<void> {
    const source = this.ownPath();
    const { id, uid, gid, mode } = mount;
    const tell = (connection: string) => request.report({ kind: "agent", id, connection });
    this.ends.push(await this.deps.agents.listen(source, tell));
    chownSync(source, uid, gid);
    chmodSync(source, mode);
    const target = mount.target ?? `/run/buildkit/ssh_agent.${this.agents}`;
    if (this.agents === 0) this.env.push(`SSH_AUTH_SOCK=${target}`);
    this.agents++;
    this.mounts.push({ kind: "bind", source, subpath: "/", target, readonly: false });
  }

  async release(): Promise<void> {
    for (const end of this.ends.splice(0)) await end();
    if (this.directory !== undefined) rmSync(this.directory, { recursive: true, force: true });
    this.directory = undefined;
  }
}
