/**
 * Instructions with their arguments: what each may have, and its mistakes in Docker's words. Variables are not substituted
 * yet, since their values depend on what stands before. Pure.
 */
import { distance } from "./distance.ts";
import { type Heredoc, jsonList, type Lines, mistake, type RawInstruction } from "./source.ts";
import { splitWords } from "./words.ts";

/** A command as a list of arguments, or as text for a shell. */
export type CommandLine =
  | { readonly form: "exec"; readonly args: readonly string[] }
  | { readonly form: "shell"; readonly text: string };

/** A file whose content stands in the Dockerfile. */
export type InlineFile = Pick<Heredoc, "name" | "content" | "expand">;

/** COPY and ADD. Everything may have variables in it. */
export interface CopyInstruction {
  readonly kind: "copy" | "add";
  readonly sources: readonly string[];
  readonly inline: readonly InlineFile[];
  readonly destination: string;
  readonly from?: string | undefined;
  readonly chown?: string | undefined;
  readonly chmod?: string | undefined;
  readonly link: boolean;
  readonly parents: boolean;
  readonly exclude: readonly string[];
  readonly checksum?: string | undefined;
  readonly keepGitDir: boolean;
  readonly unpack?: boolean | undefined;
}

/** RUN. */
export interface RunInstruction {
  readonly kind: "run";
  readonly command: CommandLine;
  readonly heredocs: readonly Heredoc[];
  /** Values of --mount, --network, --security and --device. */
  readonly mounts: readonly string[];
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
}

/** HEALTHCHECK. Durations in nanoseconds. */
export interface HealthInstruction {
  readonly kind: "healthcheck";
  readonly test: readonly string[];
  readonly interval?: number | undefined;
  readonly timeout?: number | undefined;
  readonly startPeriod?: number | undefined;
  readonly startInterval?: number | undefined;
  readonly retries?: number | undefined;
}

type Pairs = readonly (readonly [name: string, value: string])[];

/** What an instruction says. */
export type Meaning =
  | {
      readonly kind: "from";
      readonly image: string;
      readonly name?: string | undefined;
      readonly platform?: string | undefined;
    }
  | {
      readonly kind: "arg";
      readonly args: readonly { readonly name: string; readonly value?: string }[];
    }
  | { readonly kind: "env" | "label"; readonly pairs: Pairs }
  | RunInstruction
  | CopyInstruction
  | HealthInstruction
  | { readonly kind: "cmd" | "entrypoint"; readonly command: CommandLine }
  | { readonly kind: "shell"; readonly args: readonly string[] }
  | { readonly kind: "expose"; readonly ports: readonly string[] }
  | { readonly kind: "volume"; readonly paths: readonly string[] }
  | {
      readonly kind: "user" | "stopsignal" | "maintainer";
      readonly value: string;
    }
  | { readonly kind: "workdir"; readonly value: string }
  | { readonly kind: "onbuild"; readonly trigger: string };

/** An instruction, and where it stands. */
export type Instruction = Meaning & { readonly raw: RawInstruction };

/** The flags of one instruction, each taken at most once, but for lists. */
class Flags {
  private readonly values = new Map<string, string[]>();
  private readonly taken = new Set<string>();

  constructor(private readonly raw: RawInstruction) {
    for (const flag of raw.flags) {
      const [name = "", ...value] = flag.slice(2).split("=");
      const known = this.values.get(name) ?? [];
      // A flag without a value is one that is on.
      known.push(flag.includes("=") ? value.join("=") : "true");
      this.values.set(name, known);
    }
  }

  list(name: string): readonly string[] {
    this.taken.add(name);
    return this.values.get(name) ?? [];
  }

  text(name: string): string | undefined {
    const found = this.list(name);
    if (found.length > 1) throw mistake(this.raw.lines, `Duplicate flag specified: ${name}`);
    if (found.length === 1 && this.raw.flags.includes(`--${name}`))
      throw mistake(this.raw.lines, `Missing a value on flag: ${name}`);
    return found[0];
  }

