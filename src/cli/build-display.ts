/**
 * A build in front of a person: lines with the steps' numbers, a view of a terminal that changes as the build goes on, or
 * JSON for programs. All of it goes to standard error.
 */
import type { BuildLine } from "../spec/build-events.ts";
import { BuildSteps, type ShownStep, type StepListener } from "./build-steps.ts";
import { LiveView } from "./build-view.ts";
import { humanSize } from "./human.ts";
import { draw, err } from "./output.ts";
import { hasColours, isScreen, isTerminal, terminalSize } from "./terminal.ts";

/** Shows a build. */
export interface BuildDisplay {
  readonly steps: BuildSteps;
  /** A line of the daemon's answer, whatever it is. */
  take(line: BuildLine): void;
  /** So many bytes more of the context have been sent. */
  sent(bytes: number): void;
  /** Everything is where it is wanted. */
  built(id: string, tags: readonly string[], places: readonly string[]): void;
  /** Nothing more comes. */
  close(): void;
}

/** The words of --progress. */
export const progressWords = ["auto", "plain", "tty", "quiet", "rawjson"] as const;

const seconds = (from: number, to: number): string =>
  `${Math.max(0, (to - from) / 1000).toFixed(1)}s`;

/** Takes what all displays take alike. */
abstract class Display implements BuildDisplay {
  readonly steps: BuildSteps;
  protected context: ShownStep | undefined;

  constructor(listener: StepListener) {
    this.steps = new BuildSteps(listener);
  }

  take({ event, time = Date.now() }: BuildLine): void {
    this.received();
    if (event !== undefined) this.steps.take(event, time);
  }

  sent(bytes: number): void {
    this.context ??= this.steps.begin("[internal] load build context", Date.now());
    this.context.bytes = (this.context.bytes ?? 0) + bytes;
  }

  /** With the first word of the daemon, the context has arrived. */
  private received(): void {
    if (this.context === undefined || this.context.ended !== undefined) return;
    this.arrived(this.context);
    this.steps.end(this.context, "done", Date.now());
  }

  protected arrived(_context: ShownStep): void {}

  built(id: string, tags: readonly string[], places: readonly string[]): void {
    const title = id === "" ? "exporting to client" : undefined;
    const step = this.steps.exporting(Date.now(), title);
    if (id !== "") this.note(step, `writing image ${id} done`);
    for (const tag of tags) this.note(step, `naming to ${tag} done`);
    for (const place of places) this.note(step, `writing to ${place} done`);
    this.steps.end(step, "done", Date.now());
  }

  protected note(_step: ShownStep, _text: string): void {}

  close(): void {}
}

class Quiet extends Display {
  constructor() {
    super({ line: () => {}, begun: () => {}, ended: () => {}, warning: () => {} });
  }
}

class RawJson extends Quiet {
  override take(line: BuildLine): void {
    super.take(line);
    err(`${JSON.stringify(line)}\n`);
  }
}

/** Lines as BuildKit prints them: each with its step's number, and the title again when another step had the word. */
class Plain extends Display implements StepListener {
  private speaking: ShownStep | undefined;

  constructor() {
    const self: { listener?: StepListener } = {};
    super({
      line: (step, text) => self.listener?.line(step, text),
      begun: (step) => self.listener?.begun(step),
      ended: (step) => self.listener?.ended(step),
      warning: (text) => self.listener?.warning(text),
    });
    self.listener = this;
  }

  private say(step: ShownStep, text?: string): void {
    if (this.speaking !== step) {
      const before = this.speaking;
      if (before !== undefined && before.ended === undefined) err(`#${before.number} ...\n`);
      err(`${before === undefined ? "" : "\n"}#${step.number} ${step.title}\n`);
      this.speaking = step;
    }
    if (text !== undefined) err(`#${step.number} ${text}\n`);
  }

  line(step: ShownStep, text: string): void {
    this.say(step, text);
  }

  begun(step: ShownStep): void {
    this.say(step);
  }

  ended(step: ShownStep): void {
    const { state, began, ended = began } = step;
    if (state === "cached") this.say(step, "CACHED");
    else if (state === "done") this.say(step, `DONE ${seconds(began, ended)}`);
    else this.say(step, "ERROR: it failed");
  }

  warning(text: string): void {
    err(`\nWARNING: ${text}\n`);
  }

  protected override arrived(context: ShownStep): void {
    const { bytes = 0, began } = context;
    this.say(
      context,
      `transferring context: ${humanSize(bytes)} ${seconds(began, Date.now())} done`,
    );
  }

  protected override note(step: ShownStep, text: string): void {
    this.say(step, text);
  }
}

const REDRAW_MS = 100;

/** Steps of a terminal that change as they go on. */
class Live extends Display {
  private readonly view = new LiveView(
    (text) => draw(text, 2),
    () => terminalSize(2) ?? { rows: 24, columns: 80 },
    hasColours(2),
  );
  private readonly timer: Timer;

  constructor() {
    super({ line: () => {}, begun: () => {}, ended: () => {}, warning: () => {} });
    this.timer = setInterval(() => this.view.draw(this.steps.all, Date.now()), REDRAW_MS);
  }

  protected override note(step: ShownStep, text: string): void {
    step.tail.push(text);
  }

  override close(): void {
    clearInterval(this.timer);
    this.view.finish(this.steps.all, Date.now());
    for (const text of this.steps.warnings) err(`WARNING: ${text}\n`);
  }
}

/** The display that --progress asks for. Throws for an unknown word, and for a terminal's where there is none. */
export function displayOf(progress: string, quiet: boolean): BuildDisplay {
  const word = quiet ? "quiet" : progress || "auto";
  switch (word) {
    case "quiet":
    case "none":
      return new Quiet();
    case "rawjson":
      return new RawJson();
    case "plain":
      return new Plain();
    case "auto":
      return isScreen(2) ? new Live() : new Plain();
    case "tty":
      if (isTerminal(2)) return new Live();
      throw new Error("failed to get console: the standard error is no terminal");
    default:
      throw new Error(`invalid progress mode ${progress}: use one of ${progressWords.join(", ")}`);
  }
}
