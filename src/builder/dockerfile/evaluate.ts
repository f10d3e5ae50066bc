/**
 * What the instructions of a stage come to, once its base is known: the image's configuration after each of them, its
 * history, and the work on files that is to be done. Pure.
 */
import { posix } from "node:path";
import type { ImageConfig } from "../../spec/engine-api.ts";
import { exposedPorts } from "../../spec/exposed-ports.ts";
import { signalNumber } from "../../spec/signals.ts";
import type { CommandLine, CopyInstruction, Instruction, RunInstruction } from "./instructions.ts";
import { parseInstruction } from "./instructions.ts";
import { parseRunMount, type RunMount } from "./run-mounts.ts";
import { type BuildArguments, StageScope } from "./scope.ts";
import { mistake, readSource } from "./source.ts";
import { expandText, expandWord, expandWords, type Variables } from "./words.ts";

/** A RUN. */
export interface RunWork {
  readonly kind: "run";
  readonly args: readonly string[];
  /** The environment, with arguments; what counts for the cache. */
  readonly env: readonly string[];
  /** More of the environment, which counts for nothing. */
  readonly proxies: readonly string[];
  readonly user: string;
  readonly directory: string;
  readonly mounts: readonly RunMount[];
  readonly network: RunInstruction["network"];
  readonly security: RunInstruction["security"];
  /** A script that stands in the Dockerfile and names its own interpreter. */
  readonly script?: { readonly path: string; readonly content: string };
}

/** A COPY or ADD with everything substituted. Its destination is absolute, and ends with a slash when it was said to be a directory. */
export interface CopyWork extends Omit<CopyInstruction, "inline"> {
  /** With their variables substituted. */
  readonly inline: readonly { readonly name: string; readonly content: string }[];
}

/** A directory that has to be there, owned by the user of the moment when it is made. */
export interface DirectoryWork {
  readonly kind: "workdir";
  readonly path: string;
  readonly user: string;
}

/** What has to be done to files. */
export type Work = RunWork | CopyWork | DirectoryWork;

/** One instruction that was looked at. */
export interface Step {
  readonly instruction: Instruction;
  /** As a history shows it. */
  readonly createdBy: string;
  readonly work?: Work | undefined;
  /** The configuration after it, where there is work. */
  readonly config?: ImageConfig | undefined;
  /** Variables that it uses and that nothing has set or declared. */
  readonly unknown: readonly string[];
  /** What WORKDIR and EXPOSE say, with their variables substituted. */
  readonly values?: readonly string[] | undefined;
}

/** What an instruction comes to. */
type Looked = Pick<Step, "createdBy" | "work" | "values">;

/** A stage, ready to be built. */
export interface EvaluatedStage {
  readonly steps: readonly Step[];
  readonly config: ImageConfig;
  readonly author?: string | undefined;
}

/** What a stage is evaluated with. */
export interface StageInput {
  readonly instructions: readonly Instruction[];
  readonly escapeMark: string;
  readonly base: ImageConfig;
  readonly build: BuildArguments;
  readonly globals: ReadonlyMap<string, string>;
}

type Config = { -readonly [K in keyof ImageConfig]: ImageConfig[K] };

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_SHELL = ["/bin/sh", "-c"];

/** The configuration that FROM scratch begins with. */
export const scratchConfig: ImageConfig = { Env: [DEFAULT_PATH], WorkingDir: "/" };

const quoted = (args: readonly string[]) => `[${args.map((arg) => JSON.stringify(arg)).join(" ")}]`;

/** Evaluates one stage's instructions in their order. */
class Evaluation {
  private readonly config: Config;
  private readonly scope: StageScope;
  private author: string | undefined;
  private commandSet = false;
  private readonly unknown = new Set<string>();
  private readonly labels: Map<string, string>;
  private readonly volumes: Map<string, object>;
  private readonly ports: Map<string, object>;
  /** What of these, and of the environment, is not in the configuration yet. */
  private readonly grown = new Set<"Env" | "Labels" | "Volumes" | "ExposedPorts">();

  constructor(private readonly input: StageInput) {
    this.config = { ...input.base, OnBuild: undefined };
    const entries = <T>(values: Readonly<Record<string, T>> | null | undefined) =>
      new Map(Object.entries(values ?? {}));
    this.labels = entries(input.base.Labels);
    this.volumes = entries(input.base.Volumes);
    this.ports = entries(input.base.ExposedPorts);
    this.scope = new StageScope(input.build, input.globals, input.base.Env ?? []);
  }

  run(): EvaluatedStage {
    const steps = [...this.triggers(), ...this.input.instructions].map((instruction) =>
      this.step(instruction),
    );
    return { steps, config: this.snapshot(), author: this.author };
  }

  /** The configuration as it is now. What has grown is copied only here: a Dockerfile may have thousands of lines for it. */
  private snapshot(): ImageConfig {
    const { config, grown } = this;
    if (grown.delete("Env")) config.Env = this.scope.env;
    if (grown.delete("Labels")) config.Labels = Object.fromEntries(this.labels);
    if (grown.delete("Volumes")) config.Volumes = Object.fromEntries(this.volumes);
    if (grown.delete("ExposedPorts")) config.ExposedPorts = Object.fromEntries(this.ports);
    return { ...config };
  }

