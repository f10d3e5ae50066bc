/**
 * One record of a json-file log, and what is left of it in a damaged line: pure.
 */

/** One record. */
export interface LogEntry {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
  /** The attributes that stand in the file. */
  readonly attributes?: Readonly<Record<string, string>>;
}

const BEGIN = '{"log":"';
/** In a damaged line so many beginnings of records are tried. */
const BEGINNINGS_MAX = 64;

/** Reads a whole line; undefined when it is not one record. */
export function parseRecord(line: string): LogEntry | undefined {
  try {
    const { log, stream, time, attrs } = JSON.parse(line) as Record<string, unknown>;
    if (typeof log !== "string" || typeof time !== "string") return undefined;
    return {
      stream: stream === "stderr" ? "stderr" : "stdout",
      text: log,
      time,
      ...(typeof attrs === "object" && attrs !== null
        ? { attributes: attrs as Record<string, string> }
        : {}),
    };
  } catch {
    return undefined;
  }
}

/**
 * The whole records in a damaged line: a crash leaves a gap of zeros, or half a record that the next one follows on the same
 * line. A record's beginning cannot stand in its text, where each quote is escaped.
 */
export function salvageRecords(line: string): LogEntry[] {
  const begins: number[] = [];
  for (
    let at = line.indexOf(BEGIN);
    at >= 0 && begins.length < BEGINNINGS_MAX;
    at = line.indexOf(BEGIN, at + 1)
  )
    begins.push(at);
  const found: LogEntry[] = [];
  let from = 0;
  for (const [i, begin] of begins.entries()) {
    if (begin < from) continue;
    // Attributes may have what looks like a beginning too: the record ends at one of those that follow.
    for (const end of [...begins.slice(i + 1), line.length]) {
      const entry = parseRecord(line.slice(begin, end).replace(/\0+$/, ""));
      if (entry === undefined) continue;
      found.push(entry);
      from = end;
      break;
    }
  }
  return found;
}
