/**
 * A build: the stages that its target needs, side by side where they do not need each other; each step taken from the cache
 * or done.
 */

import { fault, messageOf } from "../base/errors.ts";
import type { HistoryEntry } from "../images/index.ts";
import { excerptOf } from "../spec/build-events.ts";
import type { ImageConfig } from "../spec/engine-api.ts";
import { type Platform, parsePlatform, platformText } from "../spec/platform.ts";
import { type BuildPlan, planBuild } from "./build-plan.ts";
import { type CopyWork, evaluateStage, type Step, scratchConfig } from "./dockerfile/evaluate.ts";
import type { Instruction } from "./dockerfile/instructions.ts";
import { unusedArguments } from "./dockerfile/scope.ts";
import { mistake } from "./dockerfile/source.ts";
import { findStage, type Stage } from "./dockerfile/stages.ts";
import { expandWord } from "./dockerfile/words.ts";
import { BuildLint } from "./lint/build-lint.ts";
import { checkPlan } from "./lint/check.ts";
import { Performer, type PerformerDeps, type StageFiles, type StepInput } from "./perform.ts";
import type { BaseImage, BuiltBase, BuiltImage, Snapshot } from "./ports.ts";
import type { BuildRequest, Entitlement } from "./request.ts";
import { BrokenCache, INLINE_FIELD, writeInline } from "./shared/index.ts";

/** A stage that was built. */
interface BuiltStage {
  readonly config: ImageConfig;
  readonly author?: string | undefined;
  readonly history: readonly HistoryEntry[];
  readonly platform: Platform;
  readonly snapshot: Snapshot;
  readonly base: BuiltBase;
}

const EMPTY: Snapshot = { diffIds: [], chain: [], blobs: [], size: 0 };
const COMMENT = "buildkit.dockerfile.v0";
/** What an image was made at that has no layers of its own and nothing to take a time from. */
const BEGINNING = "1970-01-01T00:00:00Z";

/** Metadata that come before the first new layer have its time, others that of the layer before. */
function withTimes(base: readonly HistoryEntry[], own: readonly HistoryEntry[]): HistoryEntry[] {
  const first = own.find(({ created }) => created !== undefined)?.created;
  let last = first ?? base.at(-1)?.created ?? BEGINNING;
  return own.map((entry) => {
    last = entry.created ?? last;
    return { ...entry, created: last };
  });
}

/** A step that failed, and what it stood on. */
interface FailedAt {
  readonly step: number;
  readonly instruction: Instruction;
  readonly snapshot?: Snapshot;
  readonly config?: ImageConfig | undefined;
  readonly platform?: Platform;
}

/** An image of what a step would have changed, to look into; its command is a shell. */
function stateBefore(at: FailedAt, snapshot: Snapshot): Omit<BuiltImage, "base"> {
  const created = new Date().toISOString();
  const { Entrypoint: _, ...config } = at.config ?? {};
  return {
    config: { ...config, Cmd: ["/bin/sh"] },
    created,
    history: snapshot.diffIds.map(() => ({ created, comment: "the state before a failed step" })),
    platform: at.platform ?? { os: "linux", architecture: "" },
    snapshot,
  };
}

/** Throws a Fault "forbidden" for a RUN that wants more of the host than the build may have. */
function checkAllowed(steps: readonly Step[], allowed: ReadonlySet<Entitlement>): void {
  for (const { work } of steps) {
    if (work?.kind !== "run") continue;
    const wanted: Entitlement[] = [
      ...(work.network === "host" ? (["network.host"] as const) : []),
      ...(work.security === "insecure" ? (["security.insecure"] as const) : []),
    ];
    for (const one of wanted)
      if (!allowed.has(one))
        throw fault("forbidden", "build-entitlement", `${one} is not allowed: --allow ${one} does`);
  }
}

/** Copies all files of a named context. */
function everythingOf(name: string): CopyWork {
  const none = { parents: false, exclude: [], keepGitDir: false };
  return {
    kind: "copy",
    sources: ["/"],
    inline: [],
    destination: "/",
    from: name,
    link: false,
    ...none,
  };
}

/** One build. */
class Build {
  private readonly plan: BuildPlan;
  private readonly lint: BuildLint;
  private readonly stages = new Map<number, Promise<BuiltStage>>();
  private readonly performer: Performer;
  private readonly request: BuildRequest;
  /** Ends what still goes on when the build has failed. */
  private readonly ending = new AbortController();
  private hasFailed = false;

  constructor(
    private readonly deps: PerformerDeps,
    asked: BuildRequest,
  ) {
    const request = { ...asked, signal: AbortSignal.any([asked.signal, this.ending.signal]) };
    this.request = request;
    this.plan = planBuild(request);
    this.lint = new BuildLint(request, this.plan.dockerfile);
    this.performer = new Performer(deps, request, (name, before) => this.files(name, before));
  }

