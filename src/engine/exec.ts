/**
 * Further processes in a running container.
 */
import { errnoText } from "../base/errno-text.ts";
import { fault } from "../base/errors.ts";
import {
  type AttachedStream,
  execInShim,
  LaunchFailure,
  resolveSeccomp,
  type StreamHandlers,
  seccompFlags,
  toExecPlan,
} from "../runtime/index.ts";
import type { ResolvedUser } from "../spec/users.ts";
import { planOps, wireConstants } from "../spec/wire.ts";
import { encodeRecords } from "../spec/wire-codec.ts";
import { attributesOf } from "./attributes.ts";
import { type Container, endedMeanwhile, notRunning } from "./container.ts";
import { checkNotRestarting } from "./control.ts";
import type { EngineDeps } from "./deps.ts";
import { userInRunning } from "./host.ts";
import { compiledFilter, profileOf, reasonFor } from "./launch.ts";
import { linkEnvironment } from "./links.ts";
import { newId } from "./names.ts";
import { environmentOf, processOf } from "./oci.ts";
import { cgroupPath, shimSocket } from "./places.ts";
import { labelRefusal } from "./security-labels.ts";
import { type StreamChoice, streamMask } from "./streams.ts";
import { mappedUid } from "./user-namespaces.ts";

/** What to run. */
export interface ExecConfig {
  readonly args: readonly string[];
  readonly tty: boolean;
  readonly streams: StreamChoice;
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDirectory: string;
  readonly privileged: boolean;
  readonly detachKeys: string;
  /** Rows and columns of its terminal, where the start says none. */
  readonly consoleSize?: readonly number[] | undefined;
}

/** An exec as inspect shows it. */
export interface ExecState {
  readonly id: string;
  readonly container: Container;
  readonly config: ExecConfig;
  /** The shim's number for it. */
  readonly number: number;
  running: boolean;
  started: boolean;
  /** Its start has not been told yet; an end waits in `earlyExit` until it has. */
  beginning: boolean;
  earlyExit: number | undefined;
  pid: number;
  exitCode: number | undefined;
  /** Resolves once its start has been told of, or refused. */
  readonly begun: Promise<void>;
  readonly tellBegun: () => void;
  /** Resolves with the exit code. */
  readonly exited: Promise<number>;
  readonly tellExit: (status: number) => void;
  /** Its user, looked up when it was created: most are started at once, and then need not wait for it. */
  readonly user: Promise<ResolvedUser>;
  /** When that was asked for, as performance.now() has it. */
  readonly userAskedAt: number;
}

/** How long the end of an exec's output waits for its exit; what closes its output may live on. */
const EXIT_MS = 1000;
/** How long what was looked up at the creation counts at the start. */
const LOOKED_UP_MS = 100;
/** How long an exec that has ended can be inspected. */
const REMEMBERED_MS = 300_000;
/** The statuses of shells for a command that cannot be run, and for one that is not there. */
const CANNOT_RUN = 126;
const NOT_FOUND = 127;
const EACCES = 13;
const EINVAL = 22;
const SIGKILL = 9;
/** The status of what SIGKILL has ended. */
const KILLED = 137;

/** The execs of this daemon's life. */
export class Execs {
  private readonly byId = new Map<string, ExecState>();
  /** Those that have not ended, by their numbers with shims. */
  private readonly byNumber = new Map<number, ExecState>();
  /** Begins anywhere: execs of earlier daemons may live on, and are not to be taken for others. */
  private counter = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

  constructor(private readonly deps: EngineDeps) {}

  /** Throws a Fault "not-found" in Docker's words. */
  get(id: string): ExecState {
    const found = this.byId.get(id);
    if (found !== undefined && !found.container.removed) return found;
    this.byId.delete(id);
    throw fault("not-found", "no-such-exec", `No such exec instance: ${id}`);
  }

