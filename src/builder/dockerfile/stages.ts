/**
 * A Dockerfile as stages, and which of them a target needs. Pure.
 */
import { fault } from "../../base/errors.ts";
import { type Instruction, parseInstruction } from "./instructions.ts";
import { mistake, readSource, type Source } from "./source.ts";

/** One FROM and what follows it. */
export interface Stage {
  readonly index: number;
  readonly name?: string | undefined;
  readonly from: Extract<Instruction, { kind: "from" }>;
  readonly instructions: readonly Instruction[];
}

/** A whole Dockerfile. */
export interface Dockerfile {
  readonly source: Source;
  /** The ARGs before the first FROM. */
  readonly globals: readonly Extract<Instruction, { kind: "arg" }>[];
  readonly stages: readonly Stage[];
}

/** Nobody means more; what is made of them grows with their square here and there. */
const INSTRUCTIONS_MAX = 10_000;

/** Reads a Dockerfile. Throws a Fault "invalid" that names the line. */
export function parseDockerfile(text: string): Dockerfile {
  const source = readSource(text);
  const count = source.instructions.length;
  if (count > INSTRUCTIONS_MAX)
    throw fault(
      "invalid",
      "dockerfile",
      `the Dockerfile has ${count} instructions: at most ${INSTRUCTIONS_MAX} are read`,
    );
  const globals: Extract<Instruction, { kind: "arg" }>[] = [];
  const stages: { index: number; from: Stage["from"]; instructions: Instruction[] }[] = [];
  for (const raw of source.instructions) {
    const instruction = parseInstruction(raw, source.escapeMark);
    const stage = stages.at(-1);
    if (instruction.kind === "from")
      stages.push({ index: stages.length, from: instruction, instructions: [] });
    else if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.kind === "arg") globals.push(instruction);
    else throw mistake(raw.lines, "no build stage in current context");
  }
  if (stages.length === 0)
    throw fault("invalid", "dockerfile", "dockerfile contains no stages to build");
  return { source, globals, stages: stages.map((one) => ({ ...one, name: one.from.name })) };
}

/** The stage that a name or number means, among those before `before`: the nearest of that name. */
export function findStage(
  { stages }: Dockerfile,
  name: string,
  before = stages.length,
): Stage | undefined {
  const wanted = name.toLowerCase();
  for (let at = Math.min(before, stages.length) - 1; at >= 0; at--)
    if (stages[at]?.name === wanted) return stages[at];
  return /^\d+$/.test(name) && Number(name) < before ? stages[Number(name)] : undefined;
}

/** The stage to build; the last one when none is named. Throws a Fault "invalid" in Docker's words. */
export function targetStage(dockerfile: Dockerfile, target: string): Stage {
  const last = dockerfile.stages.at(-1);
  const found = target === "" ? last : findStage(dockerfile, target);
  if (found !== undefined) return found;
  throw fault(
    "invalid",
    "build-target",
    `target stage ${JSON.stringify(target)} could not be found`,
  );
}

/** A Dockerfile whose stages of certain names are nothing but what these names mean outside of it. */
export function replaceStages(
  dockerfile: Dockerfile,
  isNamed: (name: string) => boolean,
): Dockerfile {
  const stages = dockerfile.stages.map((stage) => {
    const { name, from } = stage;
    if (name === undefined || !isNamed(name)) return stage;
    return { ...stage, from: { ...from, image: name, platform: undefined }, instructions: [] };
  });
  return { ...dockerfile, stages };
}
