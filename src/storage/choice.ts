/**
 * Which driver a data root has. It is noted there, so that nobody loses sight of images and containers by another flag.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { fault } from "../base/errors.ts";
import { own } from "../base/own.ts";
import type { DriverSupport } from "./create.ts";
import { type DriverName, driverNames } from "./driver.ts";

/** What is noted. */
export interface StorageNote {
  readonly driver: DriverName;
  /** The driver that a migration was writing for when it was cut off: nothing of it counts. */
  readonly incoming?: DriverName | undefined;
  /** The driver that a migration has come from: nothing of it is needed any more. */
  readonly outgoing?: DriverName | undefined;
}

/** Drivers of other engines, and what serves instead. */
const retired: Readonly<Record<string, string>> = {
  devicemapper: "overlay2 on any file system, or btrfs for snapshots by the file system",
  aufs: "overlay2, which is its successor",
  overlay: "overlay2",
  zfs: "overlay2 (on a data root that is on ext4, xfs or btrfs), or vfs on ZFS itself",
  windowsfilter: "overlay2: this is Linux",
};

/** A driver by its name. Throws a Fault "invalid" that says what to use instead. */
export function driverNamed(name: string): DriverName {
  const found = driverNames.find((one) => one === name);
  if (found !== undefined) return found;
  const instead = own(retired, name);
  throw fault(
    "invalid",
    "storage-driver",
    instead === undefined
      ? `unknown storage driver "${name}": there are ${driverNames.join(", ")}`
      : `the storage driver ${name} is not supported any more: use ${instead}`,
  );
}

function noteFile(dataRoot: string): string {
  return `${dataRoot}/storage.json`;
}

function entriesIn(path: string): number {
  return existsSync(path) ? readdirSync(path).length : 0;
}

/** True when a driver has anything that somebody may want back. */
export function hasData(dataRoot: string, driver: DriverName): boolean {
  const root = `${dataRoot}/${driver}`;
  return entriesIn(`${root}/layers`) + entriesIn(`${root}/containers`) > 0;
}

/**
 * What is noted in a data root. Without a note: what its directories tell, and when they tell of several drivers, the one
 * that is asked for. Throws a Fault "failed" for a damaged note, and "conflict" when it cannot tell.
 */
export function readNote(dataRoot: string, asked?: DriverName): StorageNote | undefined {
  if (!existsSync(noteFile(dataRoot))) {
    const found = driverNames.filter((name) => hasData(dataRoot, name));
    const [driver] = found.length > 1 ? found.filter((name) => name === asked) : found;
    if (found.length > 1 && driver === undefined)
      throw fault(
        "conflict",
        "several-drivers",
        `${dataRoot} has data of several storage drivers (${found.join(", ")}): choose one with --storage-driver`,
      );
    return driver && { driver };
  }
  try {
    const note = JSON.parse(readFileSync(noteFile(dataRoot), "utf8"));
    const named = (value: unknown) =>
      value === undefined ? undefined : driverNamed(String(value));
    return {
      driver: driverNamed(String(note.driver)),
      incoming: named(note.incoming),
      outgoing: named(note.outgoing),
    };
  } catch (error) {
    throw fault(
      "failed",
      "storage-note",
      `${noteFile(dataRoot)} is damaged: write {"driver": "NAME"} into it, with the driver that the data was written with`,
      error,
    );
  }
}

/** Notes; it has reached the disk when this returns. */
export function writeNote(dataRoot: string, note: StorageNote): void {
  writeFileAtomic(noteFile(dataRoot), `${JSON.stringify(note)}\n`, { durable: true });
}

/** Throws a Fault "unsupported" when a driver does not work here. */
export function checkSupported(driver: DriverName, support: DriverSupport): void {
  const reason = support[driver];
  if (reason !== undefined)
    throw fault(
      "unsupported",
      "driver-unsupported",
      `the storage driver ${driver} does not work here: ${reason}; there is always vfs, or another --data-root`,
    );
}

/**
 * The driver of a data root: the one that its data was written with, else the one that is asked for, else the best that
 * works. Notes it. Throws a Fault "conflict" when another is asked for than the data has.
 */
export function chooseDriver(
  dataRoot: string,
  asked: DriverName | undefined,
  support: DriverSupport,
): DriverName {
  const noted = readNote(dataRoot, asked);
  const kept = noted !== undefined && hasData(dataRoot, noted.driver) ? noted.driver : undefined;
  if (kept !== undefined && asked !== undefined && asked !== kept)
    throw fault(
      "conflict",
      "driver-differs",
      `${dataRoot} has images and containers of the storage driver ${kept}, not ${asked}: move them with "berth system migrate --to ${asked}", or give another --data-root`,
    );
  const preferred = (["overlay2", "btrfs", "fuse-overlayfs", "vfs"] as const).find(
    (name) => support[name] === undefined,
  );
  const driver = kept ?? asked ?? preferred ?? "vfs";
  checkSupported(driver, support);
  if (noted?.driver !== driver) writeNote(dataRoot, { ...noted, driver });
  return driver;
}
