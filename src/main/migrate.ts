/**
 * `berth system migrate`: moves a data root to another storage driver, in a process of its own that holds the root as a
 * daemon would. That a daemon did it at its start would make every start one that may take an hour, or fail half-way.
 *
 * Nothing of the old driver is touched before all of the new one's is on the disk; then one note is replaced, which is the
 * moment of the change; then the old driver's files are deleted. Whoever comes next finds one of the two, whole.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename } from "node:path";
import { openDatabase } from "../base/database.ts";
import { fault } from "../base/errors.ts";
import { ContainerDatabase, type ContainerRecord, wholeChainsOf } from "../engine/index.ts";
import { type ImageRecord, ImageStore } from "../images/index.ts";
import { type Kernel, startKernel } from "../kernel/index.ts";
import { probeFeatures } from "../runtime/index.ts";
import {
  type Cargo,
  checkSupported,
  type DriverName,
  driverNamed,
  hasData,
  moveAll,
  openDriver,
  probeDrivers,
  readNote,
  type SnapshotDriver,
  writeNote,
} from "../storage/index.ts";
import { unpackPrograms } from "./assets.ts";
import { lockRoot } from "./lock.ts";
import { type DaemonOptions, parseDaemonOptions } from "./options.ts";
import { enterOwnNamespaces, KEEPER } from "./rootless/enter.ts";

type Tell = (line: string) => void;

/** Where to, and of which daemon. */
export interface MigrateOptions {
  readonly to: string;
  readonly dataRoot?: string;
  readonly configFile?: string;
}

/** A file of a process that may have gone. */
function processFile(pid: number | string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}

/** The run directories of all shims, by their last part. */
function shims(): Set<string> {
  const lines = readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .map((pid) => processFile(pid, "cmdline").split("\0"));
  const directories = lines.flatMap(([name, path]) =>
    name === "berth-shim" && path ? [path] : [],
  );
  return new Set(directories.map((path) => basename(path)));
}

/** Containers outlive their daemon: one that runs would go on writing where nobody looks any more. */
function checkNobodyRuns(records: readonly ContainerRecord[]): void {
  const supervised = shims();
  // A rootless daemon's may have no control group that names them.
  const running = records
    .filter(
      ({ id, state: { pid } }) =>
        supervised.has(id.slice(0, 32)) || (pid > 0 && processFile(pid, "cgroup").includes(id)),
    )
    .map(({ name }) => name);
  if (running.length > 0)
    throw fault(
      "conflict",
      "migrate-running",
      `containers are running: ${running.join(", ")}; start the daemon, stop them, and stop the daemon`,
    );
}

function archiveOf(images: ImageStore): Cargo["archive"] {
  const origin = new Map<string, [image: ImageRecord, index: number]>();
  for (const image of images.list())
    for (const [index, chainId] of image.chain.entries()) origin.set(chainId, [image, index]);
  return async (chain) => {
    const [image, index] = origin.get(chain.at(-1) ?? "") ?? [];
    if (image === undefined || index === undefined) return undefined;
    const tar = await images.layerArchive(image, index);
    return tar && { tar, diffId: image.document.rootfs.diff_ids[index] ?? "" };
  };
}

/** Deletes a driver's files as it does it itself, which some do at once, and then what is left. */
async function deleteDriver(driver: SnapshotDriver, root: string): Promise<void> {
  for (const id of driver.containers()) driver.remove(id);
  for (const chainId of driver.layers()) driver.removeLayer(chainId);
  await driver.settled();
  rmSync(root, { recursive: true, force: true });
}

/** Which driver the data is moved from; undefined when there is nothing to move. */
function sourceOf(dataRoot: string, to: DriverName): DriverName | undefined {
  const note = readNote(dataRoot);
  for (const left of [note?.outgoing, note?.incoming])
    if (left !== undefined && left !== to && left !== note?.driver)
      rmSync(`${dataRoot}/${left}`, { recursive: true, force: true });
  if (note === undefined || note.driver === to || !hasData(dataRoot, note.driver)) return undefined;
  if (note.incoming !== to && hasData(dataRoot, to))
    throw fault(
      "conflict",
      "migrate-target",
      `${dataRoot}/${to} has data already, which nothing names: move it away first`,
    );
  return note.driver;
}

