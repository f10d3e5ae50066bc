/**
 * Signals to a running container: stop, kill, restart, pause, resize; and removal and renaming.
 */
import { constants } from "node:os";
import { Fault, fault } from "../base/errors.ts";
import { after } from "../base/timers.ts";
import { signalNumber } from "../spec/signals.ts";
import { attributesOf } from "./attributes.ts";
import { type Container, notRunning } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { removeContainer } from "./ending.ts";
import { watchFrozen } from "./frozen.ts";
import { startContainer } from "./launch.ts";
import { checkName } from "./names.ts";
import { cgroupPath } from "./places.ts";
import { checkRoom } from "./room.ts";

const SIGKILL = constants.signals.SIGKILL;
const DEFAULT_TIMEOUT_S = 10;
/** A process in an uninterruptible wait may take its time even after SIGKILL. */
const KILL_PATIENCE_MS = 10_000;
const KILL_SLICE_MS = 100;

async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const inTime = after(ms, () => late.resolve(undefined));
  const first = await Promise.race([promise, late.promise]);
  inTime();
  return first;
}

/** Throws a Fault "conflict" for a container between two runs. */
export function checkNotRestarting(container: Container): void {
  if (container.restarting)
    throw fault(
      "conflict",
      "restarting",
      `Container ${container.id} is restarting, wait until the container is running`,
    );
}

/** Waits for the end after SIGKILL. Whoever pauses it now holds it up no longer. */
async function awaitKilled(
  deps: EngineDeps,
  container: Container,
  gone: Promise<unknown>,
): Promise<boolean> {
  for (let waited = 0; waited < KILL_PATIENCE_MS; waited += KILL_SLICE_MS) {
    deps.cgroups.thaw(cgroupPath(deps.settings, container.record));
    if ((await within(gone, KILL_SLICE_MS)) !== undefined) return true;
  }
  return false;
}

async function send(container: Container, signal: number): Promise<void> {
  const errno = (await container.shim?.signal(0, signal)) ?? 3;
  if (errno !== 0 && errno !== 3)
    throw fault(
      "failed",
      "signal",
      `cannot send signal ${signal} to container ${container.id}: errno ${errno}`,
    );
}

/** Options of stop and restart. */
export interface StopOptions {
  readonly signal?: string | undefined;
  /** Seconds before SIGKILL; negative: for ever. */
  readonly timeout?: number | undefined;
}

/** Sends the stop signal; gives what resolves at the end. Undefined: there was only a start to call off. */
async function askToStop(
  deps: EngineDeps,
  container: Container,
  signal: number,
): Promise<{ readonly gone: Promise<unknown> } | undefined> {
  if (container.restarting) {
    callOff(deps, container);
    deps.events.emit("container", "stop", container.id, attributesOf(container.record));
    return undefined;
  }
  if (!container.running) throw fault("not-modified", "already-stopped", "");
  container.stopping = true;
  container.record.stoppedByUser = true;
  deps.database.save(container.record);
  const gone = container.wait("next-exit");
  await kill(deps, container, signal, true);
  // In an object: the end itself is not to be waited for here.
  return { gone };
}

async function finishStop(
  deps: EngineDeps,
  container: Container,
  gone: Promise<unknown>,
  seconds: number,
): Promise<void> {
  const patience = seconds < 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
  if ((await within(gone, patience)) === undefined) {
    await kill(deps, container, SIGKILL, true);
    if (!(await awaitKilled(deps, container, gone)))
      throw fault(
        "failed",
        "stop",
        `container ${container.id} did not end after SIGKILL: a process of it hangs in the kernel`,
      );
  }
  await container.cleaned;
  deps.events.emit("container", "stop", container.id, attributesOf(container.record));
}

/** Ends the wait for the next start. */
function callOff(deps: EngineDeps, container: Container): void {
  deps.restarts.cancel(container);
  container.record.state.status = "exited";
  container.record.stoppedByUser = true;
  container.tellExit();
  deps.database.save(container.record);
}

