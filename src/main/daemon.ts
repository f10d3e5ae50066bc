/**
 * `berth daemon`: constructs the parts, wires them, serves, and ends cleanly. Containers go on without it.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import type { Server as NetServer } from "node:net";
import { ApiServer } from "../api/index.ts";
import { confineHostPrograms } from "../base/confinement.ts";
import { leaveNoCoreDump } from "../base/core-dumps.ts";
import { openDatabase } from "../base/database.ts";
import { fault, messageOf } from "../base/errors.ts";
import { log, setLogLevel } from "../base/log.ts";
import { Trash } from "../base/trash.ts";
import { inUserNamespace } from "../base/user-namespace.ts";
import { BuildCache, changeConfig, StepRecords } from "../builder/index.ts";
import {
  assembleEngine,
  ContainerDatabase,
  ContainerRegistry,
  chainsOf,
  choosablePorts,
  compiledFilter,
  type Engine,
  type EngineDeps,
  type EngineSettings,
  Events,
  liveEndpoints,
  NameLookup,
  NetworkList,
  recover,
  securityReport,
  UserNamespaceStock,
  userNamespacesMissing,
} from "../engine/index.ts";
import { ImageStore, type OpenRepository } from "../images/index.ts";
import { type HostMounts, hostMounts, type Kernel, startKernel } from "../kernel/index.ts";
import { NetworkStore, Networks, outerRoutes, Resolver } from "../network/index.ts";
import { Repository } from "../registry/index.ts";
import { Registry, RegistryDatabase } from "../registry-server/index.ts";
import {
  AppArmor,
  Cgroups,
  capabilityList,
  defaultSeccompProfile,
  delegatedCgroups,
  MadeCgroups,
  probeFeatures,
  resolveSeccomp,
  Selinux,
} from "../runtime/index.ts";
import { VolumeDrivers, VolumePlugins, VolumeStore } from "../volumes/index.ts";
import {
  chosenSockets,
  givenAddress,
  listenOnDescriptor,
  takeInheritedSockets,
} from "./activation.ts";
import { admissionBy } from "./admission.ts";
import { adoptTable } from "./adoption.ts";
import { openBuiltinImage, unpackPrograms } from "./assets.ts";
import { Builds } from "./build-port.ts";
import { diskPort } from "./disk.ts";
import { enterGuarded } from "./guarded/enter.ts";
import { CONTAINERS, guardedSettings } from "./guarded/settings.ts";
import { releaseMemory } from "./idle-memory.ts";
import { Gates, listenOn } from "./listen.ts";
import { lockRoot } from "./lock.ts";
import { serveMetrics } from "./metrics.ts";
import {
  type DaemonOptions,
  isDefaultInstance,
  parseDaemonOptions,
  pluginPlaces,
} from "./options.ts";
import { beginServing, ownRegistryPort, readRegistryConfig } from "./own-registry.ts";
import { imagesPort, volumesPort } from "./ports.ts";
import { useProxies } from "./proxies.ts";
import { registryPort } from "./registries.ts";
import { enterOwnNamespaces, KEEPER, outerResolver } from "./rootless/enter.ts";
import { openStorage, type Storage } from "./storage.ts";
import { systemPort } from "./system.ts";
import { daemonUsage } from "./usage.ts";
import { VERSION } from "./version.ts";

/** After so long without a request the daemon counts as idle. */
const QUIET_MS = 10_000;
/** Uploads of its registry that nobody has finished for a week are forgotten. */
const UPLOADS_KEPT_MS = 168 * 3600_000;
/** Pushes and pulls that are under way when the daemon ends have so long. */
const REGISTRY_PATIENCE_MS = 2000;

/** Names on the host that keep daemons apart. */
function instanceNames(options: DaemonOptions): { bridge: string; cgroup: string } {
  if (isDefaultInstance(options)) return { bridge: options.bridge ?? "berth0", cgroup: "/berth" };
  const key = new Bun.CryptoHasher("sha256").update(options.dataRoot).digest("hex").slice(0, 8);
  return { bridge: options.bridge ?? `berth-${key}`, cgroup: `/berth-${key}` };
}

