/**
 * The numbers of a build's steps: all instructions of the stages that are needed, and among those of one stage the ones that
 * may change files. Pure.
 */
import type { Instruction } from "./dockerfile/instructions.ts";
import type { Stage } from "./dockerfile/stages.ts";

/** Instructions that may change files. */
const working: ReadonlySet<Instruction["kind"]> = new Set(["run", "copy", "add", "workdir"]);

interface Numbers {
  /** Of the FROM, counted from 1. */
  readonly first: number;
  /** For FROM and each instruction: how many so far may change files, FROM among them. */
  readonly works: readonly number[];
}

/** The numbers of some stages, in the order of the Dockerfile. */
export class Numbering {
  private readonly stages = new Map<Stage, Numbers>();
  readonly total: number;

  constructor(needed: readonly Stage[]) {
    let next = 1;
    for (const stage of needed) {
      const works = [1];
      for (const { kind } of stage.instructions)
        works.push((works.at(-1) ?? 0) + (working.has(kind) ? 1 : 0));
      this.stages.set(stage, { first: next, works });
      next += works.length;
    }
    this.total = next - 1;
  }

  /** The number of a stage's FROM. */
  first(stage: Stage): number {
    return this.stages.get(stage)?.first ?? 0;
  }

  /** Where a step is among those of its stage that may change files; undefined for the others. */
  place(stage: Stage, step: number): { readonly at: number; readonly of: number } | undefined {
    const { first = 0, works = [] } = this.stages.get(stage) ?? {};
    const at = works[step - first] ?? 0;
    const isWork = step === first || at !== works[step - first - 1];
    return isWork ? { at, of: works.at(-1) ?? 0 } : undefined;
  }
}
