/**
 * A table on a terminal that is narrower than it: columns are shortened, those that one would type again the last.
 */
import { cutText } from "./terminal-text.ts";

/** Ids and names: what somebody copies into the next command line. */
const TYPED_AGAIN = new Set(["ID", "Container", "Name", "Names", "Repository", "Tag"]);
const GAP = 2;
/** No column is made narrower. */
const [LEAST, LEAST_TYPED] = [5, 4];

function sum(widths: readonly number[]): number {
  return widths.reduce((all, width) => all + width, 0);
}

/** Takes from the widest of some columns until all fit, or none can give more. */
function shorten(widths: number[], among: readonly number[], room: number, least: number): void {
  let excess = sum(widths) - room;
  while (excess > 0) {
    const most = Math.max(...among.map((at) => widths[at] ?? 0));
    const widest = among.filter((at) => widths[at] === most);
    const next = Math.max(least, ...among.map((at) => widths[at] ?? 0).filter((w) => w < most));
    if (most <= least || widest.length === 0) return;
    // All of the widest come down together, as far as the next, or as far as it takes.
    const by = Math.min(most - next || 1, Math.max(1, Math.floor(excess / widest.length)));
    for (const at of widest) {
      if (excess <= 0) break;
      widths[at] = most - by;
      excess -= by;
    }
  }
}

/** A cell in so many columns; what is cut ends with an ellipsis. */
function cut(cell: string, columns: number): string {
  return Bun.stringWidth(cell) <= columns ? cell : `${cutText(cell, columns - 1)}…`;
}

/**
 * The table's text as it is when it fits so many columns, and a narrower one otherwise. `fields` says what each column
 * shows. A terminal of a few columns is too narrow for any table: its lines are then wrapped.
 */
export function fitted(
  cells: readonly (readonly string[])[],
  fields: readonly string[],
  text: string,
  columns: number,
): string {
  if (text.split("\n").every((line) => Bun.stringWidth(line) <= columns)) return text;
  const widths = fields.map((_, at) =>
    Math.max(...cells.map((line) => Bun.stringWidth(line[at] ?? ""))),
  );
  const room = columns - GAP * (fields.length - 1);
  const all = fields.map((_, at) => at);
  const isTyped = (at: number) => TYPED_AGAIN.has(fields[at] ?? "");
  shorten(
    widths,
    all.filter((at) => !isTyped(at)),
    room,
    LEAST,
  );
  shorten(widths, all.filter(isTyped), room, LEAST_TYPED);
  const padded = (cell: string, at: number) => {
    const shown = cut(cell, widths[at] ?? 0);
    const missing = (widths[at] ?? 0) - Bun.stringWidth(shown) + GAP;
    return at === fields.length - 1 ? shown : shown + " ".repeat(missing);
  };
  return cells.map((line) => `${line.map(padded).join("")}\n`).join("");
}
