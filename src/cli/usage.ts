/**
 * The usage texts: of one command and of all.
 */
import type { Command } from "./command.ts";
import { shownType } from "./flag-values.ts";
import type { Flag } from "./flags.ts";
import type { Examples } from "./manual/examples.ts";
import { print } from "./output.ts";
import { groups, routes } from "./routes.ts";

function spelled(flag: Flag): string {
  const type = shownType(flag.type);
  const value = type === "bool" ? "" : ` ${type}`;
  const short = flag.short === "" ? "    " : `-${flag.short}, `;
  return `  ${short}--${flag.name}${value}`;
}

/** The text of `berth COMMAND --help`. */
export function commandUsage(
  name: string,
  command: Command,
  aliases: readonly string[],
  examples: Examples,
): string {
  const shown = examples.map(([purpose, line]) => `  # ${purpose}\n  ${line}\n`);
  const foot = shown.length === 0 ? "" : `\nExamples:\n${shown.join("")}`;
  return usageAndOptions(name, command, aliases) + foot;
}

function usageAndOptions(name: string, command: Command, aliases: readonly string[]): string {
  let text = `Usage:  ${name}${command.usage === "" ? "" : ` ${command.usage}`}\n\n${command.short}\n`;
  if (command.more !== undefined) text += `\n${command.more}`;
  if (aliases.length > 1) text += `\nAliases:\n  ${aliases.join(", ")}\n`;
  const shown = command.flags.filter((flag) => !flag.hidden);
  if (shown.length === 0) return text;
  const ordered = shown.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const width = Math.max(...ordered.map((flag) => spelled(flag).length));
  const lines = ordered.map((flag) => {
    const initial = flag.initial === "" ? "" : ` (default ${flag.initial})`;
    return `${spelled(flag).padEnd(width)}   ${flag.help}${initial}`;
  });
  return `${text}\nOptions:\n${lines.join("\n")}\n`;
}

/** Of the groups that are not shown. */
const NO_SWARMS = "Swarms are not supported: this engine is for one host";

/** The text of `berth --help`, or of a group such as `berth container --help`. */
export function overview(group: string): string {
  // What has no words is for programs.
  const shown = routes.filter(({ short }) => short !== "");
  const inGroup = shown.filter((route) =>
    group === "" ? !route.path.includes(" ") : route.path.startsWith(`${group} `),
  );
  const title =
    group === "" ? "A container engine that takes Docker's words" : (groups[group] ?? NO_SWARMS);
  const names: [string, string][] = inGroup.map((r) => [r.path.split(" ").at(-1) ?? "", r.short]);
  const list = (items: [string, string][]) =>
    items.map(([name, short]) => `  ${name.padEnd(11)} ${short}`).join("\n");
  const head = `Usage:  berth ${group === "" ? "[OPTIONS]" : group} COMMAND\n\n${title}\n`;
  const foot = `\n\nRun 'berth ${group === "" ? "" : `${group} `}COMMAND --help' for more information on a command.\n`;
  if (names.length === 0) return head;
  if (group !== "") return `${head}\nCommands:\n${list(names)}${foot}`;
  const options =
    '\n\nGlobal Options:\n      --config string      Location of client config files\n  -c, --context string     Name of the context to use to connect to the daemon\n  -D, --debug              Enable debug mode\n  -H, --host list          Daemon socket to connect to\n  -l, --log-level string   Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")\n      --tls                Use TLS; implied by --tlsverify\n      --tlscacert string   Trust certs signed only by this CA\n      --tlscert string     Path to TLS certificate file\n      --tlskey string      Path to TLS key file\n      --tlsverify          Use TLS and verify the remote\n      --no-color           Write no colours (NO_COLOR=1 in the environment does the same)\n  -v, --version            Print version information and quit';
  return `${head}\nManagement Commands:\n${list(Object.entries(groups))}\n\nCommands:\n${list(names)}${options}${foot}`;
}

/** Prints the usage of the command that `path` names. */
export async function printUsage(path: string, command: Command): Promise<number> {
  const { examplesOf } = await import("./manual/examples.ts");
  const spellings = routes.find((one) => one.path === path)?.spellings ?? [path];
  const aliases = spellings.map((one) => `berth ${one}`);
  await print(commandUsage(`berth ${path}`, command, aliases, examplesOf(spellings[0] ?? "")));
  return 0;
}
