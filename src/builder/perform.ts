/**
 * One step's work on files: looked up in the cache, or done and kept there.
 */
import { mkdtempSync } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { type Fault, fault } from "../base/errors.ts";
import { tarEnd, tarHeader } from "../base/tar-writer.ts";
import { orAborted } from "../base/timers.ts";
import type { HistoryEntry } from "../images/index.ts";
import type { Platform } from "../spec/platform.ts";
import { resolveUser } from "../spec/users.ts";
import type { ContainerView } from "../storage/index.ts";
import type { Agents } from "./agents.ts";
import { type BuildCache, cacheKey } from "./cache.ts";
import type { CacheMounts } from "./cache-mounts.ts";
import type { CopySpec, FetchedSpec, Owner, TreeSpec } from "./copy/spec.ts";
import { directoriesTo, lookUp, newDirectory } from "./copy/target.ts";
import type { CopyWork, DirectoryWork, RunWork, Work } from "./dockerfile/evaluate.ts";
import { type EarlyKey, earlyKey } from "./early.ts";
import { fingerprint, reasons, type StepInputs, type StepRecords } from "./explain.ts";
import type { NamedTree } from "./named-contexts.ts";
import type { BuildFiles, BuildImages, BuildRunner, Snapshot } from "./ports.ts";
import { checkChecksum, fetchFile } from "./remote.ts";
import { fetchRepository, gitSource, isFetched } from "./repositories.ts";
import { type BuildRequest, epochOf } from "./request.ts";
import { resolveMounts, type StepMounts } from "./step-mounts.ts";
import type { BuildThreads } from "./threads/pool.ts";
import type { CopyDigest } from "./threads/tasks.ts";

/** The parts that a build works with; they are those of the daemon, and last. */
export interface PerformerDeps {
  readonly images: BuildImages;
  readonly files: BuildFiles;
  /** Where files are read and written. */
  readonly threads: BuildThreads;
  readonly runner: BuildRunner;
  readonly cache: BuildCache;
  readonly records: StepRecords;
  /** Where RUN --mount=type=cache keeps its directories. */
  readonly cacheMounts: CacheMounts;
  /** Where clients come for connections to their agents. */
  readonly agents: Agents;
  /** On a tmpfs: for secrets and scripts, while a step runs. */
  readonly secretsDirectory: string;
  /** Steps that are being done, by their keys: two builds that need the same do it once. */
  readonly underway: Map<string, Promise<Done>>;
}

/** Files of a stage or an image, or of a named context. */
export type StageFiles = { readonly snapshot: Snapshot } | NamedTree;

/** What came of a step. */
export interface Done {
  readonly snapshot: Snapshot;
  readonly created: string;
  /** What the cache knows it by; undefined when there was nothing to do. */
  readonly key?: string | undefined;
}

/** A step to do. */
export interface StepInput {
  readonly work: Work;
  readonly snapshot: Snapshot;
  /** What the stage's programs are for. */
  readonly platform: Platform;
  readonly stage: number;
  readonly number: number;
  /** Its number among the instructions of its stage. */
  readonly place: number;
  readonly description: string;
  /** Taken from no cache. */
  readonly fresh: boolean;
  /** What it is known by before any file is here. */
  readonly early?: string | undefined;
  /** What was done before it, and what it is, as a history tells it. */
  readonly told: { readonly before: readonly HistoryEntry[]; readonly createdBy: string };
}

const PASSWD_MAX = 4 << 20;

/** Reads a small file of a file system; "" when there is none. */
async function readText(view: ContainerView, path: string): Promise<string> {
  const found = await view.find(path, true);
  try {
    if (found?.place === undefined || !found.place.info.isFile()) return "";
    if (found.place.info.size > PASSWD_MAX) return "";
    return await Bun.file(found.place.path).text();
  } finally {
    found?.close();
  }
}

function valuesOf(values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, fingerprint(value ?? null)]),
  );
}

function variablesOf(env: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    env.map((text) => [`the variable ${text.replace(/=[\s\S]*$/, "")}`, fingerprint(text)]),
  );
}

