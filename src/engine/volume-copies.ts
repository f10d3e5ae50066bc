/**
 * What a volume holds, as an archive or in another volume: as it is at one moment, in which those who write to it stand still.
 * A copy appears whole; nothing is left of one that was broken off.
 */
import { closeSync, mkdirSync } from "node:fs";
import { basename, dirname } from "node:path/posix";
import { type ByteStream, decompress } from "../base/compression.ts";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import { tarEnd } from "../base/tar-writer.ts";
import { copyTree } from "../storage/index.ts";
import {
  canMirror,
  Extractor,
  Mirror,
  openRoot,
  Packer,
  placeIn,
  TargetTree,
  walkMerged,
} from "../tree/index.ts";
import { isOwnDirectory } from "../volumes/index.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { holdStill } from "./held-still.ts";

const SNAPSHOT_OF = "berth.snapshot-of";

/** The containers that may write to a volume just now. */
export function writersOf({ registry }: EngineDeps, name: string): Container[] {
  return registry
    .all()
    .filter(({ running, beginning }) => running || beginning)
    .filter(({ record }) => record.state.status !== "paused")
    .filter(({ record }) =>
      record.mounts.some(({ volume, readOnly }) => volume === name && !readOnly),
    );
}

/** Has a volume to itself: it is mounted, and nobody removes it. */
export async function withVolume<T>(
  deps: EngineDeps,
  name: string,
  work: (source: string) => Promise<T>,
): Promise<T> {
  const user = `copy-${crypto.randomUUID()}`;
  const source = await deps.volumeDrivers.use(name, user);
  deps.volumes.noteMount(name, user);
  try {
    return await work(source);
  } finally {
    await deps.volumeDrivers.letGo(user);
  }
}

/**
 * Copies a directory of a volume into "_data" of a staged one while the volume's writers stand still: for as long as the copy takes,
 * or only for what has changed during a first copy.
 */
export async function copyStill(
  deps: EngineDeps,
  { name, source }: { readonly name: string; readonly source: string },
  staged: string,
  signal: AbortSignal,
): Promise<void> {
  const into = `${staged}/_data`;
  const early = isOwnDirectory(deps.volumes.get(name)) && writersOf(deps, name).length > 0;
  if (!early || !(await canMirror(source, staged))) {
    const letGo = await holdStill(deps, writersOf(deps, name));
    return copyTree(source, into, signal).finally(letGo);
  }
  mkdirSync(into, { mode: 0o700 });
  const mirror = new Mirror(deps.kernel, source, into, signal);
  await mirror.begin();
  const letGo = await holdStill(deps, writersOf(deps, name));
  await mirror.finish().finally(letGo);
}

/** A copy of what a volume holds, in a directory that is nobody else's; whoever asks for it takes it away. */
function stagedCopy(deps: EngineDeps, name: string, signal: AbortSignal): Promise<string> {
  return withVolume(deps, name, async (source) => {
    const staged = deps.volumes.stage();
    try {
      // A container that is to start with it waits until this is done.
      await deps.volumeDrivers.inTurn(name, async () => {
        signal.throwIfAborted();
        await copyStill(deps, { name, source }, staged, signal);
      });
      return staged;
    } catch (error) {
      deps.volumes.unstage(staged);
      throw error;
    }
  });
}

/** A directory as an archive: itself as ".", then everything in it. */
async function* packDirectory({ kernel }: EngineDeps, path: string): ByteStream {
  const [parent, root] = [openRoot(dirname(path)), openRoot(path)];
  try {
    const packer = new Packer(kernel, true);
    const itself = placeIn(parent, basename(path));
    if (itself !== undefined) yield* packer.entry("./", itself);
    for await (const { path: inner, place } of walkMerged(kernel, [root]))
      yield* packer.entry(`./${inner}`, place);
    yield tarEnd();
  } finally {
    closeSync(parent);
    closeSync(root);
  }
}

/** Streams what nobody writes to; breaks off when somebody has begun to. */
async function* packQuiet(deps: EngineDeps, name: string, source: string): ByteStream {
  const began = Date.now();
  yield* packDirectory(deps, source);
  const touched = deps.registry
    .all()
    .filter(({ record }) => record.mounts.some(({ volume }) => volume === name))
    .some(({ running, record }) => running || Date.parse(record.state.startedAt) >= began);
  if (touched)
    throw fault(
      "conflict",
      "volume-changed",
      `export ${name}: a container with this volume was started meanwhile: call it again`,
    );
}

