/**
 * Command lines that cannot be carried out: what is unknown, and what is not used as its usage says.
 */
import type { Command } from "./command.ts";
import type { UsageError } from "./flags.ts";
import { err, print } from "./output.ts";
import { isGroup, routes } from "./routes.ts";
import { meantCommand, meantFlag } from "./suggest.ts";
import { overview } from "./usage.ts";

/** Says what is wrong with words that name no command, or what there is if it was that which was asked; returns the exit status. */
export async function withoutCommand(words: readonly string[]): Promise<number> {
  const group = isGroup(words[0]) ? words[0] : "";
  const unknown = words[group === "" ? 0 : 1];
  if (unknown === undefined || unknown === "--help" || unknown === "-h") {
    // A group by itself is a command line that lacks something; the program by itself asks what there is.
    const text = overview(group);
    if (unknown === undefined && group !== "") err(text);
    else await print(text);
    return 0;
  }
  const parent = group === "" ? "berth" : `berth ${group}`;
  // What docker has in the usage lines of these groups, and of no others.
  const more = group === "volume" ? " COMMAND" : group === "stack" ? " [OPTIONS]" : "";
  const usage = group === "" ? "" : `\nUsage:  ${parent}${more}\n`;
  if (group !== "" && unknown.startsWith("-")) {
    const what = unknown.startsWith("--")
      ? `unknown flag: ${unknown}`
      : `unknown shorthand flag: '${unknown.charAt(1)}' in ${unknown}`;
    err(`${what}\n${usage}\nRun '${parent} --help' for more information\n`);
    return 125;
  }
  const known = routes
    .filter(({ path, short }) => short !== "" && (group === "" || path.startsWith(`${group} `)))
    .map(({ path }) => path.split(" ")[group === "" ? 0 : 1] ?? "");
  const meant = meantCommand(unknown, known);
  err(
    `berth: unknown command: ${parent} ${unknown}\n${meant}${usage}\nRun '${parent} --help' for more information\n`,
  );
  return 1;
}

/** Says what is wrong with a command's arguments; returns the exit status. */
export function reportUsage(name: string, command: Command, { message }: UsageError): number {
  const counted = message.startsWith("berth:");
  // Docker's own texts differ in this word.
  const see =
    counted && / at least \d+ arguments?$/.test(message) && !message.includes(" at most ")
      ? "See"
      : "Run";
  const names = command.flags.filter(({ hidden }) => !hidden).map((one) => one.name);
  err(
    `${message}\n${meantFlag(message, names)}\nUsage:  ${[name, command.usage].filter(Boolean).join(" ")}\n\n${see} '${name} --help' for more information\n`,
  );
  return counted ? 1 : 125;
}
