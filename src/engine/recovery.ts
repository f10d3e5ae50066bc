/**
 * The start of the daemon: takes over the containers that go on, records the ends of those that ended meanwhile, and
 * deletes whatever no record explains. Its cost follows the running containers, not the stopped ones.
 */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { connectShim } from "../runtime/index.ts";
import { startInOrder } from "./boot.ts";
import { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import {
  containerEnded,
  endBeginning,
  markStarted,
  releaseResources,
  removeContainer,
} from "./ending.ts";
import { type ExitRecord, readExitRecord } from "./exit-record.ts";
import { watchFrozen } from "./frozen.ts";
import { chainsOf, volumesOf } from "./mounts.ts";
import { finishSettling, forgetSettling } from "./network-connect.ts";
import { endpointsOf } from "./networking.ts";
import { cgroupPath, runDirectory, shimSocket } from "./places.ts";
import { policyHolds } from "./restarts.ts";
import { keepLevel } from "./security-labels.ts";
import { followShim } from "./supervision.ts";
import { finishChange } from "./update.ts";

/** Records that a crash left in the middle of something are those with an endpoint, a run directory or a running state. */
function unfinished(record: ContainerRecord, runs: ReadonlySet<string>): boolean {
  return (
    runs.has(record.id.slice(0, 32)) ||
    record.state.status === "running" ||
    record.state.status === "paused" ||
    record.state.status === "restarting" ||
    record.endpoint !== undefined
  );
}

/** Endpoints that may still be in use, for the network to keep. */
export function liveEndpoints(
  records: readonly ContainerRecord[],
  runDirectoryOf: (id: string) => string,
) {
  return records.flatMap((record) =>
    record.endpoint !== undefined && existsSync(`${runDirectoryOf(record.id)}/shim.sock`)
      ? endpointsOf(record)
      : [],
  );
}

async function takeOver(deps: EngineDeps, container: Container): Promise<boolean> {
  const { record } = container;
  const socket = shimSocket(deps.settings, record.id);
  if (!existsSync(socket)) return false;
  container.beginning = true;
  try {
    const shim = await connectShim(socket, followShim(deps, container));
    // Otherwise it was being started when the daemon died, and nobody has been told that it runs.
    if (shim.running) {
      container.shim = shim;
      if (!container.running) markStarted(record);
      record.state.pid = shim.pid;
      if (record.changing) await finishChange(deps, record, shim);
      await finishSettling(deps, container);
      agreeWithFreezer(deps, container);
      deps.database.save(record);
      if (record.state.status === "running") deps.health.begin(container, false);
      endBeginning(deps, container);
      return true;
    }
    shim.close();
  } catch (error) {
    log.debug("no shim", { id: record.id, error: messageOf(error) });
  }
  container.run++;
  container.beginning = false;
  container.earlyExit = undefined;
  return false;
}

/** A daemon may have died between the freezer and the record, or while it held a container still for a commit. */
function agreeWithFreezer(deps: EngineDeps, container: Container): void {
  const { record } = container;
  const path = cgroupPath(deps.settings, record);
  if (record.state.status === "paused") {
    deps.cgroups.freeze(path);
    watchFrozen(deps, container);
  } else deps.cgroups.thaw(path);
}

/** Its end is in the record already; only what came after that was cut short. */
function endIsKnown({ state }: ContainerRecord, recorded: ExitRecord | undefined): boolean {
  if (state.status === "running" || state.status === "paused") return false;
  return recorded === undefined || new Date(recorded.finished).toISOString() === state.finishedAt;
}

/** When the shim of a run was given its plan. */
function beganAt(directory: string): string {
  return (
    statSync(`${directory}/plan`, { throwIfNoEntry: false })?.mtime ?? new Date()
  ).toISOString();
}

async function settle(deps: EngineDeps, container: Container): Promise<void> {
  const { record } = container;
  const directory = runDirectory(deps.settings, record.id);
  deps.cgroups.kill(cgroupPath(deps.settings, record));
  forgetSettling(record);
  const recorded = readExitRecord(directory);
  if (endIsKnown(record, recorded)) {
    await releaseResources(deps, container);
    deps.database.save(record);
    if (container.restarting) deps.restarts.schedule(container, 0);
    return;
  }
  if (!container.running) {
    markStarted(record);
    record.state.startedAt = beganAt(directory);
  }
  record.state.status = "running";
  containerEnded(deps, container, recorded ?? { status: 137, oomKills: 0, finished: Date.now() });
  await container.cleaned;
}

/** Starts what a restart policy wants to run, as after a boot of the host: "always" even when a user had stopped it. */
function restartIfWanted(deps: EngineDeps, container: Container): void {
  const { record } = container;
  const byUser = record.stoppedByUser === true;
  if (record.state.status !== "exited" || !policyHolds(record, byUser)) return;
  if (record.hostConfig.RestartPolicy?.Name === "on-failure" && byUser) return;
  record.state.status = "restarting";
  deps.database.save(record);
  deps.restarts.schedule(container, 0);
}

function sweepDirectories(deps: EngineDeps): void {
  const { registry, settings } = deps;
  for (const id of readdirSync(settings.containersDirectory))
    if (registry.find(id) === undefined)
      deps.trash.discard(`${settings.containersDirectory}/${id}`);
  for (const id of deps.driver.containers())
    if (registry.find(id) === undefined) deps.driver.remove(id);
  const running = new Set(
    registry
      .all()
      .filter((c) => c.running)
      .map((c) => c.id.slice(0, 32)),
  );
  for (const name of readdirSync(settings.runDirectory))
    if (!running.has(name))
      rmSync(`${settings.runDirectory}/${name}`, { recursive: true, force: true });
}

/** Cgroups of containers that are no more, and parents (--cgroup-parent) that are empty. */
async function sweepCgroups(deps: EngineDeps, parent: string): Promise<void> {
  const { cgroups, registry } = deps;
  for (const name of cgroups.children(parent)) {
    const path = `${parent}/${name}`;
    if (!/^[0-9a-f]{64}$/.test(name)) {
      await sweepCgroups(deps, path);
      continue;
    }
    if (!registry.find(name)?.running) await removeCgroup(deps, path);
  }
  if (parent !== deps.settings.cgroupParent) cgroups.remove(parent);
}

async function removeCgroup({ cgroups }: EngineDeps, path: string): Promise<void> {
  for (let tries = 0; tries < 100 && !cgroups.remove(path); tries++) {
    cgroups.kill(path);
    await Bun.sleep(5);
  }
}

/** The same for cgroups elsewhere, of which only those are touched that berth remembers to have made. */
async function sweepOutside(deps: EngineDeps): Promise<void> {
  const used = new Set(
    deps.registry
      .all()
      .filter((container) => container.running)
      .map(({ record }) => cgroupPath(deps.settings, record)),
  );
  for (const path of deps.cgroups.outside) if (!used.has(path)) await removeCgroup(deps, path);
}

/** Takes over, settles and sweeps. */
export async function recover(
  deps: EngineDeps,
  records: readonly ContainerRecord[],
): Promise<void> {
  const whole = new Set(readdirSync(deps.settings.containersDirectory));
  for (const record of records) {
    // A record without its directory is the rest of a removal; the sweeps below take the rest of it away.
    if (whole.has(record.id) && record.state.status !== "removing") {
      deps.registry.add(new Container(record));
      keepLevel(deps, record);
    } else deps.database.remove(record.id);
  }
  const runs = new Set(readdirSync(deps.settings.runDirectory));
  const doubtful = deps.registry.all().filter(({ record }) => unfinished(record, runs));
  await Promise.all(
    doubtful.map(async (container) => {
      if (!(await takeOver(deps, container))) await settle(deps, container);
    }),
  );
  for (const container of deps.registry.all()) deps.forwarding.begin(container);
  void deps.compression.catchUp(deps.registry.all());
  for (const container of deps.registry.all()) restartIfWanted(deps, container);
  for (const container of deps.registry.all())
    if (
      !container.running &&
      container.record.hostConfig.AutoRemove &&
      container.record.hasBeenStarted
    ) {
      await removeContainer(deps, container, { volumes: true }).catch((error) =>
        log.warn("remove", { error: messageOf(error) }),
      );
    }
  sweepDirectories(deps);
  await sweepCgroups(deps, deps.settings.cgroupParent);
  await sweepOutside(deps);
  deps.driver.sweep();
  deps.trash.empty();
  await deps.volumeDrivers.recover(
    new Set(deps.registry.all().flatMap(({ id, running }) => (running ? [id] : []))),
  );
  deps.volumes.sweep(
    new Map(deps.registry.all().map(({ id, record }) => [id, volumesOf(record)] as const)),
  );
  deps.images.upkeep.sweep(new Set(deps.registry.all().flatMap(({ record }) => chainsOf(record))));
  // Last of all: what is being started would look like something that no record explains.
  startInOrder(deps, deps.restarts.open());
}
