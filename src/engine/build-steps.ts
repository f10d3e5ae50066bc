/**
 * The containers of builds: nobody sees them, no record of them outlives the daemon, and what a daemon that was killed has
 * left of one is swept like everything that no record explains.
 *
 * They belong to an engine of their own, which shares the host's side (layers, networks, control groups) with the other and
 * has its own names, records in memory, and events that nobody hears.
 */
import { Demultiplexer } from "../base/demux.ts";
import type { ImageRecord } from "../images/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { Comparison } from "../storage/index.ts";
import { assembleEngine } from "./assembly.ts";
import type { Container } from "./container.ts";
import type { MountRecord } from "./container-record.ts";
import { deleteContainer, killContainer } from "./control.ts";
import { createFrom } from "./create.ts";
import { ContainerDatabase } from "./database.ts";
import type { EngineDeps } from "./deps.ts";
import { Events } from "./events.ts";
import { startContainer } from "./launch.ts";
import { layerOf } from "./places.ts";
import { ContainerRegistry } from "./registry.ts";
import { attachContainer } from "./streams.ts";

/** A command to run on layers. */
export interface BuildStep {
  /** Chain ids, the lowest first. */
  readonly chain: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly directory: string;
  readonly hostConfig: HostConfig;
  readonly mounts: readonly MountRecord[];
  readonly output: (stream: "stdout" | "stderr", bytes: Uint8Array) => void;
  readonly signal: AbortSignal;
}

/** What a command has changed, as plain data: it is packed by a thread. */
export interface StepChanges {
  readonly comparison: Comparison;
  /** Places that only its mounts needed: they are no change. */
  readonly stubs: readonly string[];
}

/** A command that has ended; its files are there until it is closed. */
export interface EndedStep {
  readonly status: number;
  readonly oomKilled: boolean;
  /** What it has changed. */
  readonly changed: StepChanges;
  close(): Promise<void>;
}

/** Runs the commands of builds. */
export class BuildSteps {
  private readonly deps: EngineDeps;

  constructor(deps: EngineDeps) {
    this.deps = assembleEngine({
      ...deps,
      database: new ContainerDatabase(":memory:"),
      registry: new ContainerRegistry(),
      events: new Events(),
    }).deps;
  }

  /** The containers that there are just now. */
  containers(): ReadonlySet<string> {
    return new Set(this.deps.registry.all().map(({ id }) => id));
  }

  /** Runs a command to its end. Rejects with Faults, and with the signal's reason after its processes have ended. */
  async run(step: BuildStep): Promise<EndedStep> {
    const { deps } = this;
    step.signal.throwIfAborted();
    const container = await this.create(step);
    const close = () => deleteContainer(deps, container, { force: true, volumes: true });
    const stop = () => void killContainer(deps, container, "SIGKILL").catch(() => {});
    step.signal.addEventListener("abort", stop);
    try {
      const stubs = await missingTargets(deps, container);
      const ended = container.wait("next-exit");
      const output = await this.follow(container, step);
      await startContainer(deps, container);
      if (step.signal.aborted) stop();
      const { code } = await ended;
      await output.ended;
      await container.cleaned;
      step.signal.throwIfAborted();
      const { oomKilled } = container.record.state;
      const comparison = deps.driver.comparison(layerOf(container.record));
      return { status: code, oomKilled, changed: { comparison, stubs: [...stubs] }, close };
    } catch (error) {
      await close().catch(() => {});
      throw error;
    } finally {
      step.signal.removeEventListener("abort", stop);
    }
  }

  private async create({ chain, args, env, user, directory, hostConfig, mounts }: BuildStep) {
    const image: ImageRecord = {
      id: "build",
      document: { architecture: "", os: "linux", rootfs: { type: "layers", diff_ids: [] } },
      chain,
      size: 0,
      tags: [],
      digests: [],
      added: 0,
    };
    const config = {
      Image: "build",
      Cmd: [...args],
      Env: [...env],
      User: user,
      WorkingDir: directory,
      AttachStdout: true,
      AttachStderr: true,
    };
    const input = { config, hostConfig, networking: {} };
    const { id } = await createFrom(this.deps, input, image, () => {});
    const container = this.deps.registry.get(id);
    container.record.mounts = mounts;
    return container;
  }

  /** Passes output on. */
  private async follow(
    container: Container,
    step: BuildStep,
  ): Promise<{ readonly ended: Promise<void> }> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const demux = new Demultiplexer((stream, bytes) =>
      step.output(stream === 2 ? "stderr" : "stdout", bytes),
    );
    const choice = { stdin: false, stdout: true, stderr: true };
    await attachContainer(this.deps, container, choice, {
      data: (chunk) => demux.push(chunk),
      end: resolve,
      drain: () => {},
    });
    return { ended: promise };
  }
}

/** Where mounts are put that nothing was at before, and the directories above them that were not there either. */
async function missingTargets(deps: EngineDeps, container: Container): Promise<Set<string>> {
  const { mounts } = container.record;
  const view = deps.driver.view(layerOf(container.record), []);
  const missing = new Set<string>();
  for (const { target } of mounts) {
    // Where it really is: a link on the way leads to another place.
    let at = "";
    for (const name of target.split("/").filter(Boolean)) {
      const found = await view.find(`${at}/${name}`, true);
      found?.close();
      at = found === undefined ? `${at}/${name}` : found.path.replace(/\/$/, "");
      if (found === undefined) missing.add(at.slice(1));
    }
  }
  return missing;
}