  /** What the base image wants to be done to whatever is built on it. */
  private triggers(): Instruction[] {
    return (this.input.base.OnBuild ?? []).flatMap((text) =>
      readSource(text).instructions.map((raw) => parseInstruction(raw, "\\")),
    );
  }

  private step(instruction: Instruction): Step {
    this.unknown.clear();
    const looked = this.look(instruction);
    const unknown = [...this.unknown];
    return { instruction, ...looked, config: looked.work && this.snapshot(), unknown };
  }

  private readonly lookUp: Variables = (name, guarded = false) => {
    if (!guarded && !this.scope.knows(name)) this.unknown.add(name);
    return this.scope.lookUp(name);
  };

  private word(text: string): string {
    return expandWord(text, this.input.escapeMark, this.lookUp, this.input.build.budget);
  }

  private words(text: string): string[] {
    return expandWords(text, this.input.escapeMark, this.lookUp, this.input.build.budget);
  }

  private look(one: Instruction): Looked {
    switch (one.kind) {
      case "from":
        throw mistake(one.raw.lines, "FROM is no instruction of a stage");
      case "arg":
        return { createdBy: `ARG ${this.declare(one.args)}` };
      case "env":
        return { createdBy: `ENV ${this.setEnvironment(one.pairs)}` };
      case "label":
        return { createdBy: `LABEL ${this.setLabels(one.pairs)}` };
      case "run":
        return this.runStep(one);
      case "copy":
      case "add":
        return this.copyStep(one);
      case "workdir":
        return this.workdir(one);
      case "expose":
        return this.expose(one);
      default:
        return { createdBy: this.configure(one) };
    }
  }

  private declare(args: readonly { name: string; value?: string }[]): string {
    const shown = args.map(({ name, value }) => {
      const own = value === undefined ? undefined : this.word(value);
      const chosen = this.scope.declare(this.word(name), own);
      return chosen === undefined ? name : `${name}=${chosen}`;
    });
    return shown.join(" ");
  }

  private setEnvironment(pairs: readonly (readonly [string, string])[]): string {
    // All values of one instruction see the environment before it.
    const values = pairs.map(([name, value]) => [this.word(name), this.word(value)] as const);
    for (const [name, value] of values) this.scope.set(name, value);
    this.grown.add("Env");
    return values.map(([name, value]) => `${name}=${value}`).join(" ");
  }

  private setLabels(pairs: readonly (readonly [string, string])[]): string {
    const values = pairs.map(([name, value]) => [this.word(name), this.word(value)] as const);
    for (const [name, value] of values) this.labels.set(name, value);
    this.grown.add("Labels");
    return values.map(([name, value]) => `${name}=${value}`).join(" ");
  }

  private get shell(): readonly string[] {
    return this.config.Shell?.length ? this.config.Shell : DEFAULT_SHELL;
  }

  private command(command: CommandLine): string[] {
    return command.form === "exec" ? [...command.args] : [...this.shell, command.text];
  }

  private get directory(): string {
    return this.config.WorkingDir || "/";
  }

  private runStep(one: Extract<Instruction, { kind: "run" }>) {
    const { args, script } = this.commandOfRun(one);
    const declared = this.scope.args;
    const work: RunWork = {
      kind: "run",
      args,
      env: [...this.scope.env, ...declared],
      proxies: this.scope.proxies,
      user: this.config.User ?? "",
      directory: this.directory,
      mounts: one.mounts.map((text) => parseRunMount(this.word(text))),
      network: one.network,
      security: one.security,
      ...(script === undefined ? {} : { script }),
    };
    const prefix = declared.length === 0 ? "" : `|${declared.length} ${declared.join(" ")} `;
    return { createdBy: `RUN ${prefix}${args.join(" ")} # buildkit`, work };
  }

  /** A here-document alone is a script; others go to the shell as they stand. */
  private commandOfRun({ command, heredocs, raw }: Extract<Instruction, { kind: "run" }>) {
    const [first] = heredocs;
    if (command.form === "exec" || first === undefined) return { args: this.command(command) };
    const alone = heredocs.length === 1 && /^\d*<<-?["']?[^\s"'<]+["']?$/.test(command.text.trim());
    if (!alone) {
      const bodies = heredocs.map(({ name, content }) => `${content}${name}`);
      return { args: [...this.shell, [command.text, ...bodies].join("\n")] };
    }
    if (!first.content.startsWith("#!")) return { args: [...this.shell, first.content] };
    if (!/^[\w.-]+$/.test(first.name))
      throw mistake(raw.lines, `invalid name of a here-document: ${first.name}`);
    const path = `/dev/pipes/${first.name}`;
    return { args: [path], script: { path, content: first.content } };
  }

