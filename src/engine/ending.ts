/**
 * The end of a container: its exit, the release of what it held, its removal.
 */
import { rmSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { announceRelease } from "./announce.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import type { ExitRecord } from "./exit-record.ts";
import { recordsLost } from "./log-losses.ts";
import { volumesOf } from "./mounts.ts";
import { detach } from "./networking.ts";
import { configuredOf } from "./pending.ts";
import { cgroupPath, runDirectory } from "./places.ts";
import { noSuchContainer } from "./registry.ts";
import { policyHolds } from "./restarts.ts";
import { releaseLevel } from "./security-labels.ts";
import { releaseVolumes } from "./volume-mounts.ts";

const CGROUP_TRIES = 200;

/** Removes a cgroup; processes that are still dying hold it for a moment, those that should not be there are killed. */
async function releaseCgroup(deps: EngineDeps, path: string): Promise<void> {
  for (let tries = 0; tries < CGROUP_TRIES; tries++) {
    if (deps.cgroups.remove(path)) return;
    deps.cgroups.kill(path);
    await Bun.sleep(tries < 20 ? 1 : 25);
  }
  log.warn("a cgroup cannot be removed; the next start of the daemon tries again", { path });
}

async function releaseNetwork(deps: EngineDeps, record: ContainerRecord): Promise<void> {
  if (record.endpoint !== undefined)
    await deps.timings.network.time("release", () => detach(deps, record));
  record.changing = undefined;
  deps.names.changed();
}

/** Takes away what only this host sees of a container: its cgroup and the shim's directory. */
async function releaseHost(deps: EngineDeps, record: ContainerRecord): Promise<void> {
  await releaseCgroup(deps, cgroupPath(deps.settings, record));
  rmSync(runDirectory(deps.settings, record.id), { recursive: true, force: true });
}

/** Gives back everything that a run holds: network, cgroup, the shim's directory. Fine when they are gone. */
export async function releaseResources(deps: EngineDeps, { record }: Container): Promise<void> {
  await Promise.all([
    releaseNetwork(deps, record),
    releaseHost(deps, record),
    releaseVolumes(deps, record),
  ]);
}

/** Notes that a container runs from now on. */
export function markStarted(record: ContainerRecord): void {
  const startedAt = new Date().toISOString();
  const anew = { error: "", exitCode: 0, oomKilled: false };
  Object.assign(record.state, anew, { status: "running", startedAt });
  record.hasBeenStarted = true;
  record.stoppedByUser = false;
}

/** A start or a take-over has been told: an end that was heard of meanwhile has its consequences now. */
export function endBeginning(deps: EngineDeps, container: Container): void {
  container.beginning = false;
  const { earlyExit } = container;
  if (earlyExit !== undefined) containerEnded(deps, container, earlyExit);
}

/** The end of a run, or the start of the next: what was changed meanwhile holds from now on. */
export function applyPending(deps: EngineDeps, record: ContainerRecord): void {
  if (record.pending === undefined) return;
  Object.assign(record, configuredOf(record), { pending: undefined });
  deps.database.save(record);
  releaseOtherVolumes(deps, record);
}

/** Lets go of volumes that the record does not name. What cannot be written now is found at the next start. */
export function releaseOtherVolumes(deps: EngineDeps, record: ContainerRecord): void {
  try {
    deps.volumes.retain(record.id, volumesOf(record));
  } catch (error) {
    log.warn("release volumes of a container", { id: record.id, error: messageOf(error) });
  }
}

/** What follows from the end of a container's process. Its waiters are told at once; the rest is done after. */
export function containerEnded(deps: EngineDeps, container: Container, exit: ExitRecord): void {
  const { record } = container;
  if (container.beginning || !container.running) {
    container.earlyExit = exit;
    return;
  }
  container.earlyExit = undefined;
  container.shim = undefined;
  if (exit.lost !== undefined) recordsLost(deps, container, exit.lost, true);
  deps.health.end(container);
  container.endExecs?.();
  Object.assign(record.state, {
    status: "exited",
    pid: 0,
    exitCode: exit.status,
    oomKilled: exit.oomKills > 0,
    finishedAt: new Date(exit.finished).toISOString(),
  });
  deps.database.save(record);
  if (exit.oomKills > container.oomKills)
    deps.events.emit("container", "oom", record.id, attributesOf(record));
  const execDuration = String(
    Math.max(0, Math.floor((exit.finished - Date.parse(record.state.startedAt)) / 1000)),
  );
  deps.events.emit(
    "container",
    "die",
    record.id,
    attributesOf(record, { execDuration, exitCode: String(exit.status) }),
  );
  container.cleaned = deps.registry.track(afterExit(deps, container));
  container.tellExit();
  deps.compression.look(container);
  const ranMs = exit.finished - Date.parse(record.state.startedAt);
  if (!container.stopping && policyHolds(record, record.stoppedByUser === true))
    restartLater(deps, container, ranMs);
}

function restartLater(deps: EngineDeps, container: Container, ranMs: number): void {
  container.record.state.status = "restarting";
  container.record.restartCount++;
  deps.database.save(container.record);
  deps.restarts.schedule(container, ranMs);
}

async function afterExit(deps: EngineDeps, container: Container): Promise<void> {
  try {
    if (container.record.hostConfig.AutoRemove && container.restartsUnderWay === 0) {
      try {
        await releaseNetwork(deps, container.record);
        await releaseVolumes(deps, container.record);
        announceRelease(deps, container.record);
        await removeContainer(deps, container, { volumes: true });
      } finally {
        // Whoever waits for the removal is answered before what nobody asks for is taken away.
        await Bun.sleep(0);
        await releaseHost(deps, container.record);
      }
    } else {
      await releaseResources(deps, container);
      announceRelease(deps, container.record);
      applyPending(deps, container.record);
      deps.database.save(container.record);
    }
  } catch (error) {
    log.error("clean up after a container", { id: container.id, error });
  }
}

/** What cannot be written now is found at the next start: a use by a container that is no more. */
function forgetVolumes(deps: EngineDeps, id: string): string[] {
  try {
    return deps.volumes.releaseAll(id);
  } catch (error) {
    log.warn("release the volumes of a container", { id, error: messageOf(error) });
    return [];
  }
}

/** Removes a container that does not run: its name is free and its files are gone when this resolves. */
export function removeContainer(
  deps: EngineDeps,
  container: Container,
  options: { readonly volumes: boolean },
): Promise<void> {
  return deps.timings.container.time("delete", () => removeNow(deps, container, options));
}

async function removeNow(
  deps: EngineDeps,
  container: Container,
  options: { readonly volumes: boolean },
): Promise<void> {
  if (container.removed) throw noSuchContainer(container.id);
  const { record } = container;
  const { status } = record.state;
  record.state.status = "removing";
  await deps.forwarding.drain(record.id);
  try {
    // A record without its directory is what a removal has left that was cut short: the next daemon finishes it.
    deps.trash.discard(`${deps.settings.containersDirectory}/${record.id}`);
  } catch (error) {
    record.state.status = status;
    throw error;
  }
  deps.driver.remove(record.id);
  const released = forgetVolumes(deps, record.id);
  if (options.volumes) {
    for (const name of released.filter((volume) => deps.volumes.isAnonymous(volume))) {
      try {
        if (deps.volumes.users(name).length === 0) await deps.volumeDrivers.remove(name);
      } catch (error) {
        log.warn("remove an anonymous volume", { name, error: messageOf(error) });
      }
    }
  }
  deps.database.remove(record.id);
  deps.registry.delete(container);
  releaseLevel(deps, record);
  deps.events.emit("container", "destroy", record.id, attributesOf(record));
  container.endWaitingStreams();
  container.tellRemoved();
}
