/**
 * builder: Dockerfiles to images. Knows neither the engine nor HTTP.
 */
export { changeConfig } from "./dockerfile/changes.ts";
export {
  type EvaluatedStage,
  evaluateStage,
  type Step,
  scratchConfig,
  type Work,
} from "./dockerfile/evaluate.ts";
export type { Instruction } from "./dockerfile/instructions.ts";
export { type BuildArguments, globalScope, unusedArguments } from "./dockerfile/scope.ts";
export { type Dockerfile, findStage, parseDockerfile, targetStage } from "./dockerfile/stages.ts";
