/**
 * Starting a container. What can fail comes in the order in which it can be undone; whatever happens, a container that did
 * not start has no network, cgroup or run directory.
 */
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { errnoText } from "../base/errno-text.ts";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Handle } from "../kernel/index.ts";
import { type Attached, RESOLVER_ADDRESS, RESOLVER_PORT, relaysOf } from "../network/index.ts";
import {
  attachShim,
  compactFilter,
  connectShim,
  defaultSeccompProfile,
  deviceFilter,
  LaunchFailure,
  type PlanExtras,
  parseSeccompProfile,
  type SeccompProfile,
  seccompFlags,
  seccompRules,
  toLaunchPlan,
} from "../runtime/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { OciSeccomp, OciSpec } from "../spec/oci-runtime.ts";
import { planOps, wireConstants } from "../spec/wire.ts";
import { encodeRecords } from "../spec/wire-codec.ts";
import { announceUse } from "./announce.ts";
import { attachmentsOf, usesNames } from "./attachments.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import { viewOf } from "./copying.ts";
import { namespacesOf } from "./create.ts";
import type { EngineDeps } from "./deps.ts";
import { withDiagnosis } from "./diagnosis.ts";
import {
  applyPending,
  endBeginning,
  markStarted,
  releaseResources,
  removeContainer,
} from "./ending.ts";
import { checkPropagation, devicesOf, readProfile, resourceHostOf, userInImage } from "./host.ts";
import { checkLinksRun, hostsText, linkEnvironment, tellLinking } from "./links.ts";
import { relayPorts } from "./live-ports.ts";
import { logCopyOf } from "./log-copy.ts";
import { copyUp, prepareSources, tmpfsModes } from "./mounts.ts";
import { upstreamsOf } from "./name-lookup.ts";
import { attachNetworks, leadingOf } from "./networking.ts";
import { DEFAULT_PATH, toOciSpec } from "./oci.ts";
import { subpathsOf } from "./oci-mounts.ts";
import { cgroupOutside, cgroupPath, layerOf, runDirectory, shimSocket } from "./places.ts";
import { resolvConfText } from "./resolv-conf.ts";
import { runcPlan } from "./runc.ts";
import { labelFiles, labelRefusal, prepareProfile } from "./security-labels.ts";
import { securityOption } from "./security-options.ts";
import { followShim } from "./supervision.ts";
import { UserHandles } from "./user-handles.ts";
import { mountVolumes } from "./volume-mounts.ts";

const FIRST_HANDLE = 10;

/** What mounts of images are made of: their layers, and a directory of the container's that stays empty. */
function imageParts({ driver, settings }: EngineDeps, { id }: ContainerRecord) {
  return {
    imageLayers: (chain: readonly string[]) => driver.layerDirectories(chain),
    emptyDirectory: () => {
      const path = `${settings.containersDirectory}/${id}/empty`;
      mkdirSync(path, { recursive: true, mode: 0o755 });
      return path;
    },
  };
}

/** A profile as the container has it: undefined when unconfined. */
export function profileOf(hostConfig: HostConfig): SeccompProfile | undefined {
  const value = securityOption(hostConfig, "seccomp");
  if (hostConfig.Privileged || value === "unconfined") return undefined;
  return value === undefined || value === "builtin"
    ? defaultSeccompProfile
    : parseSeccompProfile(readProfile(value));
}

/** How long a start waits for other containers that are about to start. */
const OTHERS_MS = 5000;
const ENOEXEC = 8;
const EACCES = 13;
const ENOTDIR = 20;
const filters = new Map<string, Promise<Uint8Array>>();
/** Where the rules of a filter are known by identity, so that they need not be compared. */
const filterOf = new WeakMap<OciSeccomp, Promise<Uint8Array>>();

/** Compiles a filter once for each set of rules. */
export function compiledFilter(
  deps: Pick<EngineDeps, "kernel">,
  seccomp: OciSeccomp,
): Promise<Uint8Array> {
  const same = filterOf.get(seccomp);
  if (same !== undefined) return same;
  const key = Bun.hash(JSON.stringify(seccomp)).toString(36);
  const compiled = filters.get(key) ?? compile(deps, seccomp);
  filters.set(key, compiled);
  filterOf.set(seccomp, compiled);
  compiled.catch(() => {
    filters.delete(key);
    filterOf.delete(seccomp);
  });
  return compiled;
}

