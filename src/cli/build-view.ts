/**
 * The steps of a build on a terminal: drawn again and again in the same place, never taller than it. What steps write is
 * hostile: nothing of it moves the cursor.
 */
import type { ShownStep } from "./build-steps.ts";
import { humanSize } from "./human.ts";
import { cutText, plainText } from "./terminal-text.ts";

/** Lines of a running step's output that are shown. */
const OUTPUT_LINES = 6;
/** Before that a rate says nothing. */
const RATE_LEAST_MS = 500;
const RESET = "\x1b[0m";
const BLUE = "\x1b[34m";
const RED = "\x1b[31m";
const FAINT = "\x1b[2m";
interface Row {
  readonly text: string;
  readonly right?: string;
  readonly colour?: string;
}

/** How fast a context goes, while it does. */
function rateOf({ bytes = 0, began, ended }: ShownStep, now: number): string {
  const ms = now - began;
  if (ended !== undefined || ms < RATE_LEAST_MS) return "";
  return ` at ${humanSize((bytes / ms) * 1000)}/s`;
}

function rowsOf(step: ShownStep, now: number): Row[] {
  const { state, title, began, ended, bytes, tail } = step;
  const right = `${Math.max(0, ((ended ?? now) - began) / 1000).toFixed(1)}s`;
  const word = state === "cached" ? "CACHED " : state === "failed" ? "ERROR " : "";
  const over = ended === undefined && state === "running" ? undefined : BLUE;
  const colour = state === "failed" ? RED : over;
  const head = { text: ` => ${word}${plainText(title)}`, right, ...(colour ? { colour } : {}) };
  if (bytes !== undefined)
    return [
      head,
      { text: ` => => transferring context: ${humanSize(bytes)}${rateOf(step, now)}`, right },
    ];
  if (ended !== undefined) return [head];
  const output = tail
    .slice(-OUTPUT_LINES)
    .map((line) => ({ text: ` => => # ${plainText(line)}`, colour: FAINT }));
  return [head, ...output];
}

/** One place of a terminal. */
export class LiveView {
  /** Rows that the last drawing took. */
  private drawn = 0;
  private readonly began = Date.now();

  constructor(
    private readonly write: (text: string) => void,
    private readonly size: () => { readonly rows: number; readonly columns: number },
    private readonly coloured = true,
  ) {}

  /** Draws what there is now, as much as fits: what goes on before what is over. */
  draw(steps: readonly ShownStep[], now: number): void {
    const { rows } = this.size();
    const parts = steps.map((step) => ({ step, rows: rowsOf(step, now) }));
    let spare = parts.reduce((sum, part) => sum + part.rows.length, 0) - Math.max(1, rows - 2);
    const kept = parts.filter(({ step, rows: own }) => {
      if (spare <= 0 || step.ended === undefined) return true;
      spare -= own.length;
      return false;
    });
    const shown = kept.flatMap((part) => part.rows).slice(0, Math.max(1, rows - 2));
    this.show([this.head(steps, now), ...shown]);
  }

  /** The last drawing: every step, however many there are. */
  finish(steps: readonly ShownStep[], now: number): void {
    this.show([this.head(steps, now), ...steps.flatMap((step) => rowsOf(step, now).slice(0, 1))]);
    this.drawn = 0;
  }

  private head(steps: readonly ShownStep[], now: number): Row {
    const over = steps.filter(({ ended }) => ended !== undefined).length;
    const finished = over === steps.length && over > 0 ? " FINISHED" : "";
    const time = `${((now - this.began) / 1000).toFixed(1)}s`;
    return { text: `[+] Building ${time} (${over}/${steps.length})${finished}` };
  }

  private show(rows: readonly Row[]): void {
    const columns = Math.max(20, this.size().columns || 80);
    const lines = rows.map(({ text, right = "", colour }) => {
      const room = columns - 1 - (right === "" ? 0 : right.length + 1);
      const left = cutText(text, room);
      const gap = right === "" ? "" : " ".repeat(room - Bun.stringWidth(left) + 1);
      const line = `${left}${gap}${right}`;
      return colour === undefined || !this.coloured ? line : `${colour}${line}${RESET}`;
    });
    const up = this.drawn > 0 ? `\x1b[${this.drawn}A` : "";
    // One write, and each row is cleared only behind what is new: nothing flickers.
    this.write(`${up}\r${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
    this.drawn = lines.length;
  }
}