  on(name: string): boolean {
    const [value, again] = this.list(name);
    if (again !== undefined) throw mistake(this.raw.lines, `Duplicate flag specified: ${name}`);
    if (value === undefined || value === "true" || value === "false") return value === "true";
    throw mistake(this.raw.lines, `Expecting boolean value for flag ${name}, not: ${value}`);
  }

  /** Throws for a flag that nobody has asked for. */
  end(): void {
    const unknown = [...this.values.keys()].find((name) => !this.taken.has(name));
    if (unknown !== undefined) throw mistake(this.raw.lines, `unknown flag: --${unknown}`);
  }
}

interface Context {
  readonly raw: RawInstruction;
  readonly flags: Flags;
  readonly escapeMark: string;
}

const atLeastOne = ({ raw }: Context): Error =>
  mistake(raw.lines, `${raw.keyword} requires at least one argument`);
const exactlyOne = ({ raw }: Context): Error =>
  mistake(raw.lines, `${raw.keyword} requires exactly one argument`);

function wordsOf({ raw, escapeMark }: Context): string[] {
  try {
    return splitWords(raw.rest, escapeMark, { quotes: "keep", escapes: "keep" });
  } catch {
    // A quote that does not end is found when variables are substituted; until then words end at white space.
    return raw.rest.trim().split(/\s+/).filter(Boolean);
  }
}

