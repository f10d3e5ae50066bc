/**
 * Changing an existing container. Limits, the restart policy, labels and published ports change at once; the process itself
 * and its mounts at its next start. All that is asked for is done, or nothing.
 */
import { Fault, fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ShimConnection } from "../runtime/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { BerthState, ContainerChanges } from "../spec/extensions.ts";
import type { OciResources } from "../spec/oci-runtime.ts";
import { attributesOf } from "./attributes.ts";
import { type MountChange, withLabels, withMounts, withProcess } from "./changes.ts";
import { type Container, notRunning } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import { checkConfig, checkHostConfig, checkNetwork, PORTS_DISCARDED } from "./create-checks.ts";
import type { EngineDeps } from "./deps.ts";
import { releaseOtherVolumes } from "./ending.ts";
import { checkGuardBinds, checkGuardPorts } from "./guard-limits.ts";
import { resourceHostOf } from "./host.ts";
import { changedWishes, type LabelWishes, wishesOf } from "./label-wishes.ts";
import { limitsIn, liveResources, startLimitsIn, withLimits } from "./limits.ts";
import {
  type ClaimedPorts,
  claimLivePorts,
  livePortChange,
  openedChange,
  relayPorts,
  retainPorts,
} from "./live-ports.ts";
import { makeMounts } from "./mounts.ts";
import { checkResources, resourceWarnings } from "./oci-resources.ts";
import { type Configuration, changeOfRunning, configuredOf, pendingFields } from "./pending.ts";
import { cgroupPath } from "./places.ts";
import { withPorts } from "./port-changes.ts";
import { portWishes } from "./ports.ts";
import { checkRestartPolicy } from "./restarts.ts";

/** What a user wants changed: limits and the restart policy, and what Docker cannot change. */
export interface UpdateInput {
  readonly limits: HostConfig;
  readonly changes: ContainerChanges;
}

/** What is told of a change. */
export interface Updated {
  readonly Warnings: readonly string[];
  /** There when something waits for the next start. */
  readonly Berth?: BerthState;
}

/** In Docker's words: what is wrong with a change, and which container it was for. */
function cannotUpdate({ id }: Container, error: unknown): unknown {
  if (!(error instanceof Fault)) return error;
  return new Fault(
    error.kind,
    error.code,
    `Cannot update container ${id}: ${error.message}`,
    error,
  );
}

/** Throws a Fault "conflict" in Docker's words for a container that is about to be no more. */
function checkStays(container: Container): void {
  const { status } = container.record.state;
  if (container.removed || status === "removing" || status === "dead")
    throw cannotUpdate(
      container,
      fault("conflict", "update", 'container is marked for removal and cannot be "update"'),
    );
}

function asks(changes: ContainerChanges, ...fields: readonly (keyof ContainerChanges)[]): boolean {
  return fields.some((field) => changes[field] !== undefined);
}

/** Limits and restart policy, checked as Docker checks them: the change by itself, and over what is set. */
function limited(deps: EngineDeps, container: Container, current: HostConfig, change: HostConfig) {
  const host = resourceHostOf(deps);
  checkResources(limitsIn(change), host);
  if (change.RestartPolicy?.Name) checkRestartPolicy(change);
  try {
    const next = withLimits(current, change);
    checkResources(next, host);
    return next;
  } catch (error) {
    throw cannotUpdate(container, error);
  }
}

/** Everything as it is to be, and the mounts that have yet to be made. Throws Faults in Docker's words. */
function configurationAfter(
  deps: EngineDeps,
  container: Container,
  { limits, changes }: UpdateInput,
): MountChange & LabelWishes {
  const { record } = container;
  const current = configuredOf(record);
  const labelled: Configuration = {
    config: withProcess(withLabels(current.config, changes), changes),
    hostConfig: limited(deps, container, current.hostConfig, limits),
    mounts: current.mounts,
  };
  const published = record.endpoint?.ports ?? [];
  const ported = asks(changes, "PortBindings", "PortBindingsRemove", "PublishAllPorts")
    ? { ...labelled, ...withPorts(labelled, changes, published) }
    : labelled;
  const next = asks(changes, "Binds", "Mounts", "Tmpfs", "Volumes", "MountsRemove")
    ? withMounts(ported, changes)
    : { ...ported, wanted: [] };
  const { Hostname, Labels, LabelsRemove } = changes;
  if (asks(changes, "PortBindings", "PublishAllPorts", "Hostname"))
    checkNetwork(Hostname === undefined ? {} : { Hostname }, next.hostConfig);
  if (asks(changes, "Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Hostname"))
    checkConfig(next.config);
  if (Object.keys(startLimitsIn(limits)).length > 0)
    checkHostConfig(deps, {}, next.config, next.hostConfig);
  const { guard } = deps.settings;
  if (guard !== undefined) {
    checkGuardPorts(guard, portWishes(next.config, next.hostConfig));
    checkGuardBinds(guard, next.wanted);
  }
  return { ...next, ...changedWishes(record, Labels, LabelsRemove) };
}

