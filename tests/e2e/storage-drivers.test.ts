/** Every storage driver on the file systems that it is for: the suite, and containers of a daemon. */
import { mkdtempSync, rmSync } from "node:fs";
import { type FileSystemKind, fileSystemMissing, TestFileSystem } from "../kits/file-system.ts";
import { type SuitePlace, storageSuite } from "../kits/storage-suite.ts";

/** A directory on the file system of /tmp. */
function here(): SuitePlace {
  const path = mkdtempSync("/tmp/bs-");
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

storageSuite("overlay2", "the host's file system", here);
storageSuite("erofs", "the host's file system", here);
storageSuite("vfs", "the host's file system", here);
for (const [driver, kind] of [
  ["overlay2", "xfs"],
  ["overlay2", "btrfs"],
  ["erofs", "xfs"],
  ["erofs", "btrfs"],
  ["btrfs", "btrfs"],
  ["vfs", "xfs"],
] as const satisfies readonly (readonly [string, FileSystemKind])[])
  storageSuite(driver, kind, () => new TestFileSystem(kind), fileSystemMissing(kind));
