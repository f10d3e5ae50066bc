/**
 * What can be said of a Dockerfile by its text alone. Pure.
 */
import { type Platform, parsePlatform } from "../../spec/platform.ts";
import { parseReference } from "../../spec/reference.ts";
import type { Instruction } from "../dockerfile/instructions.ts";
import { type BuildArguments, globalScope } from "../dockerfile/scope.ts";
import type { Dockerfile, Stage } from "../dockerfile/stages.ts";
import { expandWord } from "../dockerfile/words.ts";
import { nearest } from "./nearest.ts";
import type { Linter } from "./rules.ts";

const isLower = (word: string): boolean => word === word.toLowerCase();
const isUpper = (word: string): boolean => word === word.toUpperCase();

/** An instruction's name as it is written. */
export function writtenName({ raw }: Instruction): string {
  return raw.text.split(/\s/, 1)[0] ?? "";
}

function checkCasing(dockerfile: Dockerfile, linter: Linter): void {
  const all = dockerfile.stages.flatMap(({ from, instructions }) => [from, ...instructions]);
  const names = all.map(writtenName);
  const lower = names.filter(isLower).length;
  const wanted = lower > names.filter(isUpper).length ? "lowercase" : "uppercase";
  const fits = wanted === "lowercase" ? isLower : isUpper;
  for (const one of all) {
    const name = writtenName(one);
    const message = `Command '${name}' should match the case of the command majority (${wanted})`;
    if (!fits(name)) linter.warn("ConsistentInstructionCasing", one.raw.lines, message);
  }
}

function checkNames(dockerfile: Dockerfile, linter: Linter): void {
  const seen = new Set<string>();
  for (const { name, from } of dockerfile.stages) {
    const { lines, rest } = from.raw;
    const [, as = "", written = ""] = rest.split(/\s+/).filter(Boolean);
    if (name === undefined) continue;
    if (!isLower(written))
      linter.warn("StageNameCasing", lines, `Stage name '${written}' should be lowercase`);
    const keyword = writtenName(from);
    const differs = isLower(keyword) ? !isLower(as) : isUpper(keyword) && !isUpper(as);
    if (differs)
      linter.warn("FromAsCasing", lines, `'${as}' and '${keyword}' keywords' casing do not match`);
    if (name === "scratch" || name === "context") {
      const message = `Stage name should not use the same name as reserved stage "${name}"`;
      linter.warn("ReservedStageName", lines, message);
    }
    if (seen.has(name)) {
      const message = `Duplicate stage name "${name}", stage names should be unique`;
      linter.warn("DuplicateStageName", lines, message);
    }
    seen.add(name);
  }
}

/** What comes of a word, and which names it has that are known and that are not. */
function matched(word: string, escapeMark: string, scope: ReadonlyMap<string, string>) {
  const known = new Set<string>();
  const unknown = new Set<string>();
  try {
    const result = expandWord(word, escapeMark, (name) => {
      (scope.has(name) ? known : unknown).add(name);
      return scope.get(name);
    });
    return { result, known, unknown };
  } catch {
    // It is told of when the stage is built.
    return { result: undefined, known, unknown };
  }
}

function checkPlatform(
  stage: Stage,
  scope: ReadonlyMap<string, string>,
  escapeMark: string,
  linter: Linter,
) {
  const { platform, raw } = stage.from;
  if (platform === undefined) return;
  const { result, known, unknown } = matched(platform, escapeMark, scope);
  const target = scope.get("TARGETPLATFORM");
  if (known.size === 1 && unknown.size === 0 && known.has("TARGETPLATFORM") && result === target) {
    const message = `Setting platform to predefined ${platform} in FROM is redundant as this is the default behavior`;
    linter.warn("RedundantTargetPlatform", raw.lines, message);
  }
  if (known.size > 0 || unknown.size > 0 || result === undefined) return;
  let constant: Platform;
  try {
    constant = parsePlatform(result);
  } catch {
    return;
  }
  const { name = "" } = stage;
  if (name.includes(constant.os) || (constant.architecture && name.includes(constant.architecture)))
    return;
  const message = `FROM --platform flag should not use constant value "${result}"`;
  linter.warn("FromPlatformFlagConstDisallowed", raw.lines, message);
}

function isImageName(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch {
    return false;
  }
}

function checkFroms(dockerfile: Dockerfile, build: BuildArguments, linter: Linter): void {
  const { escapeMark } = dockerfile.source;
  const scope = globalScope(dockerfile, build);
  const defaults = globalScope(dockerfile, { ...build, given: new Map() });
  const declared = dockerfile.globals.flatMap(({ args }) => args.map(({ name }) => name));
  const names = new Set([...scope.keys(), ...declared]);
  for (const stage of dockerfile.stages) {
    const { image, platform = "", raw } = stage.from;
    for (const word of [image, platform])
      for (const name of matched(word, escapeMark, scope).unknown) {
        if (names.has(name)) continue;
        const hint = nearest(name, names);
        const near = hint === undefined ? "" : ` (did you mean ${hint}?)`;
        linter.warn(
          "UndefinedArgInFrom",
          raw.lines,
          `FROM argument '${name}' is not declared${near}`,
        );
      }
    const usual = matched(image, escapeMark, defaults);
    const hasVariables = usual.known.size + usual.unknown.size > 0;
    if (hasVariables && usual.result !== undefined && !isImageName(usual.result)) {
      const message = `Default value for ARG ${image} results in empty or invalid base image name`;
      linter.warn("InvalidDefaultArgInFrom", raw.lines, message);
    }
    checkPlatform(stage, scope, escapeMark, linter);
  }
}

/** A comment right above an ARG or a stage describes it, and then begins with its name. */
function checkDescriptions(dockerfile: Dockerfile, linter: Linter): void {
  const check = (kind: "ARG" | "FROM", names: readonly string[], { raw }: Instruction): void => {
    const [first = ""] = raw.comments.at(-1)?.split(" ") ?? [];
    if (raw.comments.length === 0 || names.length === 0 || names.includes(first)) return;
    const example = names.length > 1 ? "<arg_key>" : names[0];
    const message = `Comment for ${kind} should follow the format: \`# ${example} <description>\``;
    linter.warn("InvalidDefinitionDescription", raw.lines, message);
  };
  for (const one of dockerfile.globals)
    check(
      "ARG",
      one.args.map(({ name }) => name),
      one,
    );
  for (const { from, name, instructions } of dockerfile.stages) {
    check("FROM", name === undefined ? [] : [name], from);
    for (const one of instructions)
      if (one.kind === "arg")
        check(
          "ARG",
          one.args.map(({ name: arg }) => arg),
          one,
        );
  }
}

/** Checks a whole Dockerfile, without knowing what it stands on. */
export function checkFile(dockerfile: Dockerfile, build: BuildArguments, linter: Linter): void {
  for (const lines of dockerfile.source.emptyContinuations)
    linter.warn("NoEmptyContinuation", lines, "Empty continuation line");
  checkCasing(dockerfile, linter);
  checkNames(dockerfile, linter);
  checkFroms(dockerfile, build, linter);
  checkDescriptions(dockerfile, linter);
}