/** Stops a container: its stop signal, and SIGKILL after the time-out. "not-modified" when it does not run. */
export async function stopContainer(
  deps: EngineDeps,
  container: Container,
  options: StopOptions,
): Promise<void> {
  const { config } = container.record;
  const signal = signalNumber(options.signal || config.StopSignal || "SIGTERM");
  // Only the signal has its turn: whoever has less patience need not wait for who has more.
  const asked = await container.exclusively(() => askToStop(deps, container, signal));
  const seconds = options.timeout ?? config.StopTimeout ?? DEFAULT_TIMEOUT_S;
  if (asked !== undefined) await finishStop(deps, container, asked.gone, seconds);
}

/** That a thing is already as it is wanted is fine. */
async function atAnyRate(work: Promise<void>): Promise<void> {
  await work.catch((error) => {
    if (!(error instanceof Fault && error.kind === "not-modified")) throw error;
  });
}

/** Stops (if it runs) and starts; a container with --rm is not removed in between. */
export async function restartContainer(
  deps: EngineDeps,
  container: Container,
  options: StopOptions,
): Promise<void> {
  container.restartsUnderWay++;
  try {
    if (container.running) checkRoom(deps, container);
    if (container.alive) await atAnyRate(stopContainer(deps, container, options));
    await atAnyRate(startContainer(deps, container));
  } catch (error) {
    throw cannotRestart(container, error);
  } finally {
    container.restartsUnderWay--;
  }
  deps.events.emit("container", "restart", container.id, attributesOf(container.record));
}

/** As Docker says it: of a start that has failed in a restart. */
function cannotRestart({ record: { name } }: Container, error: unknown): unknown {
  if (!(error instanceof Fault)) return error;
  const message = `Cannot restart container ${name}: ${error.message}`;
  return new Fault(error.kind, error.code, message, error);
}

/** Sends a signal; SIGKILL waits for the end. Throws a Fault "conflict" when the container does not run. */
export async function killContainer(
  deps: EngineDeps,
  container: Container,
  signalText: string,
): Promise<void> {
  const signal = signalNumber(signalText || "SIGKILL");
  if (container.restarting) return callOff(deps, container);
  if (!container.running) throw notRunning(container);
  // A signal that means the end is the user's wish; no restart policy works against it.
  if (
    signal === SIGKILL ||
    signal === signalNumber(container.record.config.StopSignal || "SIGTERM")
  )
    container.stopping = true;
  container.record.stoppedByUser = true;
  deps.database.save(container.record);
  const gone = container.wait("next-exit");
  const { StopSignal } = container.record.config;
  const ends = !StopSignal || signal === SIGKILL || signal === signalNumber(StopSignal);
  await kill(deps, container, signal, ends);
  if (signal === SIGKILL) await awaitKilled(deps, container, gone);
}

/** SIGKILL that nobody has asked for: the restart policy counts the end as the container's own. */
export async function endUnasked(container: Container): Promise<void> {
  if (container.running) await send(container, SIGKILL);
}

/** Freezes every process. */
export async function pauseContainer(deps: EngineDeps, container: Container): Promise<void> {
  checkNotRestarting(container);
  if (!container.running) throw notRunning(container);
  if (container.record.state.status === "paused")
    throw fault("conflict", "paused", `Container ${container.id} is already paused`);
  deps.cgroups.freeze(cgroupPath(deps.settings, container.record));
  deps.health.end(container);
  container.record.state.status = "paused";
  watchFrozen(deps, container);
  deps.database.save(container.record);
  deps.events.emit("container", "pause", container.id, attributesOf(container.record));
}

/**
 * Sends a signal and tells of it; the order is told before what follows from it. `ends`: it is meant to end the container,
 * so that nothing may hold its processes still any longer.
 */
async function kill(
  deps: EngineDeps,
  container: Container,
  signal: number,
  ends: boolean,
): Promise<void> {
  const { record } = container;
  const more = { signal: String(signal) };
  deps.events.emit("container", "kill", container.id, attributesOf(record, more));
  await send(container, signal);
  if (!ends || !container.running) return;
  if (record.state.status === "paused" && signal !== SIGKILL) unpauseNow(deps, container);
  else deps.cgroups.thaw(cgroupPath(deps.settings, record));
}