  private absolute(path: string): string {
    const slash = /(^|\/)\.?$/.test(path) ? "/" : "";
    const whole = posix.resolve(this.directory, path);
    return whole === "/" ? whole : whole + slash;
  }

  private copyStep(one: CopyInstruction & { raw: Instruction["raw"] }) {
    if (one.from?.includes("$"))
      throw mistake(
        one.raw.lines,
        `variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround`,
      );
    const optional = (text: string | undefined) =>
      text === undefined ? undefined : this.word(text);
    const work: CopyWork = {
      kind: one.kind,
      sources: one.sources.map((source) => this.word(source)),
      inline: one.inline.map(({ name, content, expand }) => ({
        name,
        content: expand ? expandText(content, this.lookUp, this.input.build.budget) : content,
      })),
      destination: this.absolute(this.word(one.destination)),
      from: one.from,
      chown: optional(one.chown),
      chmod: optional(one.chmod),
      link: one.link,
      parents: one.parents,
      exclude: one.exclude.map((pattern) => this.word(pattern)),
      checksum: optional(one.checksum),
      keepGitDir: one.keepGitDir,
      unpack: one.unpack,
    };
    const flags = [
      ...(work.from === undefined ? [] : [`--from=${work.from}`]),
      ...(work.chown === undefined ? [] : [`--chown=${work.chown}`]),
      ...(work.chmod === undefined ? [] : [`--chmod=${work.chmod}`]),
      ...(work.link ? ["--link"] : []),
    ];
    const names = [...work.inline.map(({ name }) => `<<${name}`), ...work.sources];
    const shown = [one.kind.toUpperCase(), ...flags, ...names, this.word(one.destination)];
    return { createdBy: `${shown.join(" ")} # buildkit`, work };
  }

  private workdir({ value }: { value: string }) {
    const said = this.word(value);
    const path = posix.resolve(this.directory, said);
    this.config.WorkingDir = path;
    const work: DirectoryWork = { kind: "workdir", path, user: this.config.User ?? "" };
    return { createdBy: `WORKDIR ${path}`, work, values: [said] };
  }

  /** Instructions that change the configuration alone; gives their line of the history. */
  private configure(
    one: Exclude<
      Instruction,
      { kind: "from" | "arg" | "env" | "label" | "run" | "copy" | "add" | "workdir" | "expose" }
    >,
  ): string {
    const { config } = this;
    switch (one.kind) {
      case "cmd":
        config.Cmd = this.command(one.command);
        this.commandSet = true;
        return `CMD ${quoted(config.Cmd)}`;
      case "entrypoint":
        config.Entrypoint = this.command(one.command);
        // The base's arguments were meant for another program.
        if (!this.commandSet) config.Cmd = undefined;
        return `ENTRYPOINT ${quoted(config.Entrypoint)}`;
      case "shell":
        config.Shell = [...one.args];
        return `SHELL [${one.args.join(" ")}]`;
      case "user":
        config.User = this.word(one.value);
        return `USER ${config.User}`;
      case "stopsignal":
        config.StopSignal = this.word(one.value);
        signalNumber(config.StopSignal);
        return `STOPSIGNAL ${config.StopSignal}`;
      case "maintainer":
        this.author = one.value;
        return `MAINTAINER ${one.value}`;
      case "onbuild":
        config.OnBuild = [...(config.OnBuild ?? []), one.trigger];
        return `ONBUILD ${one.trigger}`;
      case "volume": {
        const paths = one.paths.map((path) => this.word(path));
        for (const path of paths) this.volumes.set(path, {});
        this.grown.add("Volumes");
        return `VOLUME [${paths.join(" ")}]`;
      }
      case "healthcheck":
        config.Healthcheck = {
          Test: [...one.test],
          ...(one.interval === undefined ? {} : { Interval: one.interval }),
          ...(one.timeout === undefined ? {} : { Timeout: one.timeout }),
          ...(one.startPeriod === undefined ? {} : { StartPeriod: one.startPeriod }),
          ...(one.startInterval === undefined ? {} : { StartInterval: one.startInterval }),
          ...(one.retries === undefined ? {} : { Retries: one.retries }),
        };
        return `HEALTHCHECK ${one.test.join(" ")}`;
    }
  }

  private expose({ ports, raw }: { ports: readonly string[]; raw: Instruction["raw"] }): Looked {
    const values = ports.flatMap((port) => this.words(port));
    const found = values.flatMap((word) => {
      // A host's side is taken for granted by some Dockerfiles; it never meant anything.
      const container = word.split(":").at(-1) ?? "";
      const known = exposedPorts(container);
      if (known === undefined) throw mistake(raw.lines, `invalid containerPort: ${word}`);
      return known;
    });
    for (const port of found) this.ports.set(port, {});
    this.grown.add("ExposedPorts");
    return { createdBy: `EXPOSE [${found.join(" ")}]`, values };
  }
}

/** Evaluates a stage. Throws a Fault "invalid" that names the line of a mistake. */
export function evaluateStage(input: StageInput): EvaluatedStage {
  return new Evaluation(input).run();
}
