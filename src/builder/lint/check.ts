/**
 * A build that is only checked: its stages are evaluated on what is known of their bases, and nothing is done.
 */
import type { ImageConfig } from "../../spec/engine-api.ts";
import { parsePlatform } from "../../spec/platform.ts";
import type { BuildPlan } from "../build-plan.ts";
import { evaluateStage, scratchConfig } from "../dockerfile/evaluate.ts";
import { findStage, type Stage } from "../dockerfile/stages.ts";
import { expandWord } from "../dockerfile/words.ts";
import type { BuildImages } from "../ports.ts";
import type { BuildRequest } from "../request.ts";
import type { BuildLint } from "./build-lint.ts";

interface CheckDeps {
  readonly images: BuildImages;
  readonly request: BuildRequest;
}

/** What an image that FROM names has; undefined for one that is not here. */
async function configOf(
  name: string,
  stage: Stage,
  plan: BuildPlan,
  { images, request }: CheckDeps,
): Promise<ImageConfig | undefined> {
  const { escapeMark } = plan.dockerfile.source;
  if (name === "scratch") return scratchConfig;
  const context = await request.named.find(name);
  if (context?.kind === "tree") return scratchConfig;
  const { platform: text = "" } = stage.from;
  const asked = expandWord(text, escapeMark, (one) => plan.globals.get(one));
  const platform = asked === "" ? request.platform : parsePlatform(asked);
  return images.configOf(context?.reference ?? name, platform);
}

/** Checks all stages that the target needs. Rejects with a Fault "invalid" for what no build could do. */
export async function checkPlan(plan: BuildPlan, lint: BuildLint, deps: CheckDeps): Promise<void> {
  const { dockerfile, globals } = plan;
  const { escapeMark } = dockerfile.source;
  lint.file(plan.arguments);
  const configs = new Map<Stage, ImageConfig | undefined>();
  for (const stage of plan.needed) {
    const name = expandWord(stage.from.image, escapeMark, (one) => globals.get(one));
    const below = findStage(dockerfile, name, stage.index);
    const base = below === undefined ? await configOf(name, stage, plan, deps) : configs.get(below);
    const { steps, config } = evaluateStage({
      instructions: stage.instructions,
      ...{ escapeMark, base: base ?? {}, build: plan.arguments, globals },
    });
    lint.stage({ stage, below, base, steps, globals });
    configs.set(stage, base === undefined ? undefined : config);
  }
  lint.enforce();
}
