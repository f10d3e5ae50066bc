/**
 * What a pull or a push tells while it goes on, in the form of the API's stream.
 */

/** One step. */
export interface Progress {
  readonly status?: string;
  /** The layer, or for the first step the tag. */
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  /** The same for people. */
  readonly progress?: string;
  readonly aux?: Readonly<Record<string, unknown>>;
}

/** Takes steps. */
export type Report = (step: Progress) => void;

/** How often a layer's bytes are told of. */
const EVERY_MS = 100;
const BAR = 50;

/** A digest as progress lines show it. */
export function shortDigest(digest: string): string {
  return digest.replace("sha256:", "").slice(0, 12);
}

function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${units[unit]}`;
}

function bar(current: number, total: number): string {
  const filled = Math.floor((current / Math.max(total, 1)) * BAR);
  const arrow = filled < BAR ? ">" : "";
  const line = `${"=".repeat(filled)}${arrow}`.padEnd(BAR);
  return `[${line}]  ${size(current).padStart(6)}/${size(total)}`;
}

/** Tells of bytes, but not of each one. */
export function meter(
  report: Report,
  status: string,
  id: string,
  total: number,
): (current: number) => void {
  let told = 0;
  return (current) => {
    const now = performance.now();
    if (now - told < EVERY_MS && current < total) return;
    told = now;
    report({ status, id, progressDetail: { current, total }, progress: bar(current, total) });
  };
}