function unpauseNow(deps: EngineDeps, container: Container): void {
  deps.cgroups.thaw(cgroupPath(deps.settings, container.record));
  container.record.state.status = "running";
  deps.health.begin(container, false);
  deps.database.save(container.record);
  deps.events.emit("container", "unpause", container.id, attributesOf(container.record));
}

/** Lets the processes go on. */
export async function unpauseContainer(deps: EngineDeps, container: Container): Promise<void> {
  if (container.record.state.status !== "paused")
    throw fault("conflict", "not-paused", `Container ${container.id} is not paused`);
  unpauseNow(deps, container);
}

/** Sets the terminal's size. */
export async function resizeContainer(
  deps: EngineDeps,
  container: Container,
  rows: number,
  columns: number,
): Promise<void> {
  if (!container.running) throw notRunning(container);
  // Without a terminal there is nothing to size, and that is fine.
  const errno = (await container.shim?.resize(0, rows, columns)) ?? 3;
  if (errno !== 0 && container.record.config.Tty === true)
    throw fault("invalid", "no-terminal", `container ${container.id} has lost its terminal`);
  const size = { height: String(rows), width: String(columns) };
  deps.events.emit("container", "resize", container.id, attributesOf(container.record, size));
}

/** The name, checked. Throws Faults that say what for it was wanted. */
function allocated(deps: EngineDeps, wanted: string): string {
  try {
    const name = checkName(wanted.startsWith("/") ? wanted : `/${wanted}`);
    deps.registry.checkFree(name);
    return name;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(
      error.kind,
      error.code,
      `Error when allocating new name: ${error.message}`,
      error,
    );
  }
}

/** Gives a container another name. */
export async function renameContainer(
  deps: EngineDeps,
  container: Container,
  newName: string,
): Promise<void> {
  if (newName === "")
    throw fault("invalid", "container-name", "Neither old nor new names may be empty");
  const oldName = container.record.name;
  if (newName.replace(/^\//, "") === oldName)
    throw fault(
      "invalid",
      "same-name",
      "Renaming a container with the same name as its current name",
    );
  const name = allocated(deps, newName);
  deps.registry.rename(container, name);
  deps.names.changed();
  try {
    deps.database.insist(container.record);
  } catch (error) {
    deps.registry.rename(container, oldName);
    deps.names.changed();
    throw error;
  }
  deps.events.emit(
    "container",
    "rename",
    container.id,
    attributesOf(container.record, { oldName: `/${oldName}` }),
  );
}

/** Makes sure that a container does not run, before it is removed. */
async function endForRemoval(
  deps: EngineDeps,
  container: Container,
  force: boolean,
): Promise<void> {
  if (container.restarting && force) callOff(deps, container);
  if (!container.alive) return;
  const { name, state } = container.record;
  if (!force) {
    const how =
      state.status === "paused"
        ? "container is paused and must be unpaused first"
        : `container is ${state.status}: stop the container before removing or force remove`;
    throw fault("conflict", "remove-running", `cannot remove container "/${name}": ${how}`);
  }
  await killContainer(deps, container, "SIGKILL").catch((error) => {
    if (container.running) throw error;
  });
}

/** Removes a container; with `force` a running one is killed first, with `volumes` its anonymous volumes go too. */
export async function deleteContainer(
  deps: EngineDeps,
  container: Container,
  options: { readonly force: boolean; readonly volumes: boolean },
): Promise<void> {
  // At once, and not in its turn: a stop that takes its time is cut short.
  await endForRemoval(deps, container, options.force);
  await container.exclusively(async () => {
    // A container with --rm has removed itself by now.
    if (container.removed) return;
    // A start may have had its turn before.
    await endForRemoval(deps, container, options.force);
    if (container.running)
      throw fault(
        "failed",
        "stop",
        `container ${container.id} did not end after SIGKILL: a process of it hangs in the kernel`,
      );
    await container.cleaned;
    if (!container.removed) await removeContainer(deps, container, options);
  });
}
