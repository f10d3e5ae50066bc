/**
 * What the command of a RUN has changed, as a layer's archive.
 */
import type { ByteStream } from "../../base/compression.ts";
import { type Change, changesIn, packChanges } from "../../storage/index.ts";
import type { Privileged } from "../../tree/index.ts";
import type { StepChanges } from "../ports.ts";

/** Packs changes, with no time after `latest` (seconds since 1970). */
export function packStepChanges(
  kernel: Privileged,
  { comparison, stubs }: StepChanges,
  latest = Number.POSITIVE_INFINITY,
): ByteStream {
  const own = without(new Set(stubs), changesIn(kernel, comparison));
  return packChanges(kernel, own, false, (entry) => ({
    ...entry,
    mtime: Math.min(entry.mtime, latest),
  }));
}

/** Leaves out what is only there for mounts: empty files, and directories that nothing else is in. */
async function* without(
  stubs: ReadonlySet<string>,
  changes: AsyncIterable<Change>,
): AsyncGenerator<Change> {
  let held: Change[] = [];
  for await (const change of changes) {
    held = held.filter(({ path }) => change.path.startsWith(`${path}/`));
    if (stubs.has(change.path) && change.kind === "added") {
      if (change.place?.info.isDirectory()) held.push(change);
      else if (change.place?.info.size !== 0) yield* [...held.splice(0), change];
      continue;
    }
    yield* held.splice(0);
    yield change;
  }
}
