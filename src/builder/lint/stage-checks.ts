/**
 * What can be said of a stage once it has been evaluated. Pure.
 */
import { posix } from "node:path";
import { IgnoreRules } from "../../base/dockerignore.ts";
import type { ImageConfig } from "../../spec/engine-api.ts";
import type { Step } from "../dockerfile/evaluate.ts";
import type { Instruction } from "../dockerfile/instructions.ts";
import { writtenName } from "./file-checks.ts";
import { nearest } from "./nearest.ts";
import type { Linter } from "./rules.ts";

/** A stage to check. */
export interface CheckedStage {
  /** Without those that its base has brought. */
  readonly steps: readonly Step[];
  /** Undefined: nobody knows what it stands on. */
  readonly base: ImageConfig | undefined;
  /** Whether a stage below has said which directory it works in. */
  readonly hasDirectory: boolean;
  /** Names that variables before the first FROM have. */
  readonly globals: Iterable<string>;
  /** The patterns of .dockerignore. */
  readonly ignore: readonly string[];
}

const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const NO_SECRET = /(?:_|^)public(?:_|$)/i;
/** BuildKit reads these from Dockerfiles; no instruction needs to declare them. */
const OWN = new Set(["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"]);

function checkVariables({ steps, base, globals }: CheckedStage, linter: Linter): void {
  if (base === undefined) return;
  const known = new Set(globals);
  for (const text of base.Env ?? []) known.add(text.replace(/=[\s\S]*$/, ""));
  for (const { instruction, unknown } of steps) {
    if (instruction.kind === "arg") for (const { name } of instruction.args) known.add(name);
    for (const name of unknown) {
      if (OWN.has(name)) continue;
      const hint = nearest(name, known);
      const near = hint === undefined ? "" : ` (did you mean $${hint}?)`;
      const message = `Usage of undefined variable '$${name}'${near}`;
      linter.warn("UndefinedVar", instruction.raw.lines, message);
    }
    if (instruction.kind === "env") for (const [name] of instruction.pairs) known.add(name);
  }
}

function checkSecrets(one: Instruction, linter: Linter): void {
  const names =
    one.kind === "arg"
      ? one.args.map(({ name }) => name)
      : one.kind === "env"
        ? one.pairs.map(([name]) => name)
        : [];
  for (const name of names)
    if (SECRET.test(name) && !NO_SECRET.test(name)) {
      const message = `Do not use ARG or ENV instructions for sensitive data (${one.kind.toUpperCase()} ${JSON.stringify(name)})`;
      linter.warn("SecretsUsedInArgOrEnv", one.raw.lines, message);
    }
}

function checkPorts(step: Step, linter: Linter): void {
  const { lines } = step.instruction.raw;
  for (const port of step.values ?? []) {
    const [, protocol = ""] = port.split("/", 2);
    if (protocol !== protocol.toLowerCase()) {
      const message = `Defined protocol '${port}' in EXPOSE instruction should be lowercase`;
      linter.warn("ExposeProtoCasing", lines, message);
    }
    if (!port.includes(":")) continue;
    const message = `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`;
    linter.warn("ExposeInvalidFormat", lines, message);
  }
}

function checkSources(
  { work, instruction }: Step,
  ignore: readonly string[],
  linter: Linter,
): void {
  if (work?.kind !== "copy" && work?.kind !== "add") return;
  // An exception may let in what lies below something that is left out.
  const isUndecided = ignore.length === 0 || ignore.some((pattern) => pattern.startsWith("!"));
  if (work.from !== undefined || isUndecided) return;
  const rules = new IgnoreRules(ignore);
  const word = work.kind === "copy" ? "Copy" : "Add";
  for (const source of work.sources) {
    const path = posix.normalize(source).replace(/^\/+|\/+$/g, "");
    if (path === "" || path === "." || /^[a-z+]+:\/\//i.test(source) || !rules.ignores(path))
      continue;
    const message = `Attempting to ${word} file ${JSON.stringify(posix.normalize(source))} that is excluded by .dockerignore`;
    linter.warn("CopyIgnoredFile", instruction.raw.lines, message);
  }
}

/** Instructions of which the last one of a stage alone counts. */
class OnlyLast {
  private readonly before = new Map<string, Instruction>();

  constructor(private readonly linter: Linter) {}

  see(one: Instruction): void {
    if (one.kind !== "cmd" && one.kind !== "entrypoint" && one.kind !== "healthcheck") return;
    const earlier = this.before.get(one.kind);
    if (earlier !== undefined) {
      const message = `Multiple ${writtenName(one)} instructions should not be used in the same stage because only the last one will be used`;
      this.linter.warn("MultipleInstructionsDisallowed", earlier.raw.lines, message);
    }
    this.before.set(one.kind, one);
  }
}

function checkForm(one: Instruction, hasShell: boolean, linter: Linter): void {
  const { lines, keyword, rest } = one.raw;
  if (one.kind === "maintainer") {
    const message = "Maintainer instruction is deprecated in favor of using label";
    linter.warn("MaintainerDeprecated", lines, message);
  }
  const isCommand = one.kind === "cmd" || one.kind === "entrypoint";
  if (isCommand && one.command.form === "shell" && !hasShell) {
    const message = `JSON arguments recommended for ${keyword} to prevent unintended behavior related to OS signals`;
    linter.warn("JSONArgsRecommended", lines, message);
  }
  if ((one.kind === "env" || one.kind === "label") && !/^\s*\S*=/.test(rest)) {
    const message = `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`;
    linter.warn("LegacyKeyValueFormat", lines, message);
  }
}

/** Checks a stage; says whether it knows which directory it works in. */
export function checkStage(stage: CheckedStage, linter: Linter): boolean {
  const { steps, base, ignore } = stage;
  checkVariables(stage, linter);
  const onlyLast = new OnlyLast(linter);
  let { hasDirectory } = stage;
  let hasShell = (base?.Shell?.length ?? 0) > 0;
  for (const step of steps) {
    const { instruction: one } = step;
    if (one.kind === "shell") hasShell = true;
    onlyLast.see(one);
    checkForm(one, hasShell, linter);
    checkSecrets(one, linter);
    checkSources(step, ignore, linter);
    if (one.kind === "expose") checkPorts(step, linter);
    if (one.kind !== "workdir") continue;
    const [path = ""] = step.values ?? [];
    if (!hasDirectory && !path.startsWith("/")) {
      const message = `Relative workdir ${JSON.stringify(path)} can have unexpected results if the base image changes`;
      linter.warn("WorkdirRelativePath", one.raw.lines, message);
    }
    hasDirectory = true;
  }
  return hasDirectory;
}