/** What a step would be, with everything looked up. */
interface StepPlan {
  /** What counts for the cache. */
  readonly parts: readonly unknown[];
  /** The same by its names, for a person. */
  readonly inputs: () => Promise<Pick<StepInputs, "values" | "files">>;
  readonly work: () => Promise<ByteStream>;
}

const freshness = ({ noCache }: BuildRequest) => (noCache ? "--no-cache" : "--no-cache-filter");

/** Does the steps of one build. */
export class Performer {
  /** Steps that others' caches were taken at their word for. */
  private readonly taken: {
    readonly step: StepInput;
    readonly key: string;
    readonly needs: readonly Snapshot[];
  }[] = [];

  constructor(
    private readonly deps: PerformerDeps,
    private readonly request: BuildRequest,
    /** What --from means at a stage. */
    private readonly from: (name: string, before: number) => Promise<StageFiles>,
  ) {}

  /** The time of what has none of its own, and of all that a RUN writes later: seconds since 1970. */
  private get epoch(): number | undefined {
    return epochOf(this.request.args);
  }

  private now(): string {
    return new Date(this.epoch === undefined ? Date.now() : this.epoch * 1000).toISOString();
  }

  /** Does a step, or finds what came of it before. Rejects with Faults in Docker's words. */
  async perform(step: StepInput): Promise<Done> {
    const { shared } = this.request;
    const early = await earlyKey(this.deps, this.request, step, this.epoch, this.from);
    const promised = early === undefined ? undefined : await this.promised(step, early);
    const done = promised ?? (await this.performNow({ ...step, early: early?.key }));
    const { key, created, snapshot: after } = done;
    const { snapshot: before, description } = step;
    if (key !== undefined || early !== undefined)
      shared.trail.add({ key, early: early?.key, before, after, created, description });
    return done;
  }

  private performNow(step: StepInput): Promise<Done> {
    switch (step.work.kind) {
      case "run":
        return this.run(step, step.work);
      case "workdir":
        return this.directory(step, step.work);
      default:
        return this.copy(step, step.work);
    }
  }

  /** What another host promises of a step, when looking for it here would mean to fetch files first. */
  private async promised(step: StepInput, { key, needs }: EarlyKey): Promise<Done | undefined> {
    const { images, cache } = this.deps;
    const { shared, report } = this.request;
    if (step.fresh || needs.every((one) => images.has(one))) return undefined;
    const { snapshot: on, description, number } = step;
    const own = cache.find(key);
    const known = own !== undefined && images.has(own.snapshot) ? own : undefined;
    const hit = known ?? (await shared.find([key], { on, description, told: undefined }));
    if (hit === undefined) return undefined;
    const { snapshot, created } = hit;
    if (snapshot.chain.length > on.chain.length) {
      report({ kind: "cached", step: number });
      this.taken.push({ step, key, needs: [...needs, snapshot] });
    }
    return { snapshot, created };
  }

  /** Notes what was promised under the keys that are looked for here, where the files have come that they are made of. */
  async learn(): Promise<void> {
    const { cache, images } = this.deps;
    for (const { step, key, needs } of this.taken) {
      const entry = needs.every((one) => images.has(one)) ? cache.find(key) : undefined;
      if (entry === undefined) continue;
      const { work } = step;
      const plan =
        work.kind === "workdir"
          ? await this.planDirectory(step, work)
          : work.kind === "run"
            ? undefined
            : await this.planCopy(step, work);
      if (plan === undefined) continue;
      const own = this.keyOf(step, plan.parts);
      cache.put({ ...entry, key: own });
      cache.remove(key);
      this.request.shared.trail.learned(key, own);
    }
  }

  /** Makes sure that files are here: another host's cache may have promised them only. */
  private ready(step: StepInput, snapshot: Snapshot): Promise<void> {
    const { shared, report } = this.request;
    return shared.bring(snapshot, (text) => report({ kind: "notice", step: step.number, text }));
  }

