/**
 * Moments as users write them: times, and durations back from now.
 */
import { parseDuration } from "./flag-values.ts";

/** A moment as seconds: a Unix time, a date, or a duration before now. Throws an Error for neither. */
export function parseMoment(text: string, now: number): string | undefined {
  if (text === "" || /^\d+(\.\d+)?$/.test(text)) return text || undefined;
  const ago = parseDuration(text);
  if (ago !== undefined) return ((now * 1e6 - ago) / 1e9).toFixed(9);
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new Error(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
  // Dates know milliseconds, logs nanoseconds: the fraction is taken as it is written.
  const fraction = /:\d\d\.(\d{1,9})/.exec(text)?.[1] ?? "";
  return `${Math.floor(time / 1000)}.${fraction.padEnd(9, "0")}`;
}