function makeSettings(
  options: DaemonOptions,
  cgroup: string,
  noUserNamespaces: string | undefined,
): EngineSettings {
  const settings = {
    userNamespaces: {
      standard: options.userNamespaces,
      dockers: options.usernsRemap,
      missing: noUserNamespaces,
    },
    containersDirectory: `${options.dataRoot}/containers`,
    runDirectory: runDirectoryOf(options),
    mountPoint: `${options.execRoot}/root`,
    cgroupParent: cgroup,
    logDriver: options.logDriver,
    logOptions: options.logOptions,
    logMaxSize: options.logMaxSize,
    logMaxFiles: options.logMaxFiles,
    runtimes: options.runtimes,
    guard: options.user === undefined ? undefined : guardedSettings(process.env),
    noNewPrivileges: options.noNewPrivileges,
    outerResolver: options.rootless ? outerResolver(process.env) : undefined,
  };
  for (const path of [settings.containersDirectory, settings.runDirectory, settings.mountPoint])
    mkdirSync(path, { recursive: true, mode: 0o700 });
  return settings;
}

const runDirectoryOf = ({ execRoot }: DaemonOptions) => `${execRoot}/c`;

/** The networks, with what runs on them, and the user namespaces that own those of containers to come. */
async function openNetworks(
  options: DaemonOptions,
  kernel: Kernel,
  bridge: string,
  store: NetworkStore,
  live: ReturnType<typeof liveEndpoints>,
  missing: string | undefined,
  { guard }: EngineSettings,
): Promise<Pick<EngineDeps, "networks" | "userStock">> {
  const { defaultNetwork, forward, firewallBackend, firewallLock, firewallPolicy, mtu } = options;
  const { warmNetworks: warm, addressPools: pools } = options;
  // The mode of most containers to come: for those something is held ready from the beginning.
  const mode = missing === undefined ? options.userNamespaces : "host";
  const own = {
    ...{
      bridge,
      defaultNetwork,
      forward,
      firewallBackend,
      firewallLock,
      firewallPolicy,
      mtu,
      warm,
      pools,
    },
    ahead: mode === "host",
    // This process is in the host's network then, and the bridges are not.
    outerRoutes: options.rootless ? outerRoutes : undefined,
    bridgeNamed: options.bridge !== undefined,
    seed: daemonId(options.dataRoot),
    freePorts: guard && choosablePorts(guard),
  };
  await adoptTable(kernel, runDirectoryOf(options));
  const networks = await Networks.open(kernel, own, store, live);
  return { networks, userStock: new UserNamespaceStock(kernel, networks, { mode, warm }) };
}

/** AppArmor and SELinux, as far as the host has them. Where AppArmor's profile cannot be loaded, starts that need it say why. */
function securityModules(options: DaemonOptions): EngineDeps["modules"] {
  const { dataRoot, selinuxEnabled, rootless, user } = options;
  // Without the host's rights no profile can be loaded.
  const apparmor = new AppArmor(
    `${dataRoot}/apparmor`,
    rootless || user !== undefined ? false : undefined,
  );
  const selinux = new Selinux(selinuxEnabled);
  if (selinuxEnabled && !selinux.active)
    log.warn("berth could not enable SELinux on the host system");
  void apparmor.ensureDefault().catch((error) => log.warn(messageOf(error)));
  return { apparmor, selinux };
}

/** The control groups that the daemon may make, and the parent of containers' own. */
function groupsOf(
  options: DaemonOptions,
  { guarded }: Kernel,
  name: string,
): { readonly parent: string; readonly cgroups: Cgroups } {
  const made = `${options.execRoot}/cgroups.json`;
  const delegated = options.rootless ? delegatedCgroups(name.slice(1), made) : undefined;
  if (delegated !== undefined) return delegated;
  const parent = options.user === undefined ? name : `${name}/${CONTAINERS}`;
  if (inUserNamespace() && !guarded) return { parent, cgroups: Cgroups.none() };
  return { parent, cgroups: Cgroups.detect(new MadeCgroups(parent, made)) };
}

