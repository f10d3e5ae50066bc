/**
 * `--change` of import and commit: Dockerfile instructions that change an image's configuration and nothing else. Pure.
 */
import { Fault, fault } from "../../base/errors.ts";
import type { ImageConfig } from "../../spec/engine-api.ts";
import { evaluateStage } from "./evaluate.ts";
import { parseInstruction } from "./instructions.ts";
import { readSource } from "./source.ts";

const allowed = new Set(
  "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR".split(" "),
);
const here = { os: "linux", architecture: "" };
const build = { given: new Map(), targetPlatform: here, buildPlatform: here, target: "" };

/** A mistake without its line: the user has written no file. */
function withoutLine(error: unknown): unknown {
  if (!(error instanceof Fault)) return error;
  const message = error.message.replace(/^dockerfile parse error on line \d+: /, "");
  return fault(error.kind, "change", message, error);
}

/** Applies instructions in their order. Throws a Fault "invalid" in Docker's words for one that may not stand here. */
export function changeConfig(config: ImageConfig, changes: readonly string[]): ImageConfig {
  if (changes.every((text) => text.trim() === "")) return config;
  const { instructions: raws, escapeMark } = readSource(changes.join("\n"));
  const foreign = raws.find(({ keyword }) => !allowed.has(keyword));
  if (foreign !== undefined)
    throw fault(
      "invalid",
      "change",
      `${foreign.keyword.toLowerCase()} is not a valid change command`,
    );
  try {
    const instructions = raws.map((raw) => parseInstruction(raw, escapeMark));
    // Nothing is built on the image, so that what it wants done then is not done now.
    const base = { ...config, OnBuild: undefined };
    const { config: changed } = evaluateStage({
      ...{ instructions, escapeMark, base, build },
      globals: new Map(),
    });
    const OnBuild = [...(config.OnBuild ?? []), ...(changed.OnBuild ?? [])];
    return { ...changed, OnBuild: OnBuild.length === 0 ? undefined : OnBuild };
  } catch (error) {
    throw withoutLine(error);
  }
}
