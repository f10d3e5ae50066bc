/**
 * What registries say in headers, taken from hostile text: each parser reads a bounded part of it once and gives undefined
 * for what makes no sense. Pure.
 */

/** No header that means something is longer. */
const HEADER_MAX = 8192;

function bounded(header: string | null): string {
  return (header ?? "").slice(0, HEADER_MAX);
}

/** How a registry wants to be told who asks. */
export interface Challenge {
  /** In lower case: "basic", "bearer". */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** The challenges of a WWW-Authenticate header (RFC 9110, 11.6.1), in their order. */
export function parseChallenges(header: string | null): Challenge[] {
  const text = bounded(header);
  const found: { scheme: string; parameters: Record<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at += match[0].length;
    return match;
  };
  for (;;) {
    take(/[\s,]+/y);
    const word = take(/[\w!#$%&'*+.^`|~-]+/y)?.[0];
    if (word === undefined) return found;
    if (take(/\s*=\s*/y) === null) {
      found.push({ scheme: word.toLowerCase(), parameters: {} });
      continue;
    }
    const quoted = take(/"((?:[^"\\]|\\.)*)"/sy)?.[1]?.replace(/\\(.)/gs, "$1");
    const value = quoted ?? take(/[^\s,"]*/y)?.[0] ?? "";
    const parameters = found.at(-1)?.parameters;
    if (parameters !== undefined) parameters[word.toLowerCase()] = value;
  }
}

/** The challenge that is answered: a token is better than a password that goes along with each request. */
export function chooseChallenge(header: string | null): Challenge | undefined {
  const all = parseChallenges(header);
  const named = (scheme: string) => all.find((one) => one.scheme === scheme);
  return named("bearer") ?? named("basic");
}

/** The milliseconds that a busy registry asks for (RFC 9110, 10.2.3). */
export function parseRetryAfter(header: string | null, now: number): number | undefined {
  const text = bounded(header).trim();
  if (text === "") return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) ? Math.max(ms, 0) : undefined;
}

/** What part of a whole comes (RFC 9110, 14.4). */
export interface ContentRange {
  readonly first: number;
  readonly last: number;
  /** Undefined when the registry does not know. */
  readonly total: number | undefined;
}

/** Parses "bytes 5-9/10". */
export function parseContentRange(header: string | null): ContentRange | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(bounded(header).trim());
  if (match === null) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2])];
  const total = match[3] === "*" ? undefined : Number(match[3]);
  const sound = first <= last && (total === undefined || last < total);
  return sound && Number.isSafeInteger(total ?? last) ? { first, last, total } : undefined;
}

/** How many bytes of an upload have arrived: "0-1023", with or without "bytes=". */
export function parseUploadRange(header: string | null): number | undefined {
  const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(bounded(header).trim())?.[1]);
  // "0-0" stands for nothing at all, by custom.
  if (last === 0) return 0;
  return Number.isSafeInteger(last) ? last + 1 : undefined;
}

/** Where the next page of a list is (RFC 8288). */
export function parseNextLink(header: string | null): string | undefined {
  for (const [, target, rest = ""] of bounded(header).matchAll(/<([^<>]*)>([^<]*)/g))
    if (/;\s*rel\s*=\s*"?next"?\s*(?:[;,]|$)/i.test(rest)) return target;
  return undefined;
}

/** How often one may still ask, and within how many seconds: "98;w=21600". */
export function parseRateLimit(
  header: string | null,
): { readonly count: number; readonly window: number | undefined } | undefined {
  const match = /^(\d{1,15})(?:\s*;\s*w=(\d{1,15}))?/.exec(bounded(header).trim());
  if (match === null) return undefined;
  return {
    count: Number(match[1]),
    window: match[2] === undefined ? undefined : Number(match[2]),
  };
}

/** The media type without its parameters. */
export function parseMediaType(header: string | null): string {
  return bounded(header).split(";")[0]?.trim() ?? "";
}
