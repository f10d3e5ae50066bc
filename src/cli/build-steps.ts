/**
 * What is known of a build that goes on: its steps as they are shown, made of the events that the daemon sends.
 */
import type { Excerpt, SentBuildEvent } from "../spec/build-events.ts";

/** One step, as it is shown. */
export interface ShownStep {
  /** In the order in which steps appeared; counted from 1. */
  readonly number: number;
  readonly title: string;
  state: "running" | "cached" | "done" | "failed";
  /** Milliseconds since 1970. */
  readonly began: number;
  ended: number | undefined;
  /** The last lines that it wrote, each with its seconds since the beginning. */
  readonly tail: string[];
  /** Why it was not taken from the cache, as far as that was asked for. */
  reasons: readonly string[];
  /** Bytes that were sent, for the context. */
  bytes: number | undefined;
}

/** What failed. */
export interface ShownFailure {
  readonly step: ShownStep | undefined;
  readonly excerpt: Excerpt | undefined;
  /** An image of what there was before. */
  readonly before: string | undefined;
}

/** Hears of what changes. */
export interface StepListener {
  /** Something about a step is to be told: a line of its output, or of what else goes on in it. */
  line(step: ShownStep, text: string): void;
  /** It is done now, and not taken from the cache. */
  begun(step: ShownStep): void;
  ended(step: ShownStep): void;
  warning(text: string): void;
}

const TAIL_MAX = 40;
const LINE_MAX = 16 << 10;

type StepEvent = Extract<SentBuildEvent, { kind: "step" }>;

/** "[builder 2/4] RUN make". */
function titleOf({ stage, place, text }: StepEvent): string {
  const where = place === undefined ? "" : `${place.at}/${place.of}`;
  const line = text.replaceAll(/\s+/g, " ");
  return `[${[stage, where].filter(Boolean).join(" ")}] ${line}`;
}

/** The steps of one build. */
export class BuildSteps {
  readonly all: ShownStep[] = [];
  readonly warnings: string[] = [];
  /** What checks of the Dockerfile have found. */
  readonly lint: Extract<SentBuildEvent, { kind: "lint" }>[] = [];
  failure: ShownFailure | undefined;
  private exported: ShownStep | undefined;
  private readonly byNumber = new Map<number, ShownStep>();
  /** Output that has no end of line yet. */
  private readonly unfinished = new Map<ShownStep, string>();

  constructor(private readonly listener: StepListener) {}

  /** A step that this program does itself. */
  begin(title: string, time: number): ShownStep {
    const number = this.all.length + 1;
    const step: ShownStep = {
      ...{ number, title, state: "running", began: time },
      ...{ ended: undefined, tail: [], reasons: [], bytes: undefined },
    };
    this.all.push(step);
    return step;
  }

  /** What brings the result to where it is wanted: one step, begun when it is first told of. */
  exporting(time: number, title = "exporting to image"): ShownStep {
    this.exported ??= this.begin(title, time);
    return this.exported;
  }

  end(step: ShownStep, state: "done" | "failed", time: number): void {
    const rest = this.unfinished.get(step);
    if (rest !== undefined && rest !== "") this.line(step, rest, time);
    this.unfinished.delete(step);
    if (step.state === "running") step.state = state;
    step.ended = time;
    this.listener.ended(step);
  }

  /** Takes an event. */
  take(event: SentBuildEvent, time: number): void {
    if (event.kind === "warning") {
      this.warnings.push(event.text);
      this.listener.warning(event.text);
      return;
    }
    if (event.kind === "agent") return;
    if (event.kind === "lint") {
      this.lint.push(event);
      return;
    }
    if (event.kind === "exporting") {
      this.listener.line(this.exporting(time), event.text);
      return;
    }
    if (event.kind === "step") {
      // A build that does without a broken cache begins its steps once more.
      const before = this.byNumber.get(event.step);
      if (before !== undefined && before.ended === undefined) this.end(before, "done", time);
      // What makes nothing is over before anybody could read of it.
      if (event.place !== undefined)
        this.byNumber.set(event.step, this.begin(titleOf(event), time));
      return;
    }
    // For whoever exchanges caches with the daemon.
    if (event.kind === "cache-wanted" || event.kind === "cache-offered") return;
    const step = this.byNumber.get(event.step);
    if (event.kind === "failed") this.failure = { ...event, step };
    if (step === undefined) return;
    if (event.kind === "explained") step.reasons = event.reasons;
    else if (event.kind === "cached") step.state = "cached";
    else if (event.kind === "output") this.output(step, event.text, time);
    else if (event.kind === "notice") this.listener.line(step, event.text);
    else if (event.kind === "running") this.listener.begun(step);
    else if (event.kind === "done") this.end(step, "done", time);
    else if (event.kind === "failed") this.end(step, "failed", time);
  }

  /** What ran when the build ended otherwise than with it. */
  running(): ShownStep[] {
    return this.all.filter(({ state, ended }) => state === "running" && ended === undefined);
  }

  private output(step: ShownStep, text: string, time: number): void {
    const lines = ((this.unfinished.get(step) ?? "") + text).split("\n");
    const last = lines.pop() ?? "";
    for (const line of lines) this.line(step, line, time);
    if (last.length > LINE_MAX) this.line(step, last, time);
    this.unfinished.set(step, last.length > LINE_MAX ? "" : last);
  }

  private line(step: ShownStep, text: string, time: number): void {
    // Of what was written over itself, the last counts.
    const whole = text.replace(/\r+$/, "");
    const shown = whole.slice(whole.lastIndexOf("\r") + 1);
    const line = `${((time - step.began) / 1000).toFixed(3)} ${shown}`;
    step.tail.push(line);
    if (step.tail.length > TAIL_MAX) step.tail.shift();
    this.listener.line(step, line);
  }
}

/** For each step whether it was taken from the cache, and if not, why. */
export function explanation(steps: readonly ShownStep[]): string[] {
  return steps.flatMap(({ title, state, reasons }) => {
    if (state === "cached") return `${title}: cached`;
    return reasons.length === 0 ? [] : `${title}: not cached: ${reasons.join("; ")}`;
  });
}

/** A Dockerfile's lines with those marked that are meant, as BuildKit shows them. */
export function excerptLines({ from, lines, marked }: Excerpt, name: string): string[] {
  const bar = "-".repeat(20);
  const width = Math.max(4, String(from + lines.length).length + 1);
  const shown = lines.map((line, index) => {
    const number = from + index;
    const mark = number >= marked[0] && number <= marked[1] ? ">>>" : "   ";
    return `${String(number).padStart(width)} | ${mark} ${line}`.trimEnd();
  });
  return [`${name}:${marked[0]}`, bar, ...shown, bar];
}

/** What a failed step wrote last, and where it is in the Dockerfile. */
export function failureLines({ step, excerpt }: ShownFailure, name: string): string[] {
  const bar = "-".repeat(6);
  const output = step === undefined ? [] : [bar, ` > ${step.title}:`, ...step.tail, bar];
  return [...output, ...(excerpt === undefined ? [] : excerptLines(excerpt, name))];
}