async function construct(
  options: DaemonOptions,
  kernel: Kernel,
  host: HostMounts,
  names: { bridge: string; cgroup: string },
): Promise<Pick<Running, "deps" | "engine" | "registry" | "storage" | "builds">> {
  const missing = await userNamespacesMissing(kernel, options.dataRoot);
  const { parent, cgroups } = groupsOf(options, kernel, names.cgroup);
  const settings = makeSettings(options, parent, missing);
  const features = await probeFeatures(kernel, `${options.dataRoot}/probe`);
  const storage = await openStorage(options, kernel, features);
  const { driver } = storage;
  const db = openDatabase(`${options.dataRoot}/berth.db`, "FULL");
  const database = new ContainerDatabase(`${options.dataRoot}/containers.db`);
  const builtin = { reference: "busybox:latest", open: openBuiltinImage };
  const repository: OpenRepository = (reference, credentials, actions, notice) =>
    new Repository(reference, options.registries, credentials, actions, notice);
  const root = `${options.dataRoot}/content`;
  const data = new RegistryDatabase(db);
  const containers = new ContainerRegistry();
  const cache = new BuildCache(db);
  const { keepBlobs, signaturePolicy } = options;
  const images = new ImageStore({
    ...{ root, db, driver, builtin, repository, keepBlobs },
    admission: signaturePolicy && admissionBy(signaturePolicy),
    change: changeConfig,
    layersInUse: () => new Set(containers.all().flatMap(({ record }) => chainsOf(record))),
    cachedLayers: () => cache.needed().chains,
    isCached: (key) => cache.needsKey(key),
    // What a repository of the daemon's registry has stays, whatever becomes of the images; so does what builds reuse.
    others: () => [...data.allBlobs(), ...cache.needed().blobs],
  });
  const shared = images.shared();
  const registry = new Registry({ shared, data, uploadsDirectory: `${root}/uploads` });
  const volumes = new VolumeStore(`${options.dataRoot}/volumes`, db);
  const records = database.all();
  const live = liveEndpoints(records, (id) => `${settings.runDirectory}/${id.slice(0, 32)}`);
  const rows = new NetworkStore(db);
  const network = await openNetworks(options, kernel, names.bridge, rows, live, missing, settings);
  const resolver = new Resolver();
  const { deps, engine } = assembleEngine({
    settings,
    kernel,
    cgroups,
    features,
    modules: securityModules(options),
    driver,
    images,
    volumes,
    volumeDrivers: new VolumeDrivers(volumes, new VolumePlugins(pluginPlaces(options)), host),
    ...network,
    resolver,
    names: new NameLookup({ registry: containers, resolver, ...network }),
    trash: new Trash(`${options.dataRoot}/trash`),
    database,
    registry: containers,
    events: new Events(),
  });
  await recover(deps, records);
  fillUserStock(deps);
  images.upkeep.dropBlobs();
  // The filter that nearly every container has is compiled before the first asks for it.
  const usual = new Set(capabilityList(0xa80425fbn));
  compiledFilter(deps, resolveSeccomp(defaultSeccompProfile, usual, features.seccomp)).catch(
    (error) => log.warn("compile the default seccomp filter", { error }),
  );
  const builds = new Builds({ ...deps, images }, cache, new StepRecords(db), options);
  return { deps, engine, registry, storage, builds };
}

/** What is ready must have no ids of containers that there are: begins once these are known. */
function fillUserStock({ userStock, networks }: EngineDeps): void {
  userStock.fill("default");
  userStock.fill("isolated");
  if (networks.all().length > 0) userStock.fill("connectable");
}

function daemonId(dataRoot: string): string {
  const file = `${dataRoot}/engine-id`;
  if (!existsSync(file)) writeFileSync(file, crypto.randomUUID());
  return readFileSync(file, "utf8").trim();
}

interface Running {
  readonly engine: Engine;
  readonly deps: EngineDeps;
  readonly storage: Storage;
  readonly registry: Registry;
  readonly builds: Builds;
  readonly servers: ApiServer[];
  readonly sockets: string[];
  /** What listens on sockets that systemd has made, which stay when the daemon goes. */
  readonly activated: NetServer[];
  metrics: Server | undefined;
  gates: Gates | undefined;
}

async function serve(options: DaemonOptions, running: Running): Promise<void> {
  const { deps, engine, storage } = running;
  const ports = {
    containers: engine,
    images: imagesPort(deps),
    builds: running.builds,
    volumes: volumesPort(deps),
    networks: new NetworkList(deps, new Date().toISOString()),
    system: systemPort(options, engine, deps, { id: daemonId(options.dataRoot), storage }),
    disk: diskPort(engine, deps, options.dataRoot, running.builds),
    security: { report: (reference: string) => securityReport(deps, reference) },
    registry: registryPort(options.registries),
    ownRegistry: ownRegistryPort(running.registry),
    events: deps.events,
  };
  if (options.metricsAddress !== undefined)
    running.metrics = await serveMetrics(options.metricsAddress, ports.system.metrics);
  running.gates = await Gates.open(options);
  const inherited = takeInheritedSockets(process.env, process.pid);
  for (const host of options.hosts) {
    // For a daemon that is not root, root has listened at each address.
    const own = options.user !== undefined && !host.startsWith("fd:");
    const given = own
      ? inherited.filter((fd) => givenAddress([fd]) === host)
      : host.startsWith("fd:")
        ? chosenSockets(host, inherited)
        : [];
    const { gate, peers } = running.gates.at(givenAddress(given) ?? host) ?? {};
    const tls = host.startsWith("tcp:") ? options.tls : undefined;
    const api = new ApiServer(ports, VERSION, tls, gate);
    if (peers !== undefined) api.http.on("connection", (socket) => peers.arrived(socket));
    for (const fd of given) running.activated.push(await listenOnDescriptor(api, fd));
    const socket = given.length > 0 ? undefined : await listenOn(api, host, options);
    running.servers.push(api);
    if (socket !== undefined) running.sockets.push(socket);
    else if (own) running.sockets.push(host.slice("unix://".length));
    log.info("API listen", { on: host });
  }
}