  async run(): Promise<BuiltImage> {
    const { request } = this;
    this.lint.file(this.plan.arguments);
    this.lint.enforce();
    const unused = unusedArguments(this.plan.dockerfile, this.plan.arguments);
    const { stages, source } = this.plan.dockerfile;
    const syntax = source.directives.get("syntax");
    for (const name of request.noCacheFilter)
      if (!stages.some((stage) => stage.name === name.toLowerCase()))
        request.report({ kind: "warning", text: `--no-cache-filter: no stage is named ${name}` });
    if (syntax !== undefined && !/^(docker\.io\/)?docker\/dockerfile(-upstream)?(:|$)/.test(syntax))
      request.report({
        kind: "warning",
        text: `the frontend ${syntax} is not used: berth reads Dockerfiles itself`,
      });
    // All at once: who needs whom is waited for inside.
    const all = this.plan.needed.map((stage) => this.stage(stage));
    await Promise.all(all).catch(async (error) => {
      // The others work with files that go with the build.
      this.ending.abort(error);
      await Promise.allSettled(all);
      throw error;
    });
    const built = await this.stage(this.plan.target);
    const config =
      Object.keys(request.labels).length === 0
        ? built.config
        : { ...built.config, Labels: { ...built.config.Labels, ...request.labels } };
    const created = built.history.at(-1)?.created ?? BEGINNING;
    const { shared } = request;
    const last = this.plan.numbers.first(this.plan.target) + this.plan.target.instructions.length;
    await shared.bring(built.snapshot, (text) =>
      request.report({ kind: "notice", step: last, text }),
    );
    await this.performer.learn();
    shared.trail.result(built.snapshot);
    const more = shared.isInline
      ? { [INLINE_FIELD]: writeInline(shared.trail.inline(built.snapshot)) }
      : undefined;
    if (unused.length > 0)
      request.report({
        kind: "warning",
        text: `One or more build-args [${unused.join(" ")}] were not consumed`,
      });
    return { ...built, config, created, more };
  }

  private stage(stage: Stage): Promise<BuiltStage> {
    const known = this.stages.get(stage.index);
    if (known !== undefined) return known;
    const building = this.build(stage);
    this.stages.set(stage.index, building);
    return building;
  }

  /** How many steps there are. */
  get total(): number {
    return this.plan.numbers.total;
  }

  private tell(stage: Stage, step: number, text: string): void {
    const { total } = this;
    const place = this.plan.numbers.place(stage, step);
    const alone = this.plan.dockerfile.stages.length === 1 ? "" : `stage-${stage.index}`;
    const name = stage.name ?? alone;
    this.request.report({ kind: "step", step, total, stage: name, text, place });
  }

  /** Tells what failed, once, and where in the Dockerfile. */
  private async failed(error: unknown, at: FailedAt): Promise<void> {
    if (this.hasFailed || this.request.signal.aborted || error instanceof BrokenCache) return;
    this.hasFailed = true;
    const { request, deps } = this;
    const { first, last } = at.instruction.raw.lines;
    if (request.keepFailed && at.snapshot !== undefined) await request.shared.bring(at.snapshot);
    const before =
      request.keepFailed && at.snapshot !== undefined && at.snapshot.chain.length > 0
        ? await deps.images.create(stateBefore(at, at.snapshot))
        : undefined;
    request.report({
      kind: "failed",
      step: at.step,
      message: messageOf(error),
      exitStatus:
        error instanceof Error && "exitStatus" in error ? Number(error.exitStatus) : undefined,
      excerpt: excerptOf(request.dockerfile, [first, last]),
      before,
    });
  }

  /** The stage that another stands on, if it is one. */
  private below({ from, index }: Stage): Stage | undefined {
    const { dockerfile, globals } = this.plan;
    const look = (name: string) => globals.get(name);
    const name = expandWord(from.image, dockerfile.source.escapeMark, look);
    return findStage(dockerfile, name, index);
  }

  private async base(stage: Stage, step: number): Promise<BaseImage | BuiltStage> {
    const { from } = stage;
    const look = (name: string) => this.plan.globals.get(name);
    const { escapeMark } = this.plan.dockerfile.source;
    const { budget } = this.plan.arguments;
    const name = expandWord(from.image, escapeMark, look, budget);
    if (name === "") throw mistake(from.raw.lines, `base name (${from.image}) should not be blank`);
    this.tell(stage, step, from.raw.text);
    const earlier = findStage(this.plan.dockerfile, name, stage.index);
    if (earlier !== undefined) return this.stage(earlier);
    const asked =
      from.platform === undefined ? "" : expandWord(from.platform, escapeMark, look, budget);
    const platform = asked === "" ? this.request.platform : parsePlatform(asked);
    if (name === "scratch") {
      const own = platform ?? this.request.hostPlatform;
      return { config: scratchConfig, history: [], platform: own, snapshot: EMPTY };
    }
    const found = await this.named(name, platform, { stage: stage.index, step });
    const expected = platform ?? this.request.hostPlatform;
    this.lint.platform(stage, name, found.platform, expected);
    return found;
  }

