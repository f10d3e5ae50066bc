/**
 * The variables of a build: what was given, what is predefined, what a stage declares. Pure.
 */
import { type Platform, platformText } from "../../spec/platform.ts";
import type { Dockerfile } from "./stages.ts";
import { type Budget, expandWord, type Variables } from "./words.ts";

/** What a build was asked for, as far as variables go. */
export interface BuildArguments {
  /** --build-arg. */
  readonly given: ReadonlyMap<string, string>;
  readonly targetPlatform: Platform;
  readonly buildPlatform: Platform;
  /** The name or number of the stage that is built. */
  readonly target: string;
  /** What substitutions may come to; everything else has a budget of its own. */
  readonly budget?: Budget | undefined;
}

/** Arguments of the builder, as BuildKit has them. */
const BUILDERS: ReadonlySet<string> = new Set(["BUILDKIT_INLINE_CACHE"]);

/** Arguments that may be given without being declared: they change nothing that a build gives. */
const PROXIES: ReadonlySet<string> = new Set(
  ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"].flatMap((name) => [
    name,
    name.toUpperCase(),
  ]),
);

function platformArguments({ targetPlatform, buildPlatform, target }: BuildArguments) {
  const named = (prefix: string, platform: Platform): [string, string][] => [
    [`${prefix}PLATFORM`, platformText(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ""],
  ];
  return new Map([
    ...named("BUILD", buildPlatform),
    ...named("TARGET", targetPlatform),
    ["TARGETSTAGE", target === "" ? "default" : target],
  ] as [string, string][]);
}

/** The variables before the first FROM: what FROM lines may use, and what stages may take by declaring it. */
export function globalScope(dockerfile: Dockerfile, build: BuildArguments): Map<string, string> {
  const scope = platformArguments(build);
  const { escapeMark } = dockerfile.source;
  for (const [name] of scope) {
    const given = build.given.get(name);
    if (given !== undefined) scope.set(name, given);
  }
  for (const { args } of dockerfile.globals)
    for (const { name, value } of args) {
      const given = build.given.get(name);
      const own =
        value === undefined
          ? undefined
          : expandWord(value, escapeMark, (n) => scope.get(n), build.budget);
      const chosen = given ?? own ?? scope.get(name);
      if (chosen !== undefined) scope.set(name, chosen);
    }
  return scope;
}

/** The variables of one stage: its environment, and what it has declared. */
export class StageScope {
  /** What ARG has declared, in that order. */
  private readonly declared = new Map<string, string | undefined>();
  private readonly environment: Map<string, string>;
  /** "NAME=value" of each: every RUN has them all, and they may be long. */
  private readonly texts: Map<string, string>;

  constructor(
    private readonly build: BuildArguments,
    private readonly globals: ReadonlyMap<string, string>,
    environment: readonly string[],
  ) {
    this.environment = new Map(
      environment.map((item) => {
        const at = item.indexOf("=");
        return at < 0 ? [item, ""] : [item.slice(0, at), item.slice(at + 1)];
      }),
    );
    this.texts = new Map([...this.environment].map(([name, value]) => [name, `${name}=${value}`]));
  }

  /** What a name stands for at this place: the environment beats arguments. */
  readonly lookUp: Variables = (name) => this.environment.get(name) ?? this.declared.get(name);

  /** Whether a name is a variable here, with a value or without. */
  knows(name: string): boolean {
    return this.environment.has(name) || this.declared.has(name);
  }

  /** Declares an argument; what was given beats its default, and that beats what stands before the first FROM. */
  declare(name: string, value: string | undefined): string | undefined {
    const chosen = this.build.given.get(name) ?? value ?? this.globals.get(name);
    this.declared.set(name, chosen);
    return chosen;
  }

  set(name: string, value: string): void {
    this.environment.set(name, value);
    this.texts.set(name, `${name}=${value}`);
  }

  /** "NAME=value", in the order in which they were first set. */
  get env(): string[] {
    return [...this.texts.values()];
  }

  /** The arguments that a RUN gets in its environment and its history, sorted by name. */
  get args(): string[] {
    return [...this.declared]
      .filter(([name, value]) => value !== undefined && !this.environment.has(name))
      .map(([name, value]) => `${name}=${value}`)
      .sort();
  }

  /** Proxies that were given: for RUN, but neither for the cache nor for the history. */
  get proxies(): string[] {
    return [...this.build.given]
      .filter(([name]) => PROXIES.has(name) && !this.declared.has(name))
      .map(([name, value]) => `${name}=${value}`);
  }
}

/** Arguments that were given and that nothing in the Dockerfile declares. */
export function unusedArguments(dockerfile: Dockerfile, build: BuildArguments): string[] {
  const declared = new Set(
    [
      ...dockerfile.globals,
      ...dockerfile.stages.flatMap(({ instructions }) => instructions),
    ].flatMap((one) => (one.kind === "arg" ? one.args.map(({ name }) => name) : [])),
  );
  const predefined = platformArguments(build);
  return [...build.given.keys()].filter(
    (name) =>
      !(declared.has(name) || PROXIES.has(name) || BUILDERS.has(name) || predefined.has(name)),
  );
}