function pairsOf(context: Context): Pairs {
  const { raw } = context;
  const words = wordsOf(context);
  const [first = ""] = words;
  if (first === "") throw atLeastOne(context);
  if (!first.includes("=")) {
    const value = raw.rest.slice(first.length).trim();
    if (value === "") throw mistake(raw.lines, `${raw.keyword} must have two arguments`);
    return [[first, value]];
  }
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at < 0)
      throw mistake(
        raw.lines,
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    if (at === 0) throw mistake(raw.lines, `${raw.keyword} names can not be blank`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

function commandOf({ raw }: Context): CommandLine {
  const args = jsonList(raw.rest);
  return args === undefined ? { form: "shell", text: raw.rest } : { form: "exec", args };
}

function from(context: Context): Meaning {
  const words = context.raw.rest.split(/\s+/).filter(Boolean);
  const platform = context.flags.text("platform");
  const [image = "", as, name] = words;
  if (words.length === 3 && as?.toLowerCase() === "as") {
    const stage = (name ?? "").toLowerCase();
    if (!/^[a-z][a-z0-9-_.]*$/.test(stage))
      throw mistake(
        context.raw.lines,
        `invalid name for build stage: ${JSON.stringify(name)}, name can't start with a number or contain symbols`,
      );
    return { kind: "from", image, name: stage, platform };
  }
  if (words.length !== 1)
    throw mistake(context.raw.lines, "FROM requires either one or three arguments");
  return { kind: "from", image, platform };
}

function arg(context: Context): Meaning {
  const words = wordsOf(context);
  if (words.length === 0) throw atLeastOne(context);
  const args = words.map((word) => {
    const at = word.indexOf("=");
    if (at === 0) throw mistake(context.raw.lines, "ARG names can not be blank");
    return at < 0 ? { name: word } : { name: word.slice(0, at), value: word.slice(at + 1) };
  });
  return { kind: "arg", args };
}

function run(context: Context): Meaning {
  const { raw, flags } = context;
  const mounts = flags.list("mount");
  const network = flags.text("network") ?? "default";
  const security = flags.text("security") ?? "sandbox";
  if (network !== "default" && network !== "none" && network !== "host")
    throw mistake(raw.lines, `invalid network mode: ${JSON.stringify(network)}`);
  if (security !== "sandbox" && security !== "insecure")
    throw mistake(raw.lines, `security ${JSON.stringify(security)} is not valid`);
  if (raw.rest === "" && raw.heredocs.length === 0) throw atLeastOne(context);
  const { heredocs } = raw;
  return { kind: "run", command: commandOf(context), heredocs, mounts, network, security };
}

function copy(context: Context): Meaning {
  const { raw, flags } = context;
  const isAdd = raw.keyword === "ADD";
  const words = jsonList(raw.rest) ?? wordsOf(context);
  const destination = words.at(-1);
  if (words.length < 2 || destination === undefined)
    throw mistake(
      raw.lines,
      `${raw.keyword} requires at least two arguments, but only ${words.length} ${words.length === 1 ? "was" : "were"} provided. Destination could not be determined`,
    );
  const inline: InlineFile[] = [];
  const sources = words.slice(0, -1).filter((word) => {
    const name = /^\d*<<-?["']?([^"']*)["']?$/.exec(word)?.[1];
    const heredoc = raw.heredocs.find((one) => one.name === name);
    if (heredoc !== undefined) inline.push(heredoc);
    return heredoc === undefined;
  });
  if (raw.heredocs.some((one) => destination.endsWith(`<<${one.name}`)))
    throw mistake(raw.lines, `${raw.keyword} cannot accept a heredoc as a destination`);
  const common = {
    sources,
    inline,
    destination,
    chown: flags.text("chown"),
    chmod: flags.text("chmod"),
    link: flags.on("link"),
    exclude: flags.list("exclude"),
  };
  if (!isAdd)
    return {
      kind: "copy",
      ...common,
      from: flags.text("from"),
      parents: flags.on("parents"),
      keepGitDir: false,
    };
  return {
    kind: "add",
    ...common,
    parents: false,
    checksum: flags.text("checksum"),
    keepGitDir: flags.on("keep-git-dir"),
    unpack: flags.list("unpack").length === 0 ? undefined : flags.on("unpack"),
  };
}

const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** A duration as Go writes it, in nanoseconds. */
function nanoseconds(context: Context, name: string): number | undefined {
  const text = context.flags.text(name);
  if (text === undefined || text === "") return undefined;
  const pieces = [...text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)];
  const whole = pieces.map(([piece]) => piece).join("");
  if (whole !== text || pieces.length === 0)
    throw mistake(context.raw.lines, `time: invalid duration ${JSON.stringify(text)}`);
  const sum = pieces.reduce((all, [, n, unit = ""]) => all + Number(n) * (UNITS[unit] ?? 0), 0);
  if (sum < 0)
    throw mistake(context.raw.lines, `Interval ${JSON.stringify(name)} cannot be negative`);
  if (sum < 1e6 && sum !== 0)
    throw mistake(context.raw.lines, `Interval ${JSON.stringify(name)} cannot be less than 1ms`);
  return sum === 0 ? undefined : sum;
}

function healthcheck(context: Context): Meaning {
  const { raw, flags } = context;
  const [type = "", ...words] = raw.rest.split(/\s+/);
  const timing = {
    interval: nanoseconds(context, "interval"),
    timeout: nanoseconds(context, "timeout"),
    startPeriod: nanoseconds(context, "start-period"),
    startInterval: nanoseconds(context, "start-interval"),
  };
  const count = flags.text("retries");
  const retries = count === undefined ? undefined : Number(count);
  if (retries !== undefined && (!Number.isInteger(retries) || retries < 0))
    throw mistake(raw.lines, `--retries cannot be negative (${count})`);
  if (type.toUpperCase() === "NONE") {
    if (words.length > 0) throw mistake(raw.lines, "HEALTHCHECK NONE takes no arguments");
    return { kind: "healthcheck", test: ["NONE"] };
  }
  if (type.toUpperCase() !== "CMD")
    throw mistake(
      raw.lines,
      `Unknown type ${JSON.stringify(type.toUpperCase())} in HEALTHCHECK (try CMD)`,
    );
  const text = raw.rest.slice(type.length).trim();
  if (text === "") throw mistake(raw.lines, "Missing command after HEALTHCHECK CMD");
  const args = jsonList(text);
  const test = args === undefined ? ["CMD-SHELL", text] : ["CMD", ...args];
  return { kind: "healthcheck", test, ...timing, retries };
}

function onbuild(context: Context): Meaning {
  const { raw } = context;
  const [inner = ""] = raw.rest.trim().split(/\s/, 1);
  const keyword = inner.toUpperCase();
  if (keyword === "") throw atLeastOne(context);
  if (keyword === "ONBUILD")
    throw mistake(raw.lines, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (keyword === "MAINTAINER" || keyword === "FROM")
    throw mistake(raw.lines, `${keyword} isn't allowed as an ONBUILD trigger`);
  if (parsers[keyword] === undefined) throw unknown(raw.lines, inner);
  const contents = raw.heredocs.map(({ name, content }) => `\n${content}${name}`).join("");
  return { kind: "onbuild", trigger: raw.rest.trim() + contents };
}

/** One value: the whole rest of the line. */
const value =
  (kind: "user" | "workdir" | "stopsignal" | "maintainer") =>
  (context: Context): Meaning => {
    const text = context.raw.rest.trim();
    const one = kind === "workdir" || kind === "maintainer" ? [text] : wordsOf(context);
    if (text === "" || one.length !== 1) throw exactlyOne(context);
    return { kind, value: text };
  };

const parsers: Readonly<Record<string, (context: Context) => Meaning>> = {
  FROM: from,
  ARG: arg,
  ENV: (context) => ({ kind: "env", pairs: pairsOf(context) }),
  LABEL: (context) => ({ kind: "label", pairs: pairsOf(context) }),
  RUN: run,
  COPY: copy,
  ADD: copy,
  CMD: (context) => ({ kind: "cmd", command: commandOf(context) }),
  ENTRYPOINT: (context) => ({ kind: "entrypoint", command: commandOf(context) }),
  SHELL: (context) => {
    const args = jsonList(context.raw.rest);
    if (args === undefined || args.length === 0)
      throw mistake(context.raw.lines, "SHELL requires the arguments to be in JSON form");
    return { kind: "shell", args };
  },
  EXPOSE: (context) => {
    const ports = wordsOf(context);
    if (ports.length === 0) throw atLeastOne(context);
    return { kind: "expose", ports };
  },
  VOLUME: (context) => {
    const paths = jsonList(context.raw.rest) ?? wordsOf(context);
    if (paths.length === 0) throw atLeastOne(context);
    if (paths.some((path) => path.trim() === ""))
      throw mistake(context.raw.lines, "VOLUME specified can not be an empty string");
    return { kind: "volume", paths };
  },
  USER: value("user"),
  WORKDIR: value("workdir"),
  STOPSIGNAL: value("stopsignal"),
  MAINTAINER: value("maintainer"),
  HEALTHCHECK: healthcheck,
  ONBUILD: onbuild,
};

function unknown(lines: Lines, word: string): Error {
  const keyword = word.toUpperCase().slice(0, 40);
  const near = Object.keys(parsers)
    .map((name) => ({ name, far: distance(keyword, name) }))
    .sort((x, y) => x.far - y.far)[0];
  const hint = near !== undefined && near.far <= 2 ? ` (did you mean ${near.name}?)` : "";
  return mistake(lines, `unknown instruction: ${word}${hint}`);
}

/** Looks at what an instruction says. Throws a Fault "invalid" in Docker's words. */
export function parseInstruction(raw: RawInstruction, escapeMark: string): Instruction {
  const parser = parsers[raw.keyword];
  if (parser === undefined) throw unknown(raw.lines, raw.text.split(/\s/, 1)[0] ?? "");
  const flags = new Flags(raw);
  const meaning = parser({ raw, flags, escapeMark });
  flags.end();
  return { ...meaning, raw };
}