async function compile(deps: Pick<EngineDeps, "kernel">, seccomp: OciSeccomp): Promise<Uint8Array> {
  const { defaultAction, architectures, rules } = seccompRules(seccomp);
  return compactFilter(await deps.kernel.compileSeccomp(defaultAction, architectures, rules));
}

/** Writes the container's own hosts, hostname and resolv.conf; gives their paths, "" for those that are the host's. */
function writeFiles(deps: EngineDeps, container: Container, network: Attached | undefined) {
  const { config, id } = container.record;
  const directory = `${deps.settings.containersDirectory}/${id}`;
  const holder = deps.registry.networkHolder(container.record);
  if (holder !== undefined) {
    const other = `${deps.settings.containersDirectory}/${holder.id}`;
    return {
      hosts: `${other}/hosts`,
      hostname: `${other}/hostname`,
      resolvConf: `${other}/resolv.conf`,
    };
  }
  const hostname = config.Hostname ?? "";
  const files = {
    hosts: `${directory}/hosts`,
    hostname: `${directory}/hostname`,
    resolvConf: `${directory}/resolv.conf`,
  };
  const hosts = hostsText(
    deps,
    container.record,
    network?.endpoint === undefined ? [] : [network.endpoint, ...network.more],
  );
  writeFileSync(files.hosts, hosts);
  writeFileSync(files.hostname, `${hostname}\n`);
  const { record } = container;
  const embedded = hasResolver(record, network);
  const { outerResolver } = deps.settings;
  const resolvConf = resolvConfText(record, embedded, usesNames(record), outerResolver);
  writeFileSync(files.resolvConf, resolvConf);
  return files;
}

/** Whether a container has a resolver of its own: it is on a network, or can be while it runs. */
function hasResolver({ hostConfig }: ContainerRecord, network: Attached | undefined): boolean {
  return network !== undefined && hostConfig.NetworkMode !== "none";
}

/** The resolver that a container has. Where it has no way out, no query has one either, with or without a daemon. */
function resolverOf(
  deps: EngineDeps,
  record: ContainerRecord,
  network: Attached | undefined,
): Pick<PlanExtras, "dns"> {
  if (!hasResolver(record, network)) return {};
  const outward = leadingOf(deps, attachmentsOf(record)) !== undefined;
  const upstreams = outward ? upstreamsOf(record, deps.settings.outerResolver) : [];
  return { dns: { address: RESOLVER_ADDRESS, port: RESOLVER_PORT, upstreams } };
}

function rootOf({ driver }: EngineDeps, { id, chain, hostConfig }: ContainerRecord) {
  return driver.mountOf({ id, chain, volatile: hostConfig.AutoRemove === true });
}

function extrasOf(
  deps: EngineDeps,
  container: Container,
  spec: OciSpec,
  network: Attached | undefined,
  filter: Uint8Array | undefined,
  users: UserHandles,
): PlanExtras {
  const { record } = container;
  const { config, hostConfig } = record;
  const root = rootOf(deps, record);
  const join = deps.cgroups.create(cgroupPath(deps.settings, record), spec.linux.resources);
  const logging = logCopyOf(deps.settings, record);
  return {
    id: record.id,
    root,
    mountPoint: deps.settings.mountPoint,
    ...(network === undefined ? {} : { netnsFd: FIRST_HANDLE }),
    cgroupJoinFiles: join.joinFiles,
    ...(join.into === undefined ? {} : { cgroupInto: join.into }),
    cgroupMounts: deps.cgroups.mounts,
    ...(filter === undefined ? {} : { seccompFilter: filter }),
    seccompFlags: seccompFlags(spec.linux.seccomp),
    stdin: { open: config.OpenStdin === true, once: config.StdinOnce === true },
    ...(logging === undefined ? {} : { log: logging }),
    exitFile: `${runDirectory(deps.settings, record.id)}/exit`,
    ...(join.oomFile === undefined ? {} : { oomFile: join.oomFile }),
    ...resolverOf(deps, record, network),
    lowerdirPlus: deps.features.lowerdirPlus,
    inUserNamespace: deps.features.inUserNamespace,
    guardedSources: deps.settings.guard?.binds.map(({ path }) => path) ?? [],
    init: hostConfig.Init === true,
    subpaths: subpathsOf(record.mounts),
    hostMounts: `/proc/${process.pid}/ns/mnt`,
    hostDevices: new Map(devicesOf(hostConfig).map(({ host, node }) => [node.path, host])),
    ...users.extras(FIRST_HANDLE + handlesOf(network).length, spec.process.user.uid),
  };
}