  private keyOf(step: StepInput, parts: readonly unknown[]): string {
    return cacheKey([step.work.kind, step.snapshot.chain.at(-1) ?? "", this.epoch, ...parts]);
  }

  /** What is in a cache, or else is done now; by one builder, if several want it. */
  private async cached(step: StepInput, { parts, inputs, work }: StepPlan): Promise<Done> {
    const { underway } = this.deps;
    const key = this.keyOf(step, parts);
    const found = step.fresh ? undefined : await this.known(step, key);
    await this.explain(step, key, inputs, found !== undefined);
    if (found !== undefined) {
      this.request.report({ kind: "cached", step: step.number });
      return { ...found, key };
    }
    const other = step.fresh ? undefined : underway.get(key);
    if (other !== undefined) {
      const done = await orAborted(
        other.catch(() => undefined),
        this.request.signal,
      );
      // Another build that gave up says nothing about this one.
      if (done !== undefined) return done;
    }
    const doing = this.doNow(step, key, work);
    underway.set(key, doing);
    try {
      return await doing;
    } finally {
      if (underway.get(key) === doing) underway.delete(key);
    }
  }

  /** What this host's cache has of a step, or another host's. */
  private async known(step: StepInput, key: string): Promise<Done | undefined> {
    const { cache, images } = this.deps;
    const found = cache.find(key);
    if (found !== undefined && images.has(found.snapshot))
      return { snapshot: found.snapshot, created: found.created };
    const { snapshot: on, description, work, told } = step;
    // What counts for others is not in a history.
    const isTold = work.kind === "run" && work.script === undefined && work.mounts.length === 0;
    const sought = { on, description, told: isTold ? told : undefined };
    return this.request.shared.find([key, step.early ?? []].flat(), sought);
  }

  /** Notes what goes into a step, and tells what of it is another than last time, if somebody wants to know. */
  private async explain(
    step: StepInput,
    key: string,
    inputs: () => Promise<Pick<StepInputs, "values" | "files">>,
    isCached: boolean,
  ): Promise<void> {
    const { request, deps } = this;
    const place = { project: request.project, stage: step.stage, number: step.place };
    const { description: instruction, snapshot, number } = step;
    const now = async (): Promise<StepInputs> => ({
      ...{ instruction, parent: snapshot.chain.at(-1) ?? "" },
      ...(await inputs()),
    });
    if (request.explain && !isCached) {
      const why = step.fresh
        ? [freshness(request)]
        : reasons(deps.records.find(place), await now());
      request.report({ kind: "explained", step: number, reasons: why });
    }
    await deps.records.put(place, key, now);
  }

  private async doNow(
    step: StepInput,
    key: string,
    work: () => Promise<ByteStream>,
  ): Promise<Done> {
    const { images, cache } = this.deps;
    await this.ready(step, step.snapshot);
    this.request.report({ kind: "running", step: step.number });
    const make = async () =>
      images.addLayer(step.snapshot, await work(), (snapshot) => {
        const created = this.now();
        const size = snapshot.size - step.snapshot.size;
        cache.put({ key, snapshot, created, description: step.description, size });
        return { snapshot, created, key };
      });
    // What the key led to until now is held, so that it goes when its place has been taken.
    const before = cache.layersOf(key) ?? step.snapshot;
    return images.during(step.snapshot, () => images.during(before, make));
  }

  private async owner(view: ContainerView, text: string): Promise<Owner> {
    const [passwd, group] = [
      await readText(view, "/etc/passwd"),
      await readText(view, "/etc/group"),
    ];
    const [user = "", ...rest] = text.split(":");
    // Without a group, a number is that of both; a name has its own group.
    const both = rest.length === 0 && /^\d+$/.test(user) ? `${user}:${user}` : text;
    const { uid, gid } = resolveUser(both, passwd, group);
    return { uid, gid };
  }

  private async directory(step: StepInput, work: DirectoryWork): Promise<Done> {
    const plan = await this.planDirectory(step, work);
    return plan === undefined
      ? { snapshot: step.snapshot, created: this.now() }
      : this.cached(step, plan);
  }

