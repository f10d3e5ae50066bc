/**
 * Sizes in Docker's words: pure.
 */

const units = ["b", "k", "m", "g", "t", "p"];

/** Bytes of a size such as `64m` or `1.5GiB` (powers of 1024), or undefined when it is none. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?|\.\d+) ?(?:([bkmgtp])(?:i?b)?)?$/i.exec(text);
  if (!match) return undefined;
  return Math.trunc(Number(match[1]) * 1024 ** units.indexOf((match[2] ?? "b").toLowerCase()));
}
