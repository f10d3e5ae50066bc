/**
 * Files with holes in tar archives: where their data belongs, in GNU's old form and in the pax forms 0.1 and 1.0. Pure.
 */
import { fault } from "./errors.ts";

/** A run of data and where it stands in the file. */
export interface SparseRun {
  readonly offset: number;
  readonly length: number;
}

const PAIR = 24;
/** As many as fit the map's largest size in text. */
const RUNS_MAX = 1 << 17;

function damaged(what: string): Error {
  return fault("invalid", "tar", `the archive is damaged: ${what}`);
}

/** The runs that a block of GNU's old form lists from `at`; `number` reads a field. */
export function runsIn(
  at: number,
  count: number,
  number: (at: number, length: number) => number,
): SparseRun[] {
  return Array.from({ length: count }, (_, index) => ({
    offset: number(at + index * PAIR, 12),
    length: number(at + index * PAIR + 12, 12),
  })).filter(({ offset, length }) => offset > 0 || length > 0);
}

/** The runs of the pax form 0.1, "OFFSET,LENGTH,…", or of the lines of 1.0 that follow the count. */
export function runsOf(numbers: readonly string[]): SparseRun[] {
  if (numbers.length % 2 !== 0 || !numbers.every((one) => /^\d{1,16}$/.test(one)))
    throw damaged("a sparse file's map is no list of numbers");
  const runs: SparseRun[] = [];
  for (let at = 0; at < numbers.length; at += 2)
    runs.push({ offset: Number(numbers[at]), length: Number(numbers[at + 1]) });
  return runs;
}

/** Checks that runs follow each other within a file, and that together they are the data that the archive has. */
export function checkRuns(runs: readonly SparseRun[], size: number, stored: number): void {
  let [end, sum] = [0, 0];
  for (const { offset, length } of runs) {
    if (offset < end || length < 0 || !Number.isSafeInteger(offset + length))
      throw damaged("a sparse file's map is out of order");
    end = offset + length;
    sum += length;
  }
  if (runs.length > RUNS_MAX || end > size || sum !== stored || !Number.isSafeInteger(size))
    throw damaged("a sparse file's map does not fit its data");
}