/** The daemon's own registry; without an address it only keeps what it has. */
async function serveRegistry(options: DaemonOptions, { registry }: Running): Promise<void> {
  await registry.sweepUploads(Date.now() - UPLOADS_KEPT_MS);
  if (options.registryAddress === undefined) return;
  const config = readRegistryConfig(options.registryConfig);
  if (config.root !== undefined)
    throw fault(
      "invalid",
      "daemon-option",
      "--registry-config: the daemon's registry is in its data root, and storage.filesystem.rootdirectory cannot be set",
    );
  await beginServing(registry, config, options.registryAddress, "debug");
}

/** Waits for a signal, for the helper's end, or for idleness. Gives the exit status. */
async function untilEnd(options: DaemonOptions, running: Running, kernel: Kernel): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => {
      log.info("shutting down", { signal });
      resolve(0);
    });
  process.on("SIGHUP", () => {});
  process.on("SIGPIPE", () => {});
  let ending = false;
  void promise.then(() => {
    ending = true;
  });
  void kernel.closed.then(() => {
    if (ending) return;
    log.error("berth-helper has ended; the daemon ends too, and containers go on: start it again");
    resolve(1);
  });
  const watch = watchIdleness(options, running, () => {
    log.info("idle: shutting down");
    resolve(0);
  });
  const status = await promise;
  clearInterval(watch);
  return status;
}

/** Gives memory back some seconds after the last request; calls `end` when the daemon has been of no use for long enough. */
function watchIdleness(options: DaemonOptions, running: Running, end: () => void) {
  let idleSince = Date.now();
  let quietSince = Date.now();
  let requests = 0;
  let released = false;
  return setInterval(() => {
    const now = Date.now();
    const { traffic } = running.registry;
    const seen = running.servers.reduce((sum, server) => sum + server.requests, traffic.requests);
    if (seen !== requests) {
      [quietSince, requests, released] = [now, seen, false];
    } else if (!released && now - quietSince >= QUIET_MS) {
      released = true;
      releaseMemory();
    }
    const inUse = traffic.active > 0 || running.deps.registry.all().some((one) => one.alive);
    if (inUse || running.servers.some((server) => server.active > 0)) idleSince = now;
    else if (options.idleTimeout > 0 && now - idleSince >= options.idleTimeout * 1000) end();
  }, 500);
}

/** A daemon that is not root leaves it where only root may take it away; the next start does. */
function removeSocket(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    log.debug("a socket stays", { path, error });
  }
}

async function shutDown(running: Running, kernel: Kernel): Promise<void> {
  for (const server of running.activated) server.close();
  for (const server of running.servers) server.close();
  await Promise.all([running.registry.close(REGISTRY_PATIENCE_MS), running.builds.close()]);
  running.metrics?.close();
  running.gates?.close();
  running.deps.restarts.close();
  await running.deps.forwarding.close();
  for (const socket of running.sockets) removeSocket(socket);
  await running.deps.registry.settled();
  const { running: count, paused } = running.engine.counts();
  await running.deps.userStock.end();
  await running.deps.networks
    .close(count + paused === 0)
    .catch((error) => log.warn("close the networks", { error: messageOf(error) }));
  if (count + paused === 0) running.deps.cgroups.remove(running.deps.settings.cgroupParent);
  await Promise.all([running.deps.trash.settled(), running.deps.driver.settled()]);
  await kernel.stop();
  running.deps.database.close();
}