  /** Undefined when the directory is there. */
  private async planDirectory(step: StepInput, work: DirectoryWork): Promise<StepPlan | undefined> {
    const { files } = this.deps;
    await this.ready(step, step.snapshot);
    const view = files.view(step.snapshot);
    const target = await lookUp(view, work.path);
    if (target.there === "directory") return undefined;
    if (target.there === "other")
      throw fault(
        "invalid",
        "copy-target",
        `cannot make a directory of ${work.path}: it is a file`,
      );
    const owner = work.user === "" ? { uid: 0, gid: 0 } : await this.owner(view, work.user);
    const { epoch } = this;
    const time = epoch ?? 0;
    const make = async function* (): ByteStream {
      const seen = new Set<string>();
      yield* directoriesTo(files.kernel, view, target.path, seen, epoch);
      for (const path of [...target.missing, target.path])
        if (path !== "" && !seen.has(path)) yield tarHeader(newDirectory(path, owner, time));
      yield tarEnd();
    };
    const inputs = async () => ({ values: valuesOf({ "the owner": owner }), files: {} });
    return { parts: [target.path, owner], inputs, work: async () => make() };
  }

  private async copy(step: StepInput, work: CopyWork): Promise<Done> {
    return this.cached(step, await this.planCopy(step, work));
  }

  private async planCopy(step: StepInput, work: CopyWork): Promise<StepPlan> {
    const { files, threads } = this.deps;
    await this.ready(step, step.snapshot);
    const tree = await this.tree(work.from, step);
    const chosen =
      work.chown === undefined
        ? undefined
        : await this.owner(files.view(step.snapshot), work.chown);
    const owner = chosen ?? (work.from === undefined ? { uid: 0, gid: 0 } : undefined);
    const { local, fetched } = await this.fetch(work);
    const base = files.directories(step.snapshot);
    const time = this.epoch ?? 0;
    const spec = { work: local, tree, fetched, base, owner, time, latest: this.epoch };
    const digest = await this.digest(step, spec);
    const { chown, chmod, destination, inline } = local;
    const inputs = async () => ({
      values: valuesOf({
        ...{ "the owner": [chown, owner], "the mode": chmod, "the destination": destination },
        "the here-documents": inline,
      }),
      files: JSON.parse((await digest.whole()).files) as StepInputs["files"],
    });
    const { signal } = this.request;
    const pack = async () => threads.stream("packCopy", spec, { signal });
    return { parts: [digest.digest], inputs, work: pack };
  }

  /** What a COPY would copy. From a context that has not changed since, what was found out then is good. */
  private async digest(
    step: StepInput,
    spec: CopySpec,
  ): Promise<{ readonly digest: string; whole(): Promise<CopyDigest> }> {
    const { request, deps } = this;
    const { signal } = request;
    const whole = () => deps.threads.run("digestCopy", spec, { signal });
    const isOfContext = spec.tree === request.context && spec.fetched.length === 0;
    const known = isOfContext ? request.knownCopies : undefined;
    const { work, owner, tree } = spec;
    const question = cacheKey([work, owner, tree.ignore, step.snapshot.chain.at(-1)]);
    const before = known?.get(question);
    if (before !== undefined) return { digest: before, whole };
    const found = await whole();
    known?.set(question, found.digest);
    return { digest: found.digest, whole: async () => found };
  }

