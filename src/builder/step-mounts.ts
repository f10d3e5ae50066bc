/**
 * The mounts of a RUN: what they are looked up to be, what counts of them for the cache, and what is made for them while the
 * command runs.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { fault } from "../base/errors.ts";
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

type Deps = Pick<PerformerDeps, "threads" | "cacheMounts" | "secretsDirectory">;
type Bind = Extract<RunMount, { type: "bind" }>;
type Cache = Extract<RunMount, { type: "cache" }>;
type Secret = Extract<RunMount, { type: "secret" | "ssh" }>;

/** What a bind's source is, and a digest of it. */
async function bindOf(
  { threads }: Deps,
  request: BuildRequest,
  mount: Bind,
  from: (name: string) => Promise<StageFiles>,
): Promise<{ mount: StepMount; digest: unknown }> {
  const { target, source } = mount;
  if (!mount.readonly)
    throw fault(
      "unsupported",
      "run-mount",
      "a bind of RUN --mount is read-only here; copy the files, or use type=cache",
    );
  const files =
    mount.from === undefined
      ? { tree: request.context, directory: request.contextDirectory }
      : await from(mount.from);
  if ("snapshot" in files) {
    const { snapshot } = files;
    const digest = [snapshot.chain.at(-1) ?? "", source];
    return { mount: { kind: "snapshot", snapshot, subpath: source, target }, digest };
  }
  const { signal } = request;
  const work: CopyWork = {
    kind: "copy",
    sources: [source],
    inline: [],
    destination: "/",
    link: true,
    parents: false,
    exclude: [],
    keepGitDir: false,
  };
  const { tree, directory } = files;
  const spec = { work, tree, fetched: [], base: tree.directories };
  const more = { owner: { uid: 0, gid: 0 }, time: 0 };
  const { digest } = await threads.run("digestCopy", { ...spec, ...more }, { signal });
  const place = { source: directory, subpath: source };
  return {
    mount: { kind: "bind", ...place, target, readonly: true },
    digest,
  };
}

function secretOf(request: BuildRequest, mount: Secret): Uint8Array | undefined {
  const value = mount.type === "secret" ? request.secrets.get(mount.id) : undefined;
  if (value !== undefined || !mount.required) return value;
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
  for (const mount of work.mounts) {
    if (mount.type === "bind") {
      const bound = await bindOf(deps, request, mount, from);
      digests.push(["bind", mount.target, bound.digest]);
      makers.push(async (prepared) => void prepared.mounts.push(bound.mount));
    } else if (mount.type === "cache") {
      digests.push(["cache", mount.target, mount.id]);
      makers.push((prepared) => prepared.cache(mount));
    } else if (mount.type === "tmpfs") {
      digests.push(["tmpfs", mount.target]);
      const { target, size } = mount;
      makers.push(async (prepared) => void prepared.mounts.push({ kind: "tmpfs", target, size }));
    } else {
      digests.push([mount.type, mount.target ?? "", mount.env ?? "", mount.id]);
      const value = secretOf(request, mount);
      if (value !== undefined) makers.push(async (prepared) => prepared.secret(mount, value));
    }
  }
  const { script } = work;
  if (script !== undefined)
    makers.push(async (prepared) =>
      prepared.file(script.path, new TextEncoder().encode(script.content), { mode: 0o755 }),
    );
  return { digests, prepare: () => Preparation.make(deps, makers) };
}

/** What is being made for one command. */
class Preparation implements PreparedMounts {
  readonly mounts: StepMount[] = [];
  readonly env: string[] = [];
  private readonly ends: (() => void)[] = [];
  private directory: string | undefined;

  private constructor(private readonly deps: Deps) {}

  static async make(
    deps: Deps,
    makers: readonly ((prepared: Preparation) => Promise<void>)[],
  ): Promise<Preparation> {
    const prepared = new Preparation(deps);
    try {
      for (const make of makers) await make(prepared);
      return prepared;
    } catch (error) {
      await prepared.release();
      throw error;
    }
  }

  async cache(mount: Cache): Promise<void> {
    const { path, end } = await this.deps.cacheMounts.take(mount);
    this.ends.push(end);
    const { target, readonly } = mount;
    this.mounts.push({ kind: "bind", source: path, subpath: mount.source, target, readonly });
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
    const { secretsDirectory } = this.deps;
    mkdirSync(secretsDirectory, { recursive: true, mode: 0o700 });
    this.directory ??= mkdtempSync(`${secretsDirectory}/`);
    const source = `${this.directory}/${this.mounts.length}`;
    writeFileSync(source, content, { mode: 0o600 });
    chownSync(source, uid, gid);
    chmodSync(source, mode);
    this.mounts.push({ kind: "bind", source, subpath: "/", target, readonly: true });
  }

  async release(): Promise<void> {
    for (const end of this.ends.splice(0)) end();
    if (this.directory !== undefined) rmSync(this.directory, { recursive: true, force: true });
    this.directory = undefined;
  }
}
