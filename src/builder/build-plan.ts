/**
 * What a build is going to do, as far as its Dockerfile tells: its stages and variables. Pure.
 */
import { type BuildArguments, globalScope } from "./dockerfile/scope.ts";
import {
  type Dockerfile,
  findStage,
  parseDockerfile,
  replaceStages,
  type Stage,
  targetStage,
} from "./dockerfile/stages.ts";
import { Budget, expandWord } from "./dockerfile/words.ts";
import { Numbering } from "./numbering.ts";
import type { BuildRequest } from "./request.ts";

/** A build that has been looked at. */
export interface BuildPlan {
  readonly dockerfile: Dockerfile;
  readonly target: Stage;
  /** The stages that the target needs, itself among them, in the order of the Dockerfile. */
  readonly needed: readonly Stage[];
  readonly arguments: BuildArguments;
  readonly globals: ReadonlyMap<string, string>;
  readonly numbers: Numbering;
}

/** What of a request a plan depends on. */
type PlannedRequest = Pick<
  BuildRequest,
  "dockerfile" | "target" | "args" | "platform" | "hostPlatform"
> & { readonly named: Pick<BuildRequest["named"], "has"> };

type Globals = ReadonlyMap<string, string>;

/** What FROM names, perhaps by arguments: FROM for-$TARGETARCH. What is wrong with it is told when it is looked up. */
function baseName({ source }: Dockerfile, { from }: Stage, globals: Globals): string {
  try {
    return expandWord(from.image, source.escapeMark, (name) => globals.get(name));
  } catch {
    return from.image;
  }
}

/** The stages that a stage needs by name or number: what it stands on and copies or mounts from. */
function dependencies(dockerfile: Dockerfile, stage: Stage, globals: Globals): Stage[] {
  const names = stage.instructions.flatMap((one) => {
    if (one.kind === "copy") return one.from ?? [];
    if (one.kind !== "run") return [];
    return one.mounts.flatMap((mount) => /(?:^|,)from=([^,]*)/.exec(mount)?.[1] ?? []);
  });
  return [baseName(dockerfile, stage, globals), ...names].flatMap(
    (name) => findStage(dockerfile, name, stage.index) ?? [],
  );
}

/** The stages that a target needs, itself among them, in the order of the Dockerfile. */
function neededStages(dockerfile: Dockerfile, target: Stage, globals: Globals): Stage[] {
  const found = new Set<Stage>([target]);
  // What is added is come to as well.
  for (const stage of found)
    for (const one of dependencies(dockerfile, stage, globals)) found.add(one);
  return [...found].sort((a, b) => a.index - b.index);
}

/** Reads a build's Dockerfile. Throws a Fault "invalid" that names the line of a mistake. */
export function planBuild(request: PlannedRequest): BuildPlan {
  const { named } = request;
  const dockerfile = replaceStages(parseDockerfile(request.dockerfile), (one) => named.has(one));
  const target = targetStage(dockerfile, request.target);
  const build: BuildArguments = {
    given: request.args,
    targetPlatform: request.platform ?? request.hostPlatform,
    buildPlatform: request.hostPlatform,
    target: request.target,
    budget: new Budget(),
  };
  const globals = globalScope(dockerfile, build);
  const needed = neededStages(dockerfile, target, globals);
  const numbers = new Numbering(needed);
  return { dockerfile, target, needed, arguments: build, globals, numbers };
}
