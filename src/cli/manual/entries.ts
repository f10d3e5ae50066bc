/**
 * The command table as a manual has it: one entry for a command, whatever spellings it has.
 */
import type { Command } from "../command.ts";
import { shownType } from "../flag-values.ts";
import { loadCommand } from "../load.ts";
import { routes } from "../routes.ts";
import { type Examples, examplesOf } from "./examples.ts";

/** A command with all that is said about it. */
export interface Entry {
  /** Its first spelling, such as `run` or `volume create`. */
  readonly path: string;
  /** All spellings. */
  readonly spellings: readonly string[];
  readonly short: string;
  readonly command: Command;
  readonly examples: Examples;
}

/** All commands that are for people, by their names. */
export async function manualEntries(): Promise<Entry[]> {
  const shown = routes.filter(
    ({ path, short, spellings }) => short !== "" && path === spellings[0],
  );
  const entries = shown.map(async ({ path, short, spellings }) => {
    const command = await loadCommand(path.split(" "));
    if (command === undefined) throw new Error(`${path} has no code`);
    return { path, spellings, short, command, examples: examplesOf(path) };
  });
  return (await Promise.all(entries)).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** A command's flags as they are shown, by name: how they are written, and what they do. */
export function shownFlags(command: Pick<Command, "flags">): [written: string, help: string][] {
  return command.flags
    .filter(({ hidden }) => !hidden)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, short, type, help, initial }) => [
      `${short === "" ? "" : `-${short}, `}--${name}${type === "bool" ? "" : ` ${shownType(type)}`}`,
      initial === "" ? help : `${help} (default ${initial})`,
    ]);
}