/** Containers that a container needs may be about to start by their restart policies, as after a boot: waits a while. */
async function othersStarted(deps: EngineDeps, record: ContainerRecord): Promise<void> {
  const { NetworkMode, PidMode, IpcMode } = record.hostConfig;
  const joined = [NetworkMode, PidMode, IpcMode].flatMap((mode) =>
    mode?.startsWith("container:") ? [deps.registry.lookUp(mode.slice(10))] : [],
  );
  const linked = (record.links ?? []).map(({ id }) => deps.registry.find(id));
  const needed = [...joined, ...linked];
  for (const end = Date.now() + OTHERS_MS; Date.now() < end; await Bun.sleep(20))
    if (!needed.some((other) => other?.restarting)) return;
}

/** What a launch needs: the plan, and what the shim is to hold. */
interface Prepared {
  readonly plan: Uint8Array;
  readonly network: Attached | undefined;
  readonly users: UserHandles;
}

/** Makes everything outside of the container and the plan for the inside. */
async function prepare(deps: EngineDeps, container: Container): Promise<Prepared> {
  const { record } = container;
  const { hostConfig } = record;
  await othersStarted(deps, record);
  checkLinksRun(deps, record);
  await deps.forwarding.check(record);
  const namespaces = namespacesOf(deps, record);
  prepareSources(record.mounts);
  checkPropagation(record.mounts);
  await prepareProfile(deps, record);
  const user = await userInImage(deps, container);
  const layer = layerOf(record);
  await mountVolumes(deps, record);
  await copyUp(deps, layer, record.mounts);
  const users = await UserHandles.make(deps, record, user);
  let network: Attached | undefined;
  try {
    network =
      namespaces.network === "own"
        ? await deps.timings.network.time("allocate", () =>
            attachNetworks(deps, record, users.owner),
          )
        : undefined;
    record.endpoint = network?.endpoint;
    record.moreEndpoints = network?.more;
    deps.names.changed();
    const files = writeFiles(deps, container, network);
    await labelFiles(deps, record, rootOf(deps, record), Object.values(files));
    const spec = toOciSpec({
      record,
      user,
      rootPath: deps.settings.mountPoint,
      files,
      namespaces,
      cgroupPath: cgroupPath(deps.settings, record),
      features: deps.features,
      userNamespace: record.userNamespace,
      resourceHost: resourceHostOf(deps),
      noNewPrivileges: deps.settings.noNewPrivileges,
      seccomp: profileOf(hostConfig),
      devices: devicesOf(hostConfig),
      linkEnvironment: linkEnvironment(deps, record),
      tmpfsModes: await tmpfsModes(deps, layer, record.mounts),
      ...imageParts(deps, record),
      // What is not there is told by whoever binds it.
      ownerOf: (path) => statSync(path, { throwIfNoEntry: false }) ?? { uid: 0, gid: 0 },
    });
    const filter =
      spec.linux.seccomp === undefined ? undefined : await compiledFilter(deps, spec.linux.seccomp);
    await users.makeFor(spec);
    const extras = extrasOf(deps, container, spec, network, filter, users);
    const devices = deviceFilter(spec.linux.resources.devices ?? []);
    // Without the host's rights nobody opens devices anyway that the engine's own user may not open.
    const filters = !deps.features.inUserNamespace;
    if (extras.cgroupInto !== undefined && devices !== undefined && filters)
      await deps.kernel.filterDevices(extras.cgroupInto, devices);
    const runtime = deps.settings.runtimes.get(hostConfig.Runtime ?? "");
    const ops =
      runtime === undefined
        ? toLaunchPlan(spec, extras)
        : runcPlan(runtime, spec, extras, runDirectory(deps.settings, record.id), {
            network: network && `/proc/${deps.kernel.pid}/fd/${network.netns}`,
            host: `/proc/${process.pid}/ns/net`,
          });
    return { plan: encodeRecords(planOps, ...ops), network, users };
  } catch (error) {
    await closeHandles(deps, network, users);
    throw error;
  }
}

function handlesOf(network: Attached | undefined): Handle[] {
  return network === undefined ? [] : [network.netns, ...network.claims];
}

async function closeHandles(
  deps: EngineDeps,
  network: Attached | undefined,
  users: UserHandles,
): Promise<void> {
  const close = (handle: Handle) => deps.kernel.close(handle).catch(() => {});
  await Promise.all([...handlesOf(network).map(close), users.close()]);
}

