/**
 * The drivers by name.
 */
import { mkdirSync } from "node:fs";
import type { Privileged } from "../tree/index.ts";
import type { SnapshotDriver } from "./driver.ts";
import { OverlayDriver } from "./overlay.ts";
import { VfsDriver } from "./vfs.ts";

/** Makes the driver's directories and gives the driver. `root` is the data root's folder for it. */
export function createDriver(
  name: "overlay2" | "vfs",
  root: string,
  kernel: Privileged,
): SnapshotDriver {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  return name === "vfs" ? new VfsDriver(root, kernel) : new OverlayDriver(root, kernel);
}
