/**
 * Bars on a terminal: a line for each thing under way, with its rate and the time that is left, drawn again and again in
 * the same place and never taller than the terminal. What the lines say is hostile: nothing of it moves the cursor.
 */
import { humanSize } from "./human.ts";
import { cutText, plainText } from "./terminal-text.ts";

/** How far something is, in bytes. */
export interface Amount {
  readonly current: number;
  /** Unknown when undefined. */
  readonly total?: number | undefined;
}

interface Bar {
  label: string;
  amount: Amount | undefined;
  /** When it was how far, the oldest first, for the rate. */
  samples: { readonly at: number; readonly bytes: number }[];
}

const BAR_CELLS = 20;
/** A rate is that of the last seconds; it is told once there are some. */
const [RATE_WINDOW_MS, RATE_LEAST_MS] = [5000, 300];
const REDRAW_MS = 50;

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}m${whole % 60}s`
    : `${Math.floor(minutes / 60)}h${minutes % 60}m`;
}

/** Bytes a second over the samples; undefined when they say too little. */
function rateOf(samples: Bar["samples"]): number | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const ms = last.at - first.at;
  return ms < RATE_LEAST_MS ? undefined : ((last.bytes - first.bytes) / ms) * 1000;
}

/** `[=====>     ]  1.2MB/3.4MB  5.6MB/s  1s left`. */
export function amountText({ current, total }: Amount, rate: number | undefined): string {
  const speed = rate === undefined ? "" : `  ${humanSize(Math.max(0, rate))}/s`;
  if (total === undefined || total <= 0) return `${humanSize(current)}${speed}`;
  const done = Math.min(BAR_CELLS, Math.floor((current / total) * BAR_CELLS));
  const bar = done === BAR_CELLS ? "=".repeat(done) : `${"=".repeat(done)}>`.padEnd(BAR_CELLS);
  const left =
    rate === undefined || rate <= 0 || current >= total
      ? ""
      : `  ${duration((total - current) / rate)} left`;
  return `[${bar.slice(0, BAR_CELLS)}]  ${humanSize(current)}/${humanSize(total)}${speed}${left}`;
}

/** Bars in one place of a terminal. */
export class ProgressBars {
  private readonly bars = new Map<string, Bar>();
  private drawn = 0;
  private drawnAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly write: (text: string) => void,
    private readonly size: () => { readonly rows: number; readonly columns: number },
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Says what is done with a thing, and how far it is. */
  show(id: string, label: string, amount?: Amount): void {
    const bar = this.bars.get(id) ?? { label, amount, samples: [] };
    const fresh = bar.label !== label || !this.bars.has(id);
    if (fresh) bar.samples = [];
    Object.assign(bar, { label, amount });
    if (amount !== undefined) {
      const at = this.now();
      bar.samples.push({ at, bytes: amount.current });
      while ((bar.samples[0]?.at ?? at) < at - RATE_WINDOW_MS) bar.samples.shift();
    }
    this.bars.set(id, bar);
    const full = amount !== undefined && amount.current === amount.total;
    if (fresh || full || this.now() - this.drawnAt >= REDRAW_MS) this.draw(false);
  }

  /** Leaves what is drawn as it is; what comes next is drawn below. */
  finish(): void {
    if (this.bars.size > 0) this.draw(true);
    this.bars.clear();
    this.drawn = 0;
  }

  /** Takes away what is drawn. */
  clear(): void {
    this.bars.clear();
    this.draw(true);
  }

  private draw(whole: boolean): void {
    this.drawnAt = this.now();
    const { rows, columns } = this.size();
    const room = Math.max(1, (rows || 24) - 1);
    const all = [...this.bars];
    // What goes on before what is over: a thing that counts nothing any more.
    const spare = whole ? 0 : all.length - room;
    const over = all.filter(([, { amount }]) => amount === undefined).slice(0, Math.max(0, spare));
    const left = new Set(over.map(([id]) => id));
    const shown = all.filter(([id]) => !left.has(id)).slice(0, whole ? all.length : room);
    const lines = shown.map(([id, { label, amount, samples }]) => {
      const far = amount === undefined ? "" : ` ${amountText(amount, rateOf(samples))}`;
      const text = `${id === "" ? "" : `${id}: `}${label}${far}`;
      return `${cutText(plainText(text), Math.max(1, (columns || 80) - 1))}\x1b[K\n`;
    });
    const up = this.drawn > 0 ? `\x1b[${this.drawn}A` : "";
    // One write, and each row is cleared only behind what is new: nothing flickers.
    this.write(`${up}\r${lines.join("")}\x1b[J`);
    this.drawn = lines.length;
  }
}