/** Ends a change that a daemon has begun and not finished: the kernel is given what the record says. */
export async function finishChange(
  deps: EngineDeps,
  record: ContainerRecord,
  shim: ShimConnection,
): Promise<void> {
  const { hostConfig, endpoint } = record;
  try {
    const resources = liveResources(hostConfig, hostConfig, resourceHostOf(deps));
    if (resources !== undefined) deps.cgroups.update(cgroupPath(deps.settings, record), resources);
  } catch (error) {
    log.warn("limits of a container that runs", { id: record.id, error: messageOf(error) });
  }
  if (endpoint !== undefined) {
    await relayPorts({ shim, record }, endpoint);
    await retainPorts(shim, endpoint.ports);
  }
  record.changing = undefined;
}

function applyLimits(deps: EngineDeps, container: Container, resources: OciResources): () => void {
  try {
    return deps.cgroups.update(cgroupPath(deps.settings, container.record), resources);
  } catch (error) {
    throw cannotUpdate(container, error);
  }
}

/** Changes a container that runs, and writes it down. */
async function changeRunning(
  deps: EngineDeps,
  container: Container,
  next: Configuration & LabelWishes,
  limits: HostConfig,
): Promise<void> {
  const { record } = container;
  const wishes = wishesOf(record);
  const { config, hostConfig, mounts, pending, endpoint, moreEndpoints } = record;
  const resources = liveResources(limits, next.hostConfig, resourceHostOf(deps));
  const portChange = livePortChange(deps, container, next);
  const opened = openedChange(deps, record, next);
  const settle = () => {
    record.changing = undefined;
    if (!container.removed) deps.database.save(record);
  };
  let ports: ClaimedPorts | undefined;
  let undoLimits: (() => void) | undefined;
  let written = false;
  try {
    if (resources !== undefined || portChange !== undefined) {
      // Recorded before it happens: the next daemon finishes what this one cannot, or lets go what it has claimed.
      record.changing = true;
      deps.database.insist(record);
    }
    if (portChange !== undefined) ports = await claimLivePorts(deps, container, portChange);
    if (!container.running || record.endpoint !== endpoint) throw notRunning(container);
    Object.assign(
      record,
      changeOfRunning(record, next),
      wishesOf(next),
      ports && { endpoint: ports.endpoint },
    );
    opened?.note();
    deps.database.insist(record);
    written = true;
    if (resources !== undefined) undoLimits = applyLimits(deps, container, resources);
    await ports?.publish();
    await opened?.apply();
  } catch (error) {
    // It has ended after all was written: it is a stopped container that has been changed.
    if (written && !container.running) return;
    const still = record.endpoint === undefined ? undefined : endpoint;
    const ends = { endpoint: still, moreEndpoints: still && moreEndpoints };
    Object.assign(record, { config, hostConfig, mounts, pending, ...ends, ...wishes });
    undoLimits?.();
    await ports?.undo();
    if (still !== undefined) await opened?.undo();
    settle();
    throw error;
  }
  await ports?.finish();
  if (record.changing) settle();
}

function changeStopped(
  deps: EngineDeps,
  { record }: Container,
  next: Configuration & LabelWishes,
): void {
  const { config, hostConfig, mounts, pending } = record;
  const wishes = wishesOf(record);
  try {
    Object.assign(record, next, { pending: undefined });
    deps.database.insist(record);
  } catch (error) {
    Object.assign(record, { config, hostConfig, mounts, pending, ...wishes });
    throw error;
  }
}

async function updateNow(deps: EngineDeps, container: Container, input: UpdateInput) {
  checkStays(container);
  const { record } = container;
  const { wanted, ...kept } = configurationAfter(deps, container, input);
  const unknown = wanted.flatMap(({ volumeName = "" }) =>
    volumeName === "" || deps.volumes.find(volumeName) ? [] : [volumeName],
  );
  try {
    const made = await makeMounts(wanted, deps, record.id);
    const next = { ...kept, mounts: [...kept.mounts, ...made] };
    if (container.running) await changeRunning(deps, container, next, input.limits);
    else changeStopped(deps, container, next);
  } catch (error) {
    if (!container.removed) releaseOtherVolumes(deps, record);
    for (const name of unknown) deps.volumes.forget(name);
    throw error;
  }
  if (!container.removed) releaseOtherVolumes(deps, record);
  deps.events.emit("container", "update", container.id, attributesOf(record));
}

function warningsOf({ hostConfig }: ContainerRecord, { PortBindings }: ContainerChanges): string[] {
  return hostConfig.NetworkMode === "host" && PortBindings !== undefined ? [PORTS_DISCARDED] : [];
}

/** Changes a container: all that is asked, or nothing. Throws Faults in Docker's words. */
export function updateContainer(
  deps: EngineDeps,
  container: Container,
  input: UpdateInput,
): Promise<Updated> {
  return container.exclusively(async () => {
    if (!container.running) await container.cleaned;
    await updateNow(deps, container, input);
    const RestartPending = pendingFields(container.record);
    return {
      Warnings: [
        ...warningsOf(container.record, input.changes),
        ...resourceWarnings(limitsIn(input.limits), resourceHostOf(deps)),
      ],
      ...(RestartPending.length > 0 ? { Berth: { RestartPending } } : {}),
    };
  });
}
