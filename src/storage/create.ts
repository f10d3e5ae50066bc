/**
 * The drivers by name, and which of them a place can have.
 */
import { mkdirSync, statfsSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { BtrfsDriver } from "./btrfs.ts";
import type { DriverName, SnapshotDriver, StorageKernel } from "./driver.ts";
import { ErofsDriver, tryErofs } from "./erofs.ts";
import { FuseOverlayDriver, fuseOverlayMissing } from "./fuse-overlay.ts";
import { OverlayDriver } from "./overlay.ts";
import { VfsDriver } from "./vfs.ts";

/** File systems by their magic numbers, in Docker's words. */
const fileSystems: Readonly<Record<number, string>> = {
  61267: "extfs",
  2435016766: "btrfs",
  1481003842: "xfs",
  16914836: "tmpfs",
  2035054128: "overlayfs",
  801189825: "zfs",
  26985: "nfs",
  1702057286: "fuse",
  4076150800: "f2fs",
};

/** The kind of file system that a directory is on. */
export function fileSystemOf(path: string): string {
  return fileSystems[statfsSync(path).type] ?? "<unknown>";
}

/** Why a driver does not work, by its name; undefined for those that do. */
export type DriverSupport = Readonly<Record<DriverName, string | undefined>>;

/** Tries what each driver needs, on the file system of `directory`. `overlay`: the kernel's works there. */
export async function probeDrivers(
  directory: string,
  kernel: StorageKernel,
  overlay: boolean,
): Promise<DriverSupport> {
  const fileSystem = fileSystemOf(directory);
  const erofs = await tryErofs(kernel, `${directory}/probe-erofs`).then(
    () => undefined,
    (error: unknown) => `the kernel mounts no EROFS images from files: ${messageOf(error)}`,
  );
  return {
    overlay2: overlay
      ? undefined
      : `overlay cannot be mounted on ${directory}, which is on ${fileSystem}`,
    erofs,
    btrfs: fileSystem === "btrfs" ? undefined : `${directory} is on ${fileSystem}, not on btrfs`,
    "fuse-overlayfs": fuseOverlayMissing(directory),
    vfs: undefined,
  };
}

/** Makes the driver's directories and gives the driver. `root` is the data root's folder for it. */
export async function openDriver(
  name: DriverName,
  root: string,
  kernel: StorageKernel,
): Promise<SnapshotDriver> {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  switch (name) {
    case "overlay2":
      return new OverlayDriver(root, kernel);
    case "btrfs":
      return new BtrfsDriver(root, kernel);
    case "fuse-overlayfs":
      return new FuseOverlayDriver(root, kernel);
    case "vfs":
      return new VfsDriver(root, kernel);
    case "erofs": {
      const driver = new ErofsDriver(root, kernel);
      await driver.open();
      return driver;
    }
  }
}