  /** What a name means that is no stage's: a named context, or else an image. */
  private async named(
    name: string,
    platform: Platform | undefined,
    at: { readonly stage: number; readonly step: number },
  ): Promise<BaseImage> {
    const context = await this.request.named.find(name);
    if (context === undefined) return this.image(name, platform, at.step);
    if (context.kind === "image") return this.image(context.reference, platform, at.step);
    const own = platform ?? this.request.platform ?? this.request.hostPlatform;
    const { snapshot, created } = await this.performer.perform({
      work: everythingOf(name),
      ...{ snapshot: EMPTY, platform: own },
      ...{ stage: at.stage, number: at.step, place: -1 },
      description: `the context ${name}`,
      fresh: this.request.noCache,
      told: { before: [], createdBy: "" },
    });
    const entry = { created, created_by: `COPY / / # context ${name}`, comment: COMMENT };
    const isEmpty = snapshot.chain.length === 0;
    const history = [isEmpty ? { ...entry, empty_layer: true } : entry];
    return { config: scratchConfig, history, platform: own, snapshot };
  }

  private image(name: string, platform: Platform | undefined, step: number): Promise<BaseImage> {
    const notice = (text: string) => this.request.report({ kind: "notice", step, text });
    const { pull, signal } = this.request;
    return this.deps.images.base(name, platform, pull, notice, signal);
  }

  private async build(stage: Stage): Promise<BuiltStage> {
    const first = this.plan.numbers.first(stage);
    const base = await this.base(stage, first).catch(async (error) => {
      await this.failed(error, { step: first, instruction: stage.from });
      throw error;
    });
    this.request.report({ kind: "done", step: first, layer: base.snapshot.chain.at(-1) });
    const { steps, config, author } = evaluateStage({
      instructions: stage.instructions,
      escapeMark: this.plan.dockerfile.source.escapeMark,
      base: base.config,
      build: this.plan.arguments,
      globals: this.plan.globals,
    });
    const below = this.below(stage);
    const { globals } = this.plan;
    this.lint.stage({ stage, below, base: base.config, steps, globals });
    this.lint.enforce();
    checkAllowed(steps, this.request.allowed);
    let { snapshot } = base;
    const lines = base.history.length;
    const origin = "base" in base ? base.base : { id: base.id, snapshot, lines };
    const own: HistoryEntry[] = [];
    // What the base wants to be done has no number of its own.
    const triggers = steps.length - stage.instructions.length;
    for (const [index, step] of steps.entries()) {
      const number = first + Math.max(0, index - triggers + 1);
      if (index >= triggers) this.tell(stage, number, step.instruction.raw.text);
      const on = snapshot;
      const place = { number, place: index, platform: base.platform };
      const before = [...base.history, ...own];
      const done = await this.step(stage, step, place, on, before).catch(async (error) => {
        const { instruction, config: own } = step;
        const { platform } = base;
        const at = { step: number, instruction, snapshot: on, config: own, platform };
        await this.failed(error, at);
        throw error;
      });
      own.push(done.history);
      snapshot = done.snapshot;
      this.request.report({ kind: "done", step: number, layer: done.layer });
    }
    return {
      config,
      author: author ?? base.author,
      history: [...base.history, ...withTimes(base.history, own)],
      platform: base.platform,
      snapshot,
      base: origin,
    };
  }

  /** Whether the steps of a stage are done again, whatever is known of them. */
  private isFresh({ name }: Stage): boolean {
    const { noCache, noCacheFilter } = this.request;
    return noCache || noCacheFilter.some((one) => one.toLowerCase() === name);
  }

  private async step(
    stage: Stage,
    step: Step,
    at: Pick<StepInput, "number" | "place" | "platform">,
    snapshot: Snapshot,
    before: readonly HistoryEntry[],
  ) {
    this.request.signal.throwIfAborted();
    const { work, createdBy } = step;
    const entry = { created_by: createdBy, comment: COMMENT };
    const none = { history: { ...entry, empty_layer: true }, snapshot, layer: undefined };
    if (work === undefined) return none;
    const done = await this.performer.perform({
      work,
      snapshot,
      stage: stage.index,
      ...at,
      description: step.instruction.raw.text,
      fresh: this.isFresh(stage),
      told: { before, createdBy },
    });
    if (done.snapshot.chain.length === snapshot.chain.length) return none;
    const history = { ...entry, created: done.created };
    return { history, snapshot: done.snapshot, layer: done.snapshot.chain.at(-1) };
  }

