/**
 * Numbers for Prometheus: counters and histograms to keep, and the text in which they are told. Knows nothing of what is
 * counted.
 */

/** What tells samples of one name apart. */
export type Labels = Readonly<Record<string, string>>;

/** One number. */
export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  /** Of a histogram: which part of it. */
  readonly part?: "bucket" | "sum" | "count";
}

/** Numbers of one kind. The name of a counter ends with _total. */
export interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** The two forms of the text. */
export type Exposition = "text" | "openmetrics";

/** The media type of each. */
export const expositionTypes: Readonly<Record<Exposition, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** The form that a request's Accept header asks for. */
export function expositionFor(accept: string | undefined): Exposition {
  return accept?.includes("application/openmetrics-text") ? "openmetrics" : "text";
}

/** The upper bounds that Prometheus's own clients begin with, in seconds. */
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** How long something takes, in seconds: how often it took up to so long. */
export class Histogram {
  private readonly counts = BOUNDS.map(() => 0);
  private count = 0;
  private sum = 0;

  observe(seconds: number): void {
    const at = BOUNDS.findIndex((bound) => seconds <= bound);
    if (at >= 0) this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.count++;
    this.sum += seconds;
  }

  samples(labels: Labels): Sample[] {
    let below = 0;
    const buckets = BOUNDS.map((bound, at): Sample => {
      below += this.counts[at] ?? 0;
      return { labels: { ...labels, le: String(bound) }, value: below, part: "bucket" };
    });
    return [
      ...buckets,
      { labels: { ...labels, le: "+Inf" }, value: this.count, part: "bucket" },
      { labels, value: this.sum, part: "sum" },
      { labels, value: this.count, part: "count" },
    ];
  }
}

/** How long each of some actions takes. */
export class Timings<Action extends string> {
  private readonly histograms: ReadonlyMap<Action, Histogram>;

  constructor(actions: readonly Action[]) {
    this.histograms = new Map(actions.map((action) => [action, new Histogram()]));
  }

  /** Does the work; how long it takes counts when it succeeds. */
  async time<T>(action: Action, work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    const result = await work();
    this.histograms.get(action)?.observe((performance.now() - begin) / 1000);
    return result;
  }

  samples(): Sample[] {
    return [...this.histograms].flatMap(([action, histogram]) => histogram.samples({ action }));
  }
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}

function labelsText(labels: Labels | undefined, form: Exposition): string {
  const pairs = Object.entries(labels ?? {}).map(([name, value]) => {
    // A bound is a number; OpenMetrics wants to see that it is a floating one.
    const whole = form === "openmetrics" && name === "le" && /^\d+$/.test(value);
    return `${name}="${escaped(whole ? `${value}.0` : value)}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** The text. Families without samples are left out. */
export function expositionOf(families: readonly Family[], form: Exposition): string {
  const lines: string[] = [];
  for (const { name, type, help, samples } of families) {
    if (samples.length === 0) continue;
    const family =
      form === "openmetrics" && type === "counter" ? name.replace(/_total$/, "") : name;
    const helpText =
      form === "openmetrics"
        ? escaped(help)
        : help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
    lines.push(`# HELP ${family} ${helpText}`, `# TYPE ${family} ${type}`);
    for (const { labels, value, part } of samples) {
      const suffix = part === undefined ? "" : `_${part}`;
      lines.push(`${name}${suffix}${labelsText(labels, form)} ${numberText(value)}`);
    }
  }
  if (form === "openmetrics") lines.push("# EOF");
  return `${lines.join("\n")}\n`;
}
