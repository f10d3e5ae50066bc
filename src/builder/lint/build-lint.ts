/**
 * The checks of one build: of its Dockerfile first, then of each stage as soon as it is known what that stands on.
 */
import type { ImageConfig } from "../../spec/engine-api.ts";
import { type Platform, platformText } from "../../spec/platform.ts";
import type { Step } from "../dockerfile/evaluate.ts";
import type { BuildArguments } from "../dockerfile/scope.ts";
import type { Dockerfile, Stage } from "../dockerfile/stages.ts";
import type { BuildRequest } from "../request.ts";
import { checkFile } from "./file-checks.ts";
import { Linter, type LintWarning, parseLintOptions, violation } from "./rules.ts";
import { checkStage } from "./stage-checks.ts";

/** A stage whose instructions have been evaluated. */
export interface LintedStage {
  readonly stage: Stage;
  /** The stage that it stands on, if it is one. */
  readonly below: Stage | undefined;
  /** Undefined: nobody knows what it stands on. */
  readonly base: ImageConfig | undefined;
  readonly steps: readonly Step[];
  readonly globals: ReadonlyMap<string, string>;
}

/** Checks one build, and tells what it finds. */
export class BuildLint {
  private readonly linter: Linter;
  private readonly told: LintWarning[] = [];
  /** Stages that have said which directory they work in. */
  private readonly placed = new Set<Stage>();

  /** Throws a Fault "invalid" for options that make no sense. */
  constructor(
    private readonly request: BuildRequest,
    private readonly dockerfile: Dockerfile,
  ) {
    const { directives } = dockerfile.source;
    const given = request.args.get("BUILDKIT_DOCKERFILE_CHECK");
    const options = parseLintOptions(given ?? directives.get("check") ?? "");
    this.linter = new Linter(request.dockerfile, options);
  }

  file(build: BuildArguments): void {
    checkFile(this.dockerfile, build, this.linter);
    this.tell();
  }

  stage({ stage, below, base, steps, globals }: LintedStage): void {
    const isPlaced = checkStage(
      {
        // What the base has brought stands in another Dockerfile.
        steps: steps.slice(steps.length - stage.instructions.length),
        base,
        hasDirectory: below !== undefined && this.placed.has(below),
        globals: globals.keys(),
        ignore: this.request.context.ignore ?? [],
      },
      this.linter,
    );
    if (isPlaced) this.placed.add(stage);
    this.tell();
  }

  /** Compares an image's platform with the one that is built for. */
  platform({ from }: Stage, name: string, actual: Platform, expected: Platform): void {
    if (actual.os === expected.os && actual.architecture === expected.architecture) return;
    const [was, wanted] = [platformText(actual), platformText(expected)].map((text) => `"${text}"`);
    const message = `Base image ${name} was pulled with platform ${was}, expected ${wanted} for current build`;
    this.linter.warn("InvalidBaseImagePlatform", from.raw.lines, message);
    this.tell();
  }

  private tell(): void {
    for (const warning of this.linter.take()) {
      this.told.push(warning);
      this.request.report({ kind: "lint", ...warning });
    }
  }

  /** Throws a Fault "invalid" when something was found and is to be an error. */
  enforce(): void {
    if (this.linter.options.error && this.told.length > 0) throw violation(this.told);
  }
}
