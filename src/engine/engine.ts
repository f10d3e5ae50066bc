/**
 * The engine's door: containers and execs by what a user calls them. Each method finds the container and hands on to the
 * function that does the work.
 */
import { existsSync } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import type { Selection } from "../base/selection.ts";
import { detailsText, type LogEntry, type LogQuery, readLogs } from "../logging/index.ts";
import type { AttachedStream, StreamHandlers } from "../runtime/index.ts";
import type {
  ContainerInspectResponse,
  ContainerStatsResponse,
  ContainerSummary,
  ContainerTopResponse,
  EndpointSettings,
  FilesystemChange,
} from "../spec/engine-api.ts";
import { attributesOf } from "./attributes.ts";
import type { Container, ExitStatus, WaitCondition } from "./container.ts";
import {
  deleteContainer,
  killContainer,
  pauseContainer,
  renameContainer,
  resizeContainer,
  restartContainer,
  type StopOptions,
  stopContainer,
  unpauseContainer,
} from "./control.ts";
import { type CopyInRequest, copyIn } from "./copy-in.ts";
import { copyOut, type PathStat, statPath } from "./copying.ts";
import { type Created, type CreateInput, createContainer } from "./create.ts";
import type { EngineDeps } from "./deps.ts";
import type { ExecConfig, Execs } from "./exec.ts";
import { type CommitRequest, changesIn, commitContainer, exportContainer } from "./filesystem.ts";
import { type ContainerFilters, filterContainers } from "./filters.ts";
import { startContainer } from "./launch.ts";
import { linksShown, namesByLinks, removeLink } from "./links.ts";
import { attributesNow, isReadable } from "./log-copy.ts";
import { connectContainer, disconnectContainer } from "./network-connect.ts";
import { layerOf, logPath, placesOf } from "./places.ts";
import { processesOf } from "./processes.ts";
import { type Pruned, pruneContainers } from "./prune.ts";
import { attachContainer, checkAttachable, type StreamChoice } from "./streams.ts";
import { type Updated, type UpdateInput, updateContainer } from "./update.ts";
import { inspectContainer, summaryOfContainer } from "./views.ts";

/** Which containers to list. */
export interface ListQuery {
  readonly all: boolean;
  /** The newest so many; 0: no bound. */
  readonly limit: number;
  readonly filters: ContainerFilters;
  readonly size: boolean;
}

/** A container's log, with what is needed to show it. */
export interface OpenLog {
  readonly tty: boolean;
  /** What --details shows before a record. */
  details(entry: LogEntry): string;
  readonly entries: AsyncGenerator<LogEntry>;
}

/** Containers. References are names, ids and short ids; all methods throw Faults in Docker's words. */
export class Engine {
  constructor(
    private readonly deps: EngineDeps,
    readonly execs: Execs,
  ) {}

  /** Finds a container. */
  get(reference: string): Container {
    return this.deps.registry.get(reference);
  }

  private timed<T>(action: "changes" | "commit" | "create", work: () => Promise<T>): Promise<T> {
    return this.deps.timings.container.time(action, work);
  }

  create(input: CreateInput): Promise<Created> {
    return this.timed("create", () => createContainer(this.deps, input));
  }

  start(reference: string): Promise<void> {
    return startContainer(this.deps, this.get(reference));
  }

  stop(reference: string, options: StopOptions): Promise<void> {
    return stopContainer(this.deps, this.get(reference), options);
  }

  restart(reference: string, options: StopOptions): Promise<void> {
    return restartContainer(this.deps, this.get(reference), options);
  }

  kill(reference: string, signal: string): Promise<void> {
    return killContainer(this.deps, this.get(reference), signal);
  }

  pause(reference: string): Promise<void> {
    return pauseContainer(this.deps, this.get(reference));
  }

  unpause(reference: string): Promise<void> {
    return unpauseContainer(this.deps, this.get(reference));
  }

  resize(reference: string, rows: number, columns: number): Promise<void> {
    return resizeContainer(this.deps, this.get(reference), rows, columns);
  }

  rename(reference: string, name: string): Promise<void> {
    return renameContainer(this.deps, this.get(reference), name);
  }

  remove(
    reference: string,
    options: { readonly force: boolean; readonly volumes: boolean },
  ): Promise<void> {
    return deleteContainer(this.deps, this.get(reference), options);
  }

  wait(reference: string, condition: WaitCondition, signal: AbortSignal): Promise<ExitStatus> {
    const gone = condition === "next-exit" ? undefined : this.deps.registry.findGone(reference);
    return (gone ?? this.get(reference)).wait(condition, signal);
  }

  attach(
    reference: string,
    choice: StreamChoice,
    handlers: StreamHandlers,
  ): Promise<AttachedStream> {
    return attachContainer(this.deps, this.get(reference), choice, handlers);
  }

  /** Throws Faults "conflict" for a container that cannot be attached to as it is. */
  checkAttachable(reference: string): void {
    checkAttachable(this.deps, this.get(reference), reference);
  }

  /** Tells that a client has left by its detach keys. */
  detached(reference: string): void {
    const { id, record } = this.get(reference);
    this.deps.events.emit("container", "detach", id, attributesOf(record));
  }

  update(reference: string, input: UpdateInput): Promise<Updated> {
    return updateContainer(this.deps, this.get(reference), input);
  }