/** Why a program could not be run, as far as its file shows it; "" for other failures. */
export async function reasonFor(
  deps: EngineDeps,
  container: Container,
  { op, detail, error }: LaunchFailure,
): Promise<string> {
  if (op !== "exec" || (error !== ENOEXEC && error !== EACCES)) return "";
  const { config } = container.record;
  const path = (config.Env ?? []).find((item) => item.startsWith("PATH="))?.slice(5);
  return withDiagnosis(viewOf(deps, container), detail, path ?? DEFAULT_PATH, error);
}

/** A refusal in Docker's words: what a user's mistake is "invalid", what the host refuses "failed". */
function explain(error: LaunchFailure, reason: string): { error: Error; exitCode: number } {
  const prefix = "failed to create task for container: ";
  const { op, detail } = error;
  if (op === "exec") {
    const quoted = JSON.stringify(detail);
    const byName = !detail.includes("/");
    const text: Record<number, [string, number]> = {
      2: [
        byName
          ? `exec: ${quoted}: executable file not found in $PATH`
          : `exec: ${quoted}: stat ${detail}: no such file or directory`,
        127,
      ],
      8: [`exec: ${quoted}: exec format error${reason}: no such file or directory`, 127],
      13: [`exec: ${quoted}: permission denied${reason}`, 126],
      20: [`exec: ${quoted}: not a directory`, 126],
      21: [`exec: ${quoted}: is a directory: permission denied`, 126],
    };
    const [message, exitCode] = text[error.error] ?? [`exec: ${quoted}: errno ${error.error}`, 126];
    return { error: fault("invalid", "command", prefix + message, error), exitCode };
  }
  const mount = op === "bind" || op === "attach";
  const mismatched = mount && error.error === ENOTDIR;
  const hint = mismatched
    ? ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type"
    : "";
  if (op === "label")
    return {
      error: fault("failed", "launch", prefix + labelRefusal(detail, error.error), error),
      exitCode: 128,
    };
  const ofUser = op === "workdir" || op === "user" || mount || op === "sysctl";
  if (ofUser || detail.startsWith("cannot access path"))
    return {
      error: fault(
        "invalid",
        "container-setup",
        `${prefix}${detail}: ${errnoText(error.error)}${hint}`,
        error,
      ),
      exitCode: 126,
    };
  return {
    error: fault("failed", "launch", `${prefix}${op}: ${detail}: ${errnoText(error.error)}`, error),
    exitCode: 128,
  };
}

/** Joins the streams that have been asked for until now. */
async function joinStreams(socket: string, container: Container): Promise<void> {
  const all = [...container.waitingStreams].map(async (waiting) => {
    const stream = await attachShim(socket, waiting.streams, waiting.handlers);
    container.waitingStreams.delete(waiting);
    waiting.joined(stream);
  });
  await Promise.all(all);
}

/** Starts the shim, joins the streams that wait, and lets the container begin. */
async function launch(
  deps: EngineDeps,
  container: Container,
  { plan, network, users }: Prepared,
): Promise<void> {
  const { record } = container;
  const directory = runDirectory(deps.settings, record.id);
  // An external runtime opens the namespace by the helper's descriptor; only after the start can that be closed.
  const external = deps.settings.runtimes.has(record.hostConfig.Runtime ?? "");
  let held = true;
  const letGo = () => {
    if (held) void closeHandles(deps, network, users);
    held = false;
  };
  try {
    record.shimVersion = wireConstants.SHIM_VERSION;
    // Recorded before it happens: a daemon that is killed now finds the endpoint at its next start.
    deps.database.insist(record);
    writeFileSync(`${directory}/plan`, plan, { mode: 0o600 });
    await deps.kernel.spawnShim(directory, [...handlesOf(network), ...users.handles]);
    if (!external) letGo();
    const socket = shimSocket(deps.settings, record.id);
    const following = connectShim(socket, followShim(deps, container)).then((shim) => {
      container.shim = shim;
      return shim;
    });
    const joining = joinStreams(socket, container).catch((error: unknown) => ({ error }));
    const [shim, joined] = await Promise.all([following, joining]);
    if (joined !== undefined) {
      // A launch that has failed ends its streams; why, the connection that controls is told alone.
      await shim.start();
      throw joined.error;
    }
    // Whoever has come meanwhile is to see the first output, too.
    if (container.waitingStreams.size > 0) await joinStreams(socket, container);
    const starting = shim.start();
    // Said after it: until then whoever comes waits at the socket.
    if (network?.endpoint !== undefined && relaysOf(network.endpoint).length > 0)
      void relayPorts(container, network.endpoint).catch(() => {});
    record.state.pid = await starting;
    if (external) setTimeout(letGo, 2000);
  } catch (error) {
    letGo();
    throw error;
  }
}