async function move(dataRoot: string, to: DriverName, kernel: Kernel, tell: Tell): Promise<void> {
  const features = await probeFeatures(kernel, `${dataRoot}/probe`);
  checkSupported(to, await probeDrivers(dataRoot, kernel, features.overlay));
  const from = sourceOf(dataRoot, to);
  if (from === undefined) {
    writeNote(dataRoot, { driver: to });
    tell(`nothing to move: the storage driver is ${to}`);
    return;
  }
  const database = new ContainerDatabase(`${dataRoot}/containers.db`);
  const records = database.all();
  checkNobodyRuns(records);
  writeNote(dataRoot, { driver: from, incoming: to });
  const source = await openDriver(from, `${dataRoot}/${from}`, kernel);
  const target = await openDriver(to, `${dataRoot}/${to}`, kernel);
  const db = openDatabase(`${dataRoot}/berth.db`, "FULL");
  const images = new ImageStore({ root: `${dataRoot}/content`, db, driver: source });
  const cargo: Cargo = {
    chains: [...images.list().map(({ chain }) => chain), ...records.flatMap(wholeChainsOf)],
    containers: records.map(({ id, chain }) => ({ id, chain, volatile: false })),
    archive: archiveOf(images),
  };
  await moveAll(source, target, cargo, tell);
  if (Bun.spawnSync(["sync", "-f", dataRoot]).exitCode !== 0)
    throw fault("failed", "migrate-sync", `what was written to ${dataRoot} did not reach the disk`);
  writeNote(dataRoot, { driver: to, outgoing: from });
  tell(`moved to ${to}; deleting what ${from} had`);
  await deleteDriver(source, `${dataRoot}/${from}`);
  writeNote(dataRoot, { driver: to });
  database.close();
  db.close();
}

/**
 * The options of the daemon whose data it is. A user's own data has the owners of a user namespace: it is moved inside of
 * one, so this does not return then, but goes on there from the beginning.
 */
async function optionsOf({
  to,
  dataRoot,
  configFile,
}: MigrateOptions): Promise<DaemonOptions | undefined> {
  const places = [
    ...(dataRoot === undefined ? [] : ["--data-root", dataRoot]),
    ...(configFile === undefined ? [] : ["--config-file", configFile]),
  ];
  const isRoot = process.getuid?.() === 0;
  const isInside = isRoot && process.env[KEEPER] !== undefined;
  if (isRoot && !isInside) return parseDaemonOptions(places);
  const options = parseDaemonOptions(["--rootless", ...places]);
  if (isInside || options === undefined || !existsSync(options.dataRoot)) return options;
  const own = { dataRoot: options.dataRoot, execRoot: `${options.execRoot}/migration` };
  await enterOwnNamespaces({ ...own, network: "none" }, [
    "system",
    "migrate",
    "--to",
    to,
    ...places,
  ]);
  return options;
}

/** Moves a data root. Throws Faults; whatever happens, the data root has the old driver's data or the new one's. */
export async function migrate(asked: MigrateOptions, tell: Tell): Promise<void> {
  const to = driverNamed(asked.to);
  const { dataRoot = "" } = (await optionsOf(asked)) ?? {};
  if (!existsSync(dataRoot))
    throw fault("not-found", "no-data-root", `there is no data root at ${dataRoot}`);
  const owner = statSync(dataRoot).uid;
  if (owner !== 0)
    throw fault(
      "forbidden",
      "migrate-owner",
      `${dataRoot} is the data of the user ${owner}, as whom to run this`,
    );
  const lock = lockRoot(
    dataRoot,
    (path) => `a berth daemon uses ${path}: stop it first (its containers too)`,
  );
  mkdirSync(`${dataRoot}/bin`, { recursive: true, mode: 0o700 });
  const programs = unpackPrograms(`${dataRoot}/bin`);
  const scratch = mkdtempSync("/tmp/berth-migrate-");
  try {
    const kernel = await startKernel({
      helperPath: programs.helper,
      shimPath: programs.shim,
      socketPath: `${scratch}/helper.sock`,
    });
    try {
      await move(dataRoot, to, kernel, tell);
    } finally {
      await kernel.stop();
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    lock.close();
  }
}
