/**
 * The data root's storage driver: chosen, opened, and described for /info.
 */
import { log } from "../base/log.ts";
import { Trash } from "../base/trash.ts";
import type { Kernel } from "../kernel/index.ts";
import {
  chooseDriver,
  type DriverSupport,
  driverNames,
  fileSystemOf,
  openDriver,
  probeDrivers,
  readNote,
  type SnapshotDriver,
  writeNote,
} from "../storage/index.ts";
import type { DaemonOptions } from "./options.ts";

/** The driver, and what is to be said of it. */
export interface Storage {
  readonly driver: SnapshotDriver;
  /** As /info has it. */
  readonly status: readonly (readonly [name: string, value: string])[];
  readonly warnings: readonly string[];
}

type StorageOptions = Pick<DaemonOptions, "dataRoot" | "storageDriver">;

/** Throws away what a migration has left: what it was writing when it was cut off, or what it had come from. */
function finishMigration({ dataRoot, storageDriver }: StorageOptions): void {
  const note = readNote(dataRoot, storageDriver);
  if (note === undefined || (note.incoming ?? note.outgoing) === undefined) return;
  const trash = new Trash(`${dataRoot}/trash`);
  for (const name of [note.incoming, note.outgoing]) {
    if (name === undefined || name === note.driver) continue;
    log.warn("delete what a migration of storage has left", { driver: name });
    trash.discard(`${dataRoot}/${name}`);
  }
  writeNote(dataRoot, { driver: note.driver });
}

function statusOf(dataRoot: string, support: DriverSupport, lowerdirPlus: boolean) {
  const works = driverNames.filter((name) => support[name] === undefined);
  return [
    ["Backing Filesystem", fileSystemOf(dataRoot)],
    ["Supports d_type", "true"],
    ["Unbounded layers (lowerdir+)", String(lowerdirPlus)],
    ["Drivers that work here", works.join(" ")],
  ] as const;
}

/** Opens the driver of the data root. Throws Faults when it cannot be the one that is asked for. */
export async function openStorage(
  options: StorageOptions,
  kernel: Kernel,
  features: { readonly overlay: boolean; readonly lowerdirPlus: boolean },
): Promise<Storage> {
  const { dataRoot } = options;
  const support = await probeDrivers(dataRoot, kernel, features.overlay);
  finishMigration(options);
  const name = chooseDriver(dataRoot, options.storageDriver, support);
  const isLastResort = name === "vfs" && options.storageDriver === undefined;
  const warnings = isLastResort
    ? [
        `WARNING: Storage driver vfs copies whole trees, which is slow and takes much space: ${support.overlay2}`,
      ]
    : [];
  const driver = await openDriver(name, `${dataRoot}/${name}`, kernel);
  return { driver, status: statusOf(dataRoot, support, features.lowerdirPlus), warnings };
}
