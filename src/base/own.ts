/**
 * Tables and maps that are asked with words from outside: "constructor" and "__proto__" are words like others.
 */

/** What a table itself has at a key: never what objects inherit. */
export function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
