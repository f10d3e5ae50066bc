/**
 * Directories of RUN --mount=type=cache, out of this host and into it.
 */
import { statSync } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { tarHeader } from "../base/tar-writer.ts";
import type { BuildThreads, CacheMounts } from "../builder/index.ts";
import { ContainerView, type SnapshotDriver } from "../storage/index.ts";
import type { Privileged } from "../tree/index.ts";

/** What copies are made with. */
export interface CacheMountCopiesDeps {
  readonly mounts: CacheMounts;
  readonly threads: BuildThreads;
  readonly driver: SnapshotDriver;
  readonly kernel: Privileged;
}

/** A directory as an archive, itself first. No build uses it until the archive is read or given up. Rejects with Faults. */
export function exportCacheMount(
  { mounts, driver, kernel }: CacheMountCopiesDeps,
  name: string,
  use: (archive: ByteStream) => Promise<void>,
): Promise<void> {
  return mounts.export(name, async ({ path }) => {
    const { mode, uid, gid, mtimeMs } = statSync(path);
    const root = tarHeader({
      ...{ path: "./", type: "directory", mode: mode & 0o7777, uid, gid, size: 0 },
      ...{ mtime: Math.floor(mtimeMs / 1000), linkPath: "", major: 0, minor: 0, xattrs: new Map() },
    });
    const found = await new ContainerView(kernel, [path], []).find("/", false);
    if (found === undefined) return;
    try {
      await use(
        (async function* () {
          yield root;
          yield* driver.packFound(found, ".");
        })(),
      );
    } finally {
      found.close();
    }
  });
}

/** Makes a directory of an archive, in the place of the one before; gives its id. Rejects with Faults. */
export function importCacheMount(
  { mounts, threads }: CacheMountCopiesDeps,
  name: string,
  body: ByteStream,
  signal: AbortSignal,
): Promise<string> {
  return mounts.import(name, (directory) =>
    threads.run("unpack", { directory, keepOwners: true, takeRoot: true }, { body, signal }),
  );
}