/** Whoever deletes the run directories of a daemon that runs has them back at the next start. */
function makeRunDirectory(settings: EngineDeps["settings"], id: string): void {
  const directory = runDirectory(settings, id);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return;
    if (errnoOf(error) !== "ENOENT") throw error;
    for (const path of [directory, settings.mountPoint])
      mkdirSync(path, { recursive: true, mode: 0o700 });
  }
}

function checkNotRemoved({ removed, record }: Container): void {
  if (removed || record.state.status === "removing")
    throw fault(
      "conflict",
      "being-removed",
      "container is marked for removal and cannot be started",
    );
}

async function startNow(deps: EngineDeps, container: Container, again: boolean): Promise<void> {
  const { record } = container;
  const { state } = record;
  checkNotRemoved(container);
  if (state.status === "paused")
    throw fault("conflict", "paused", "cannot start a paused container, try unpause instead");
  if (state.status === "running" || (state.status === "restarting" && !again))
    throw fault("not-modified", "already-started", "");
  // A restart that was called off while it waited for its turn.
  if (again && state.status !== "restarting") return;
  await container.cleaned;
  // One with --rm removes itself behind its end.
  checkNotRemoved(container);
  applyPending(deps, record);
  container.beginning = true;
  container.oomKills = 0;
  container.stopping = false;
  state.logLosses = undefined;
  record.cgroup = cgroupOutside(record);
  const holder = deps.registry.networkHolder(record);
  if (holder !== undefined) {
    const { Hostname, Domainname } = holder.record.config;
    record.config = { ...record.config, Hostname, Domainname };
  }
  try {
    makeRunDirectory(deps.settings, record.id);
    await launch(deps, container, await prepare(deps, container));
  } catch (error) {
    const explained =
      error instanceof LaunchFailure
        ? explain(error, await reasonFor(deps, container, error))
        : { error, exitCode: 128 };
    await failedStart(deps, container, explained.error, explained.exitCode);
    throw explained.error;
  }
  markStarted(record);
  deps.database.save(record);
  tellLinking(deps, container);
  announceUse(deps, record);
  deps.events.emit("container", "start", record.id, attributesOf(record));
  deps.health.begin(container, true);
  deps.forwarding.begin(container);
  joinStreams(shimSocket(deps.settings, record.id), container).catch(() =>
    container.endWaitingStreams(),
  );
  endBeginning(deps, container);
}

async function failedStart(
  deps: EngineDeps,
  container: Container,
  error: unknown,
  exitCode: number,
): Promise<void> {
  const { record } = container;
  // What its shim has still to say is of no interest.
  container.run++;
  container.shim?.close();
  container.shim = undefined;
  container.beginning = false;
  container.earlyExit = undefined;
  const again = container.restarting;
  if (again) record.state.status = "exited";
  Object.assign(record.state, { error: messageOf(error), exitCode, pid: 0 });
  if (again) container.tellExit();
  container.endWaitingStreams();
  await releaseResources(deps, container);
  deps.database.save(record);
  if (record.hostConfig.AutoRemove)
    await removeContainer(deps, container, { volumes: true }).catch((reason) =>
      log.warn("remove a container that did not start", { error: messageOf(reason) }),
    );
}

function timedStart(deps: EngineDeps, container: Container, again: boolean): Promise<void> {
  return deps.timings.container.time("start", () => startNow(deps, container, again));
}

/** Starts a container. Throws Faults in Docker's words; a container that runs already is "not-modified". */
export function startContainer(deps: EngineDeps, container: Container): Promise<void> {
  return container.exclusively(async () => {
    // Of one that runs nothing is begun anew.
    if (!container.alive) {
      container.record.restartCount = 0;
      // The next pause is a first one again.
      deps.restarts.cancel(container);
    }
    // Whoever asks for a start by hand does not want to wait for what the container depends on.
    const held = deps.restarts.holds(container);
    if (held) deps.restarts.cancel(container);
    await timedStart(deps, container, held);
  });
}

/** Starts a container whose restart policy wants it; nothing if that has been called off. */
export function startAgain(deps: EngineDeps, container: Container): Promise<void> {
  return container.exclusively(() => timedStart(deps, container, true));
}
