/**
 * What a Dockerfile is checked for: BuildKit's rules by their names, and which of them count. Pure.
 */
import { fault } from "../../base/errors.ts";
import { type Excerpt, excerptOf } from "../../spec/build-events.ts";
import type { Lines } from "../dockerfile/source.ts";

/** The rules that count unless they are skipped. */
const USUAL = [
  "StageNameCasing",
  "FromAsCasing",
  "NoEmptyContinuation",
  "ConsistentInstructionCasing",
  "DuplicateStageName",
  "ReservedStageName",
  "JSONArgsRecommended",
  "MaintainerDeprecated",
  "UndefinedArgInFrom",
  "UndefinedVar",
  "WorkdirRelativePath",
  "MultipleInstructionsDisallowed",
  "LegacyKeyValueFormat",
  "InvalidBaseImagePlatform",
  "RedundantTargetPlatform",
  "SecretsUsedInArgOrEnv",
  "InvalidDefaultArgInFrom",
  "FromPlatformFlagConstDisallowed",
  "CopyIgnoredFile",
  "ExposeProtoCasing",
  "ExposeInvalidFormat",
] as const;

/** Those that count only when they are asked for. */
const EXPERIMENTAL = ["InvalidDefinitionDescription"] as const;

/** A rule's name. */
export type RuleName = (typeof USUAL)[number] | (typeof EXPERIMENTAL)[number];

/** Something that a rule has found. */
export interface LintWarning {
  readonly rule: RuleName;
  /** Where Docker explains the rule. */
  readonly url: string;
  readonly message: string;
  readonly excerpt: Excerpt;
}

/** Which rules count, and how. */
export interface LintOptions {
  readonly skip: ReadonlySet<string> | "all";
  readonly experimental: ReadonlySet<string> | "all";
  /** Whether what they find ends the build. */
  readonly error: boolean;
}

function namesIn(value: string): ReadonlySet<string> | "all" {
  const names = value.split(",").map((name) => name.trim());
  return names.length === 1 && names[0] === "all" ? "all" : new Set(names.filter(Boolean));
}

const TRUE = /^(1|t|true)$/i;
const FALSE = /^(0|f|false)$/i;

/** Reads `skip=A,B;error=true;experimental=C`. Throws a Fault "invalid". */
export function parseLintOptions(text: string): LintOptions {
  const bad = (why: string) =>
    fault("invalid", "build-check", `failed to parse check option: ${why}`);
  let options: LintOptions = { skip: new Set(), experimental: new Set(), error: false };
  for (const part of text.split(";").filter((one) => one.trim() !== "")) {
    const at = part.indexOf("=");
    if (at < 0) throw bad(`invalid check option ${JSON.stringify(part)}`);
    const [key, value] = [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    if (key === "skip") options = { ...options, skip: namesIn(value) };
    else if (key === "experimental") options = { ...options, experimental: namesIn(value) };
    else if (key !== "error") throw bad(`invalid check option ${JSON.stringify(key)}`);
    else if (TRUE.test(value) || FALSE.test(value))
      options = { ...options, error: TRUE.test(value) };
    else throw bad(`${JSON.stringify(value)} is neither true nor false`);
  }
  return options;
}

/** "JSONArgsRecommended" is explained at ".../json-args-recommended/". */
function urlOf(rule: RuleName): string {
  const words = rule.replace(/([a-z])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, "$1$3-$2");
  return `https://docs.docker.com/go/dockerfile/rule/${words.toLowerCase()}/`;
}

function has(names: ReadonlySet<string> | "all", rule: RuleName): boolean {
  return names === "all" || names.has(rule);
}

/** Gathers what rules find in one Dockerfile. */
export class Linter {
  private readonly found: (LintWarning & { readonly lines: Lines })[] = [];
  private readonly seen = new Set<string>();

  constructor(
    private readonly text: string,
    readonly options: LintOptions,
  ) {}

  warn(rule: RuleName, lines: Lines, message: string): void {
    const { skip, experimental } = this.options;
    const isUsual = (USUAL as readonly string[]).includes(rule);
    if (has(skip, rule) || (!isUsual && !has(experimental, rule))) return;
    const key = JSON.stringify([rule, lines.first, message]);
    if (this.seen.has(key)) return;
    this.seen.add(key);
    const excerpt = excerptOf(this.text, [lines.first, lines.last]);
    this.found.push({ rule, url: urlOf(rule), message, excerpt, lines });
  }

  /** What has been found and not yet been taken, in the order of the lines. */
  take(): LintWarning[] {
    const all = this.found.splice(0).sort((a, b) => a.lines.first - b.lines.first);
    return all.map(({ lines: _, ...warning }) => warning);
  }
}

/** The error that a build ends with whose warnings are errors. */
export function violation(warnings: readonly LintWarning[]): Error {
  const rules = [...new Set(warnings.map(({ rule }) => rule))].sort();
  return fault("invalid", "build-check", `lint violation found for rules: ${rules.join(", ")}`);
}