  /** Fetches what ADD names by an address. */
  private async fetch(work: CopyWork): Promise<{ local: CopyWork; fetched: FetchedSpec[] }> {
    const fetched: FetchedSpec[] = [];
    const { signal, scratch } = this.request;
    const remote = work.sources.filter((source) => isFetched(work, source));
    if (work.checksum !== undefined && (remote.length !== 1 || work.sources.length !== 1))
      throw fault(
        "invalid",
        "build-checksum",
        "checksum can't be specified for multiple or non-HTTP(S) sources",
      );
    for (const source of remote) {
      const directory = mkdtempSync(`${scratch}/add-`);
      const repository = gitSource(source);
      if (repository === undefined) {
        const file = await fetchFile(source, directory, signal);
        if (work.checksum !== undefined) checkChecksum(file, work.checksum);
        fetched.push({ ...this.fetchedTree(directory), path: file.name, isDirectory: false });
        continue;
      }
      const { directory: root } = await fetchRepository(
        repository,
        directory,
        work.keepGitDir,
        this.request.git,
        signal,
      );
      fetched.push({ ...this.fetchedTree(root), path: repository.directory, isDirectory: true });
    }
    const sources = work.sources.filter((source) => !remote.includes(source));
    return { local: { ...work, sources }, fetched };
  }

  private fetchedTree(directory: string): { readonly tree: TreeSpec } {
    return { tree: { directories: [directory], attributes: false } };
  }

  private async tree(from: string | undefined, step: StepInput): Promise<TreeSpec> {
    if (from === undefined) return this.request.context;
    const found = await this.from(from, step.stage);
    if ("tree" in found) return found.tree;
    await this.ready(step, found.snapshot);
    return { directories: this.deps.files.directories(found.snapshot), attributes: true };
  }

  private async run(step: StepInput, work: RunWork): Promise<Done> {
    const mounted: Snapshot[] = [];
    const mounts = await resolveMounts(this.deps, this.request, work, async (name) => {
      const found = await this.from(name, step.stage);
      if ("snapshot" in found) mounted.push(found.snapshot);
      return found;
    });
    const parts = [
      work.args,
      work.env,
      work.user,
      work.directory,
      work.network,
      work.security,
      work.script ?? null,
      mounts.digests,
    ];
    const inputs = async () => ({
      values: {
        ...valuesOf({
          ...{ "the command": work.args, "the user": work.user, "the network": work.network },
          ...{ "the directory": work.directory, "the script": work.script ?? null },
          ...{ "what is mounted": mounts.digests, "the time that was given": this.epoch },
        }),
        ...variablesOf(work.env),
      },
      files: {},
    });
    return this.cached(step, {
      ...{ parts, inputs },
      work: async () => {
        for (const snapshot of mounted) await this.ready(step, snapshot);
        return this.execute(step, work, mounts);
      },
    });
  }

  /** Runs the command and gives what it changed; the container is there until that has been read. */
  private async execute(step: StepInput, work: RunWork, mounts: StepMounts): Promise<ByteStream> {
    const { runner, threads } = this.deps;
    const { request } = this;
    const prepared = await mounts.prepare();
    try {
      const outcome = await runner.run({
        ...{ snapshot: step.snapshot, platform: step.platform },
        work,
        mounts: prepared.mounts,
        secretEnv: prepared.env,
        limits: request.limits,
        output: (stream, bytes) =>
          request.report({ kind: "output", step: step.number, stream, bytes }),
        signal: request.signal,
      });
      if (outcome.status !== 0) {
        await outcome.close();
        throw stepFailure(work.args, outcome.status, outcome.oomKilled);
      }
      const input = { changed: outcome.changed, latest: this.epoch };
      const layer = threads.stream("packStep", input, { signal: request.signal });
      return closing(layer, async () => {
        await outcome.close();
        await prepared.release();
      });
    } catch (error) {
      await prepared.release();
      throw error;
    }
  }
}

async function* closing(stream: ByteStream, close: () => Promise<void>): ByteStream {
  try {
    yield* stream;
  } finally {
    await close();
  }
}

/** A RUN that ended with another status than 0. */
export interface StepFailure extends Fault {
  readonly exitStatus: number;
}

function stepFailure(args: readonly string[], status: number, oomKilled: boolean): StepFailure {
  const memory = oomKilled ? " (it was killed for want of memory)" : "";
  const message = `The command '${args.join(" ")}' returned a non-zero code: ${status}${memory}`;
  return Object.assign(fault("invalid", "build-step", message), { exitStatus: status });
}
