/**
 * Files into and out of a volume, without a container: as `cp` does it with one.
 */
import { closeSync } from "node:fs";
import { type ByteStream, decompress } from "../base/compression.ts";
import { errnoOf, fault } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import { ContainerView, copyTree, type Found } from "../storage/index.ts";
import { Extractor, namesOf, openRoot, TargetTree } from "../tree/index.ts";
import type { CopyInRequest } from "./copy-in.ts";
import { baseOf, type PathStat, statOf } from "./copying.ts";
import type { EngineDeps } from "./deps.ts";
import { holdStill } from "./held-still.ts";
import { copyStill, withVolume, writersOf } from "./volume-copies.ts";

function noSuchFile(path: string, name: string): Error {
  return fault("not-found", "no-such-path", `Could not find the file ${path} in volume ${name}`);
}

async function withFound<T>(
  deps: EngineDeps,
  source: string,
  { name, path }: { readonly name: string; readonly path: string },
  work: (view: ContainerView, found: Found) => Promise<T>,
): Promise<T> {
  // Links are followed as in a container that has nothing but the volume.
  const view = new ContainerView(deps.kernel, [source], []);
  const found = await view.find(path, false);
  if (found === undefined) throw noSuchFile(path, name);
  try {
    return await work(view, found);
  } finally {
    found.close();
  }
}

/** What is at a path of a volume. Throws a Fault "not-found". */
export function statInVolume(deps: EngineDeps, name: string, path: string): Promise<PathStat> {
  return withVolume(deps, name, (source) =>
    withFound(deps, source, { name, path }, (view, found) => statOf(view, found, path)),
  );
}

/** The place of something that has been looked up, for another process, while it is not closed. */
function placeForOthers({ place, directories }: Found): string {
  const [only] = directories;
  // A directory's own descriptor: whoever swaps its name for a link leads nobody elsewhere.
  return only === undefined ? (place?.pathForOthers ?? "") : `/proc/${process.pid}/fd/${only}/.`;
}

/** A copy of what is at a path, of one moment, beside the volume. */
function stagedPath(
  deps: EngineDeps,
  asked: { readonly name: string; readonly path: string },
  staged: string,
  signal: AbortSignal,
): Promise<PathStat> {
  const { name, path } = asked;
  return withVolume(deps, name, (source) =>
    deps.volumeDrivers.inTurn(name, () =>
      withFound(deps, source, asked, async (view, found) => {
        const place = placeForOthers(found);
        if (found.directories.length > 0)
          await copyStill(deps, { name, source: place }, staged, signal);
        else {
          const letGo = await holdStill(deps, writersOf(deps, name));
          await copyTree(place, `${staged}/_data`, signal).finally(letGo);
        }
        return statOf(view, found, path);
      }),
    ),
  );
}

/** What is at a path of a volume as an archive whose entries begin with the path's last component. */
export async function copyOutOfVolume(
  deps: EngineDeps,
  name: string,
  path: string,
  signal: AbortSignal,
): Promise<{ stat: PathStat; archive: ByteStream }> {
  const staged = deps.volumes.stage();
  try {
    const stat = await stagedPath(deps, { name, path }, staged, signal);
    const archive = async function* () {
      try {
        const found = await new ContainerView(deps.kernel, [staged], []).find("/_data", false);
        if (found === undefined) return;
        try {
          yield* deps.driver.packFound(found, baseOf(path));
        } finally {
          found.close();
        }
      } finally {
        deps.volumes.unstage(staged);
      }
    };
    return { stat, archive: archive() };
  } catch (error) {
    deps.volumes.unstage(staged);
    throw error;
  }
}

/** Unpacks an archive (plain or compressed) into a directory of a volume. Throws Faults as `cp` into a container does. */
export function copyIntoVolume(
  deps: EngineDeps,
  name: string,
  request: Omit<CopyInRequest, "asked">,
  archive: ByteStream,
): Promise<void> {
  return withVolume(deps, name, async (source) => {
    const root = openRoot(source);
    const tree = new TargetTree(root);
    try {
      let base: string;
      try {
        base = tree.resolve([], namesOf(request.path), false);
      } catch (error) {
        if (errnoOf(error) === "ENOENT") throw noSuchFile(request.path, name);
        throw fault("invalid", "not-a-directory", "extraction point is not a directory", error);
      }
      const reader = new TarReader(await decompress(archive));
      const keepKinds = request.noOverwriteDirNonDir;
      // A volume has no user: owners are those of the archive.
      const options = { whiteouts: "keep", base, keepKinds } as const;
      await new Extractor(tree, deps.kernel, options).extract(reader);
      await reader.drain();
    } finally {
      tree.close();
      closeSync(root);
    }
  });
}
