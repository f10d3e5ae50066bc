/**
 * What the checks of a Dockerfile have found, for people to read.
 */
import type { SentBuildEvent } from "../spec/build-events.ts";
import { excerptLines } from "./build-steps.ts";

/** One finding. */
export type ShownWarning = Extract<SentBuildEvent, { kind: "lint" }>;

/** What `build --check` prints. */
export function checkText(warnings: readonly ShownWarning[], dockerfile: string): string {
  const count = warnings.length;
  if (count === 0) return "Check complete, no warnings found.\n";
  const found = count === 1 ? "1 warning has" : `${count} warnings have`;
  const each = warnings.flatMap(({ rule, url, message, excerpt }) => [
    "",
    `WARNING: ${rule} - ${url}`,
    message,
    ...excerptLines(excerpt, dockerfile),
  ]);
  return `${[`Check complete, ${found} been found!`, ...each].join("\n")}\n`;
}

/** What stands at the end of a build. */
export function warningSummary(warnings: readonly ShownWarning[], command: string): string {
  const count = warnings.length;
  if (count === 0) return "";
  const found = count === 1 ? "1 warning" : `${count} warnings`;
  const each = warnings.map(
    ({ rule, message, excerpt }) => ` - ${rule}: ${message} (line ${excerpt.marked[0]})`,
  );
  return `\n ${found} found (use ${command} --check to expand):\n${each.join("\n")}\n`;
}