/** The guard's socket, for the daemon beside it; who is still root on the host becomes that daemon. */
async function guardOf(
  options: DaemonOptions & { readonly user: string },
  argv: readonly string[],
): Promise<string> {
  if (options.rootless)
    throw fault("invalid", "daemon-option", "--user and --rootless exclude each other");
  const guard = inUserNamespace() ? guardedSettings(process.env) : undefined;
  if (guard !== undefined) return guard.socket;
  if (process.getuid?.() !== 0 || inUserNamespace())
    throw fault("forbidden", "not-root", "berth daemon --user needs root to start it");
  return await enterGuarded(options, instanceNames(options), argv);
}

/** The socket of who keeps the daemon's own namespaces; undefined: it has the host's. */
async function ownNamespaces(
  options: DaemonOptions,
  argv: readonly string[],
): Promise<string | undefined> {
  const isRoot = process.getuid?.() === 0;
  if (options.user !== undefined) return guardOf({ ...options, user: options.user }, argv);
  const keeper = options.rootless ? process.env[KEEPER] : undefined;
  if (isRoot && keeper !== undefined) return keeper;
  if (options.rootless && isRoot)
    throw fault(
      "invalid",
      "rootless-root",
      "--rootless is for users other than root: run it as one of these, or leave it out",
    );
  if (options.rootless)
    await enterOwnNamespaces({ ...options, network: options.rootlessNetwork }, ["daemon", ...argv]);
  if (isRoot) return undefined;
  throw fault(
    "forbidden",
    "not-root",
    "the berth daemon needs root, or --rootless for containers that are yours alone",
  );
}

/** Root stays away from where another user may put links in its way. Throws a Fault "conflict". */
function refuseForeignRoots({ dataRoot, execRoot }: DaemonOptions): void {
  if (process.getuid?.() !== 0 || inUserNamespace()) return;
  for (const path of [dataRoot, execRoot])
    if ((statSync(path, { throwIfNoEntry: false })?.uid ?? 0) !== 0)
      throw fault(
        "conflict",
        "daemon-user-root",
        `${path} belongs to another user: a daemon that is not root has it (start this one with --user, too), or name another directory`,
      );
}

async function run(options: DaemonOptions, argv: readonly string[]): Promise<number> {
  setLogLevel(options.logLevel);
  leaveNoCoreDump();
  const keeper = await ownNamespaces(options, argv);
  refuseForeignRoots(options);
  for (const path of [options.dataRoot, options.execRoot])
    mkdirSync(path, { recursive: true, mode: 0o711 });
  const locks = [options.dataRoot, options.execRoot].map((root) =>
    lockRoot(
      root,
      (path) =>
        `another berth daemon uses ${path}: stop it, or give this one roots of its own (--data-root, --exec-root)`,
    ),
  );
  const programs = unpackPrograms(`${options.dataRoot}/bin`);
  confineHostPrograms(programs.helper);
  const names = instanceNames(options);
  const kernel = await startKernel({
    helperPath: programs.helper,
    shimPath: programs.shim,
    socketPath: `${options.execRoot}/helper.sock`,
    keeperPath: keeper,
    guarded: options.user !== undefined,
  });
  writeFileSync(options.pidfile, String(process.pid));
  let running: Running | undefined;
  try {
    const parts = await construct(options, kernel, hostMounts(programs.helper), names);
    running = {
      ...parts,
      servers: [],
      sockets: [],
      activated: [],
      metrics: undefined,
      gates: undefined,
    };
    await serveRegistry(options, running);
    await serve(options, running);
  } catch (error) {
    // Nothing may stay of a daemon that cannot listen: neither its bridge nor its firewall.
    await (running === undefined ? kernel.stop() : shutDown(running, kernel));
    rmSync(options.pidfile, { force: true });
    throw error;
  }
  log.info("Daemon has completed initialization", {
    version: VERSION,
    storage: running.deps.driver.name,
  });
  const status = await untilEnd(options, running, kernel);
  await shutDown(running, kernel);
  rmSync(options.pidfile, { force: true });
  for (const lock of locks) lock.close();
  return status;
}

/** Runs the daemon until it is told to end; gives the exit status. */
export async function runDaemon(argv: readonly string[]): Promise<number> {
  try {
    const options = parseDaemonOptions(argv);
    if (options === undefined) {
      console.log(daemonUsage.trimStart());
      return 0;
    }
    useProxies(options.proxies, process.env);
    return await run(options, argv);
  } catch (error) {
    console.error(`berth daemon: ${messageOf(error)}`);
    if (!(error instanceof Error && error.name === "Fault"))
      log.error("start of the daemon", { error });
    return 1;
  }
}