/** What a volume holds as a tar archive. Throws a Fault "not-found". */
export async function exportVolume(
  deps: EngineDeps,
  name: string,
  signal: AbortSignal,
): Promise<ByteStream> {
  deps.volumes.get(name);
  if (writersOf(deps, name).length > 0) {
    const staged = await stagedCopy(deps, name, signal);
    return (async function* () {
      try {
        yield* packDirectory(deps, `${staged}/_data`);
      } finally {
        deps.volumes.unstage(staged);
      }
    })();
  }
  const user = `copy-${crypto.randomUUID()}`;
  const source = await deps.volumeDrivers.use(name, user);
  deps.volumes.noteMount(name, user);
  return (async function* () {
    try {
      yield* packQuiet(deps, name, source);
    } finally {
      await deps.volumeDrivers.letGo(user);
    }
  })();
}

async function unpack(deps: EngineDeps, archive: ByteStream, into: string): Promise<void> {
  const root = openRoot(into);
  const tree = new TargetTree(root);
  try {
    const reader = new TarReader(await decompress(archive));
    await new Extractor(tree, deps.kernel, { whiteouts: "keep", takeRoot: true }).extract(reader);
    await reader.drain();
  } catch (error) {
    if (error instanceof Error && "kind" in error) throw error;
    const why = `import: ${messageOf(error)}`;
    if (errnoOf(error) === "ENOSPC" || errnoOf(error) === "EDQUOT")
      throw fault("failed", "volume-write", why, error);
    throw fault("invalid", "volume-archive", why, error);
  } finally {
    tree.close();
    closeSync(root);
  }
}

/**
 * Makes a volume of a tar archive (plain or compressed), or fills one that is there and empty: with all of it, or not at all.
 * Throws a Fault "conflict" for a volume that holds something.
 */
export async function importVolume(
  deps: EngineDeps,
  name: string,
  archive: ByteStream,
  labels: Readonly<Record<string, string>>,
): Promise<{ readonly isNew: boolean }> {
  const known = deps.volumes.find(name);
  if (known === undefined) {
    deps.volumes.checked({ name });
    const staged = deps.volumes.stage(true);
    try {
      await unpack(deps, archive, `${staged}/_data`);
      deps.volumes.adopt(staged, { name, labels });
    } finally {
      deps.volumes.unstage(staged);
    }
    return { isNew: true };
  }
  await deps.volumeDrivers.inTurn(name, async () => {
    if (!isOwnDirectory(known) || !deps.volumes.isEmpty(name))
      throw fault("conflict", "volume-exists", `import ${name}: the volume is there and not empty`);
    const filling = deps.volumes.filling(name);
    try {
      await unpack(deps, archive, filling.begin());
      if (!deps.volumes.isEmpty(name))
        throw fault(
          "conflict",
          "volume-exists",
          `import ${name}: somebody has written to the volume`,
        );
      filling.commit();
    } finally {
      filling.abandon();
    }
  });
  return { isNew: false };
}

function snapshotName(name: string): string {
  return `${name}-${new Date().toISOString().replace(/[-:]|\.\d+Z$/g, "")}`;
}

/** How to copy a volume into another. */
export interface VolumeCopyRequest {
  /** The new one; empty for a snapshot that is called after the time. */
  readonly name: string;
  /** Note in its labels whose state it is. */
  readonly isSnapshot: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Makes a volume that holds what another does now; gives its name. Throws Faults "not-found" and "conflict". */
export async function copyVolume(
  deps: EngineDeps,
  from: string,
  request: VolumeCopyRequest,
): Promise<string> {
  const source = deps.volumes.get(from);
  const name = request.name || snapshotName(from);
  const { labels } = deps.volumes.checked({
    name,
    labels: { ...source.labels, ...request.labels },
  });
  const noted = request.isSnapshot ? { ...labels, [SNAPSHOT_OF]: from } : labels;
  deps.volumes.checkFree(name);
  const staged = await stagedCopy(deps, from, request.signal);
  try {
    deps.volumes.adopt(staged, { name, labels: noted });
  } finally {
    deps.volumes.unstage(staged);
  }
  return name;
}