  /** What --from means at a stage: an earlier stage, or an image. */
  private async files(name: string, before: number): Promise<StageFiles> {
    const stage = findStage(this.plan.dockerfile, name, before);
    if (stage !== undefined) return this.stage(stage);
    const context = await this.request.named.find(name);
    if (context !== undefined)
      return context.kind === "tree"
        ? context
        : this.image(context.reference, this.request.platform, 0);
    const later = findStage(this.plan.dockerfile, name);
    if (later !== undefined)
      throw fault(
        "invalid",
        "dockerfile",
        `${JSON.stringify(name)} is a later stage: what is copied from comes before`,
      );
    return this.image(name, this.request.platform, 0);
  }
}

/** Does what reads the Dockerfile; a mistake in that is told with its lines. */
function telling<T>(request: BuildRequest, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const message = messageOf(error);
    const line = Number(/^dockerfile parse error on line (\d+)/.exec(message)?.[1]);
    const excerpt = line > 0 ? excerptOf(request.dockerfile, [line, line]) : undefined;
    const none = { exitStatus: undefined, before: undefined };
    if (excerpt !== undefined)
      request.report({ kind: "failed", step: 0, message, excerpt, ...none });
    throw error;
  }
}

function begin(deps: PerformerDeps, request: BuildRequest): Build {
  return telling(request, () => new Build(deps, request));
}

/** One of several builds side by side: its steps are counted after those before it, its stages named after its platform. */
function among(
  request: BuildRequest,
  { before, total, platform }: { readonly before: number; total: number; platform: string },
  told: Set<string>,
) {
  const report: BuildRequest["report"] = (event) => {
    if (event.kind === "step") {
      const stage = [platform, event.stage].filter(Boolean).join(" ");
      request.report({ ...event, step: event.step + before, total, stage });
    } else if ("step" in event) request.report({ ...event, step: event.step + before });
    else if (!told.has(JSON.stringify(event))) {
      // What is wrong with the Dockerfile is so for all of them.
      told.add(JSON.stringify(event));
      request.report(event);
    }
  };
  return report;
}

/**
 * Builds an image for each platform, all at once; undefined is the host's own. Rejects with Faults in Docker's words, and
 * with the signal's reason.
 */
export async function build(
  deps: PerformerDeps,
  request: BuildRequest,
  platforms: readonly (Platform | undefined)[],
): Promise<BuiltImage[]> {
  let asked = request;
  for (;;) {
    try {
      return await buildOnce(deps, asked, platforms);
    } catch (error) {
      // What was done until now is in this host's own cache, and what there is to say of the Dockerfile is said.
      if (!request.shared.goesOnWithout(error)) throw error;
      const report: BuildRequest["report"] = (event) => {
        if (event.kind !== "lint") request.report(event);
      };
      asked = { ...request, report };
    }
  }
}

async function buildOnce(
  deps: PerformerDeps,
  request: BuildRequest,
  platforms: readonly (Platform | undefined)[],
): Promise<BuiltImage[]> {
  const [only] = platforms;
  if (platforms.length <= 1) return [await begin(deps, { ...request, platform: only }).run()];
  const ending = new AbortController();
  const signal = AbortSignal.any([request.signal, ending.signal]);
  const told = new Set<string>();
  // Arguments of the platform may choose other stages.
  const totals = platforms.map((platform) => begin(deps, { ...request, platform }).total);
  const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
  const builds = platforms.map((platform, index) => {
    const name = platform === undefined ? "" : platformText(platform);
    const before = sum(totals.slice(0, index));
    const place = { before, total: sum(totals), platform: name };
    const report = among(request, place, told);
    const project = `${request.project} ${name}`;
    return begin(deps, { ...request, project, platform, signal, report });
  });
  const all = builds.map((one) => one.run());
  return Promise.all(all).catch(async (error) => {
    // The others work with files that go with the build.
    ending.abort(error);
    await Promise.allSettled(all);
    throw error;
  });
}

/** Looks for what is wrong or not as it should be, and tells it; builds nothing, and fetches nothing but contexts. */
export async function check(
  { images }: Pick<PerformerDeps, "images">,
  request: BuildRequest,
): Promise<void> {
  const plan = telling(request, () => planBuild(request));
  await checkPlan(plan, new BuildLint(request, plan.dockerfile), { images, request });
}
