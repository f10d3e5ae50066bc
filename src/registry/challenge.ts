/**
 * What a registry answers to a request without credentials (RFC 9110, 11.6.1; distribution's token authentication).
 */

/** How a registry wants to be told who asks. */
export interface Challenge {
  /** In lower case: "basic", "bearer". */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Parses a WWW-Authenticate header with one challenge; undefined when there is none. */
export function parseChallenge(header: string | null): Challenge | undefined {
  const match = /^\s*([A-Za-z][\w-]*)\s*(.*)$/s.exec(header ?? "");
  if (match === null) return undefined;
  const [, scheme = "", rest = ""] = match;
  const parameters: Record<string, string> = {};
  for (const [, key = "", quoted, plain] of rest.matchAll(
    /([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/g,
  ))
    parameters[key.toLowerCase()] = quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "";
  return { scheme: scheme.toLowerCase(), parameters };
}
