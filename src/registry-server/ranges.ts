/**
 * Byte ranges: of what is read (RFC 9110, 14.2) and of what is sent in pieces (distribution-spec, "Pushing a blob in chunks").
 */

/** Bytes from `start` to before `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * The part of `size` bytes that a Range header asks for. Undefined: all of it, since a range that is not understood, or
 * several, may be ignored. "unsatisfiable": there is no such part.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): Span | "unsatisfiable" | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "");
  const [, first = "", last = ""] = match ?? [];
  if (match === null || (first === "" && last === "")) return undefined;
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return undefined;
  if (start >= size) return "unsatisfiable";
  return { start, end: last === "" ? size : Math.min(Number(last) + 1, size) };
}

/** Where a chunk says that it belongs ("0-1023"; some clients write "bytes 0-1023/2048"). Undefined for what is no range. */
export function parseContentRange(header: string): Span | undefined {
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(header.trim());
  if (match === null) return undefined;
  const [start, end] = [Number(match[1]), Number(match[2]) + 1];
  return end > start ? { start, end } : undefined;
}