  top(reference: string, psArguments: string): Promise<ContainerTopResponse> {
    return processesOf(this.deps, this.get(reference), psArguments);
  }

  /** One sample of what a container uses; with `compared` it says how busy the processors were, which may take a moment. */
  async stats(reference: string, compared: boolean): Promise<ContainerStatsResponse> {
    const { sampler } = this.deps;
    const container = this.get(reference);
    return compared ? sampler.compared(container) : sampler.once(container);
  }

  /** A sample a second. */
  statsStream(reference: string, signal: AbortSignal): AsyncGenerator<ContainerStatsResponse> {
    return this.deps.sampler.follow(this.get(reference), signal);
  }

  changes(reference: string): Promise<FilesystemChange[]> {
    return this.timed("changes", () => changesIn(this.deps, this.get(reference)));
  }

  export(reference: string): ByteStream {
    return exportContainer(this.deps, this.get(reference));
  }

  commit(reference: string, request: CommitRequest): Promise<string> {
    return this.timed("commit", () => commitContainer(this.deps, this.get(reference), request));
  }

  statPath(reference: string, path: string): Promise<PathStat> {
    return statPath(this.deps, this.get(reference), path, reference);
  }

  copyOut(reference: string, path: string): Promise<{ stat: PathStat; archive: ByteStream }> {
    return copyOut(this.deps, this.get(reference), path, reference);
  }

  copyIn(
    reference: string,
    request: Omit<CopyInRequest, "asked">,
    archive: ByteStream,
  ): Promise<void> {
    return copyIn(this.deps, this.get(reference), { ...request, asked: reference }, archive);
  }

  removeLink(reference: string): void {
    removeLink(this.deps, reference);
  }

  /** Puts a container on a network. */
  connect(reference: string, network: string, settings: EndpointSettings): Promise<void> {
    return connectContainer(this.deps, this.get(reference), network, settings);
  }

  /** Takes a container off a network. */
  disconnect(reference: string, network: string, force: boolean): Promise<void> {
    return disconnectContainer(this.deps, this.get(reference), network, force);
  }

  prune(selection: Selection, dryRun = false): Promise<Pruned> {
    return pruneContainers(this.deps, selection, dryRun);
  }

  createExec(reference: string, config: ExecConfig): string {
    return this.execs.create(this.get(reference), config, reference);
  }

  /** Opens a container's log. */
  logs(reference: string, query: LogQuery, signal: AbortSignal): OpenLog {
    const container = this.get(reference);
    const { settings } = this.deps;
    if (!isReadable(container.record))
      throw fault(
        "unsupported",
        "log-not-readable",
        "configured logging driver does not support reading",
      );
    const path = logPath(settings, container.record);
    const life = {
      running: () => container.running && !container.removed,
      exited: (left: AbortSignal) => container.wait("next-exit", left),
    };
    const entries =
      existsSync(path) || query.follow
        ? readLogs(path, query, life, signal)
        : (async function* () {})();
    const { record } = container;
    // Records that carry none are of another driver, or older than that json-files have them.
    const now = detailsText(attributesNow(record));
    const details = ({ attributes }: LogEntry) =>
      attributes === undefined ? now : detailsText(attributes);
    return { tty: record.config.Tty === true, details, entries };
  }

  inspect(reference: string, size: boolean): ContainerInspectResponse {
    const container = this.get(reference);
    const { settings, driver, registry } = this.deps;
    const filesOf = registry.networkHolder(container.record)?.id ?? container.id;
    const graph = { Name: driver.name, Data: placesOf(driver, container.record) };
    const found = inspectContainer(container, settings, graph, filesOf);
    const Links = linksShown(this.deps.registry, container.record);
    const shown = { ...found, HostConfig: { ...found.HostConfig, Links } };
    return size ? { ...shown, ...this.sizeOf(container) } : shown;
  }

  list(query: ListQuery): ContainerSummary[] {
    const { registry, images } = this.deps;
    const imageOf = (name: string) => {
      try {
        return images.resolve(name).id;
      } catch {
        return undefined;
      }
    };
    const byState = "status" in query.filters || "exited" in query.filters;
    const found = filterContainers(
      registry.all(),
      query.filters,
      (reference) => registry.get(reference),
      imageOf,
    )
      .filter((container) => query.all || byState || query.limit > 0 || container.alive)
      .sort((a, b) => (a.record.created < b.record.created ? 1 : -1));
    const shown = query.limit > 0 ? found.slice(0, query.limit) : found;
    const otherNames = namesByLinks(registry);
    return shown.map((container) => {
      const summary = summaryOfContainer(container, otherNames.get(container.id) ?? []);
      return query.size ? { ...summary, ...this.sizeOf(container) } : summary;
    });
  }

  /** How many containers there are in each state. */
  counts(): { total: number; running: number; paused: number; stopped: number } {
    const all = this.deps.registry.all();
    const paused = all.filter(({ record }) => record.state.status === "paused").length;
    const running = all.filter(({ record }) => record.state.status === "running").length;
    return { total: all.length, running, paused, stopped: all.length - running - paused };
  }

  private sizeOf(container: Container): { SizeRw: number; SizeRootFs: number } {
    const { record } = container;
    const { bytes } = this.deps.driver.usage(layerOf(record));
    const image =
      this.deps.images.list().find((candidate) => candidate.id === record.image)?.size ?? 0;
    return { SizeRw: bytes, SizeRootFs: bytes + image };
  }
}
