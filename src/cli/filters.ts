/**
 * `--filter` values as the API takes them.
 */

/** `name=value` entries as JSON: name → list of values; undefined when there are none. */
export function encodeFilters(entries: readonly string[]): string | undefined {
  if (entries.length === 0) return undefined;
  const filters = new Map<string, string[]>();
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    const name = entry.slice(0, equals).trim().toLowerCase();
    filters.set(name, [...(filters.get(name) ?? []), entry.slice(equals + 1).trim()]);
  }
  return JSON.stringify(Object.fromEntries(filters));
}
