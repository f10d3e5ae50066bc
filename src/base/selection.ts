/**
 * Choosing objects by their labels and age, as filters of lists and of prunes do: pure.
 */

import { fault } from "./errors.ts";
import { own } from "./own.ts";

/** Whether labels meet "key" (it is there) or "key=value" (it has this value). */
export function labelHolds(labels: Readonly<Record<string, string>>, want: string): boolean {
  const equals = want.indexOf("=");
  if (equals < 0) return Object.hasOwn(labels, want);
  return own(labels, want.slice(0, equals)) === want.slice(equals + 1);
}

/** A filter's value that is true or false. Throws a Fault "invalid" in Docker's words for anything else. */
export function filterBoolean(key: string, value: string): boolean {
  if (/^(1|true)$/i.test(value)) return true;
  if (/^(0|false)$/i.test(value)) return false;
  throw fault("invalid", "filter", `invalid filter '${key}=[${value}]'`);
}

/** What a prune is to take. */
export interface Selection {
  /** Made before this, in milliseconds since 1970. */
  readonly until: number | undefined;
  /** "key" or "key=value": all must hold. */
  readonly labels: readonly string[];
  /** None of these may hold. */
  readonly withoutLabels: readonly string[];
}

/** Whether an object with these labels, made then (milliseconds since 1970), is selected. */
export function isSelected(
  selection: Selection,
  labels: Readonly<Record<string, string>>,
  made: number,
): boolean {
  return (
    (selection.until === undefined || made < selection.until) &&
    selection.labels.every((want) => labelHolds(labels, want)) &&
    !selection.withoutLabels.some((want) => labelHolds(labels, want))
  );
}
