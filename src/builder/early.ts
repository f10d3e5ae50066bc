/**
 * What a step that looks at files is known by before any file of what it stands on is here: by what it stands on as a whole, its
 * words, and what it copies. So a host can take a row of steps from another's cache and fetch nothing but the last of them.
 */
import { cacheKey } from "./cache.ts";
import type { TreeSpec } from "./copy/spec.ts";
import type { CopyWork } from "./dockerfile/evaluate.ts";
import type { PerformerDeps, StageFiles, StepInput } from "./perform.ts";
import type { Snapshot } from "./ports.ts";
import { isFetched } from "./repositories.ts";
import type { BuildRequest } from "./request.ts";

/** Such a key. */
export interface EarlyKey {
  readonly key: string;
  /** What the step's other key is made of: with these here, nobody needs this one. */
  readonly needs: readonly Snapshot[];
}

/** A digest of what is copied of a tree, wherever it goes. */
async function sourceDigest(
  { threads }: Pick<PerformerDeps, "threads">,
  { signal }: BuildRequest,
  tree: TreeSpec,
  work: CopyWork,
): Promise<string> {
  const anywhere = { ...work, destination: "/copied/", link: true };
  const spec = { work: anywhere, tree, base: tree.directories, fetched: [], time: 0 };
  const owner = { uid: 0, gid: 0 };
  return (await threads.run("digestCopy", { ...spec, owner }, { signal })).digest;
}

/** Undefined when nobody asks for it, or when a step is known by its other key as early. */
export async function earlyKey(
  deps: Pick<PerformerDeps, "threads">,
  request: BuildRequest,
  { work, snapshot, stage }: StepInput,
  epoch: number | undefined,
  files: (name: string, before: number) => Promise<StageFiles>,
): Promise<EarlyKey | undefined> {
  const { shared } = request;
  if (!(shared.areRead || shared.areWritten) || work.kind === "run") return undefined;
  const parts = ["early", work.kind, snapshot.chain.at(-1) ?? "", epoch ?? null];
  if (work.kind === "workdir")
    return { key: cacheKey([...parts, work.path, work.user]), needs: [snapshot] };
  if (work.sources.some((source) => isFetched(work, source))) return undefined;
  const from = work.from === undefined ? { tree: request.context } : await files(work.from, stage);
  if ("snapshot" in from) {
    const source = from.snapshot.chain.at(-1) ?? "";
    return { key: cacheKey([...parts, work, source]), needs: [snapshot, from.snapshot] };
  }
  const source = await sourceDigest(deps, request, from.tree, work);
  return { key: cacheKey([...parts, work, source]), needs: [snapshot] };
}