  /** Notes an exec; nothing runs yet. `asked`: the container as the user has called it. Throws Faults when the container does not run or the command is empty. */
  create(container: Container, config: ExecConfig, asked = container.id): string {
    checkNotRestarting(container);
    if (!container.running)
      throw fault("conflict", "not-running", `container ${container.id} is not running`);
    if (container.record.state.status === "paused")
      throw fault(
        "conflict",
        "paused",
        `Container ${asked} is paused, unpause the container before exec`,
      );
    if (this.deps.settings.runtimes.has(container.record.hostConfig.Runtime ?? ""))
      throw fault(
        "unsupported",
        "runtime-exec",
        `exec is not supported in a container under ${container.record.hostConfig.Runtime}`,
      );
    if (config.args.length === 0) throw fault("invalid", "no-command", "No exec command specified");
    for (const text of [...config.args, ...config.env, config.user, config.workingDirectory])
      if (text.includes("\0"))
        throw fault("invalid", "nul-byte", "an argument, variable or path has a NUL byte");
    const id = newId();
    this.counter = this.counter >= 0xffffffff ? 1 : this.counter + 1;
    const { promise: exited, resolve: tellExit } = Promise.withResolvers<number>();
    const { promise: begun, resolve: tellBegun } = Promise.withResolvers<void>();
    const user = this.lookUpUser(container, config);
    // Whoever starts it hears of what is wrong.
    user.catch(() => {});
    const exec: ExecState = {
      id,
      user,
      userAskedAt: performance.now(),
      begun,
      tellBegun,
      exited,
      tellExit,
      container,
      config,
      number: this.counter,
      running: false,
      started: false,
      beginning: false,
      earlyExit: undefined,
      pid: 0,
      exitCode: undefined,
    };
    this.byId.set(id, exec);
    this.byNumber.set(exec.number, exec);
    container.execs.add(id);
    container.execExited = (number, status) => {
      const found = this.byNumber.get(number);
      if (found !== undefined) this.ended(found, status);
    };
    container.endExecs = () => this.abandon(container);
    this.deps.events.emit(
      "container",
      eventOf("exec_create", config),
      container.id,
      attributesOf(container.record, { execID: id }),
    );
    return id;
  }

  /** Throws a Fault "conflict" in Docker's words for one that has been started. */
  checkFresh({ id, started, running }: ExecState): void {
    const how = running ? "is already running" : "has already run";
    if (started) throw fault("conflict", "exec-started", `Error: Exec command ${id} ${how}`);
  }

  /** Runs it. `handlers` get its output; with detach they are ignored by the caller. */
  async start(
    exec: ExecState,
    size: readonly number[] | undefined,
    handlers: StreamHandlers,
  ): Promise<AttachedStream> {
    const { container, config } = exec;
    this.checkFresh(exec);
    if (!container.running) throw notRunning(container);
    exec.started = true;
    try {
      const plan = this.plan(exec, size);
      exec.running = true;
      exec.beginning = true;
      const socket = shimSocket(this.deps.settings, container.id);
      const started = await execInShim(socket, exec.number, streamMask(config.streams), plan, {
        ...handlers,
        // Whoever has seen the end of the output asks for the exit code next: it is known by then.
        end: () => afterExit(exec, handlers.end),
      });
      exec.pid = started.pid;
      this.deps.events.emit(
        "container",
        eventOf("exec_start", config),
        container.id,
        attributesOf(container.record, { execID: exec.id }),
      );
      exec.beginning = false;
      if (exec.earlyExit !== undefined) this.ended(exec, exec.earlyExit);
      return started.stream;
    } catch (error) {
      exec.running = false;
      exec.beginning = false;
      exec.exitCode = CANNOT_RUN;
      this.forget(exec);
      if (!(error instanceof LaunchFailure))
        throw endedMeanwhile(container, error, shimSocket(this.deps.settings, container.id));
      if (error.op === "exec" && error.error !== EACCES) exec.exitCode = NOT_FOUND;
      throw explainExec(error, await reasonFor(this.deps, container, error));
    } finally {
      exec.tellBegun();
    }
  }

  private lookUpUser(container: Container, config: ExecConfig): Promise<ResolvedUser> {
    return userInRunning(this.deps, container, config.user || container.record.config.User || "");
  }

  private async plan(exec: ExecState, size: readonly number[] | undefined): Promise<Uint8Array> {
    const { deps } = this;
    const { container, config } = exec;
    const { record } = container;
    const fresh = performance.now() - exec.userAskedAt < LOOKED_UP_MS;
    const user = await (fresh ? exec.user : this.lookUpUser(container, config));
    const env = environmentOf(
      { ...record.config, Env: [...(record.config.Env ?? []), ...config.env] },
      record.config.Hostname ?? "",
      user.home,
      config.tty,
      linkEnvironment(deps, record),
    );
    const cwd = config.workingDirectory || record.config.WorkingDir || "/";
    const process = processOf(record, user, deps.features, {
      args: config.args,
      tty: config.tty,
      env,
      cwd,
      privileged: config.privileged,
      noNewPrivileges: deps.settings.noNewPrivileges,
      size: size ?? config.consoleSize,
    });
    const profile = config.privileged ? undefined : profileOf(record.hostConfig);
    const seccomp =
      profile &&
      resolveSeccomp(profile, new Set(process.capabilities.bounding), deps.features.seccomp);
    const filter = seccomp && (await compiledFilter(deps, seccomp));
    const ops = toExecPlan(process, {
      cgroupJoinFiles: deps.cgroups.joinFiles(cgroupPath(deps.settings, record)),
      ...(filter === undefined ? {} : { seccompFilter: filter }),
      seccompFlags: seccompFlags(seccomp),
      stdin: config.streams.stdin,
      mappedUid: mappedUid(record, user.uid),
    });
    return encodeRecords(planOps, ...ops);
  }

  private ended(exec: ExecState, status: number): void {
    if (exec.beginning) {
      exec.earlyExit = status;
      return;
    }
    const { container } = exec;
    exec.running = false;
    exec.exitCode = status;
    exec.tellExit(status);
    this.forget(exec);
    if (status === KILLED) this.tellOom(container);
    this.deps.events.emit(
      "container",
      "exec_die",
      container.id,
      attributesOf(container.record, { execID: exec.id, exitCode: String(status) }),
    );
  }

  /** What has been killed may have been so for want of memory. */
  private tellOom(container: Container): void {
    const { record } = container;
    const kills = this.deps.cgroups.oomKills(cgroupPath(this.deps.settings, record));
    if (kills > container.oomKills)
      this.deps.events.emit("container", "oom", record.id, attributesOf(record));
    container.oomKills = Math.max(kills, container.oomKills);
  }

  /** It is no more; inspect may still ask for its status, but not for ever. */
  private forget({ id, number, container }: ExecState): void {
    container.execs.delete(id);
    this.byNumber.delete(number);
    setTimeout(() => this.byId.delete(id), REMEMBERED_MS).unref();
  }

  /** What runs in a container ends with it, and what has not begun does not begin. */
  private abandon(container: Container): void {
    for (const id of container.execs) {
      const exec = this.byId.get(id);
      if (exec?.running) this.ended(exec, KILLED);
      else if (exec !== undefined && !exec.started) {
        this.forget(exec);
        this.byId.delete(id);
      }
    }
  }

  /** Ends an exec that takes too long, with everything that it has started in its process group. */
  async kill({ container, number }: ExecState): Promise<void> {
    const errno = await container.shim?.signal(number, SIGKILL | wireConstants.SIGNAL_GROUP);
    // The shim of an older berth knows no groups.
    if (errno === EINVAL) await container.shim?.signal(number, SIGKILL);
  }

  /** Tells that a client has left it by its detach keys. */
  detached({ id, container }: ExecState): void {
    this.deps.events.emit(
      "container",
      "exec_detach",
      container.id,
      attributesOf(container.record, { execID: id }),
    );
  }

  /** Sets its terminal's size. */
  async resize(exec: ExecState, rows: number, columns: number): Promise<void> {
    // A client that has got the head of the start's answer may be faster than the start itself.
    if (exec.started) await exec.begun;
    const errno = (await exec.container.shim?.resize(exec.number, rows, columns)) ?? 3;
    if (errno !== 0 && (exec.config.tty || !exec.running))
      throw fault("invalid", "no-terminal", `exec ${exec.id} has no terminal or does not run`);
  }
}

/** Calls back when the exec's exit is known, or has not become known for a while. */
function afterExit(exec: ExecState, then: () => void): void {
  if (exec.exitCode !== undefined) then();
  else void Promise.race([exec.exited, Bun.sleep(EXIT_MS)]).then(then);
}

/** The event with the command, as dockerd writes it: of a lone word a blank follows. */
function eventOf(action: string, { args: [entrypoint = "", ...args] }: ExecConfig): string {
  return `${action}: ${entrypoint} ${args.join(" ")}`;
}

function explainExec(error: LaunchFailure, reason: string): Error {
  const prefix = "OCI runtime exec failed: exec failed: unable to start container process: ";
  const quoted = JSON.stringify(error.detail);
  if (error.op === "workdir") {
    const path = JSON.stringify(error.detail.slice(error.detail.indexOf("/")));
    const why = `chdir to cwd (${path}) set in config.json failed: ${errnoText(error.error)}`;
    return fault("invalid", "exec-setup", prefix + why, error);
  }
  if (error.op === "label")
    return fault("failed", "exec-setup", prefix + labelRefusal(error.detail, error.error), error);
  if (error.op !== "exec")
    return fault(
      "invalid",
      "exec-setup",
      `${prefix}${error.op}: ${error.detail} (errno ${error.error})`,
      error,
    );
  if (error.error === 2 && !error.detail.includes("/"))
    return fault(
      "invalid",
      "exec-command",
      `${prefix}exec: ${quoted}: executable file not found in $PATH`,
      error,
    );
  if (error.error === 2)
    return fault(
      "invalid",
      "exec-command",
      `${prefix}exec: ${quoted}: stat ${error.detail}: no such file or directory`,
      error,
    );
  if (error.error === 13)
    return fault(
      "invalid",
      "exec-command",
      `${prefix}exec: ${quoted}: permission denied${reason}`,
      error,
    );
  return fault(
    "invalid",
    "exec-command",
    `${prefix}exec: ${quoted}: exec format error${reason}: no such file or directory`,
    error,
  );
}
