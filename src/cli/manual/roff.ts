/**
 * Manual pages (man(7) macros) from the command table.
 */
import { globalFlags } from "../app.ts";
import { groups } from "../routes.ts";
import { type Entry, manualEntries, shownFlags } from "./entries.ts";

/** Text that roff takes for nothing else: no escape, no macro at a line's beginning. */
export function roffText(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha")
    .replaceAll("`", "\\(ga")
    .replaceAll("'", "\\(aq")
    .split("\n")
    .map((line) => (line.startsWith(".") ? `\\&${line}` : line))
    .join("\n");
}

function pageName(path: string): string {
  return `berth-${path.replaceAll(" ", "-")}`;
}

function head(name: string, version: string, short: string): string {
  return `.\\" Made from berth's command table.\n.TH "${name.toUpperCase()}" "1" "" "berth ${version}" "berth"\n.nh\n.ad l\n.SH NAME\n${roffText(name)} \\- ${roffText(short)}\n`;
}

function options(flags: ReturnType<typeof shownFlags>): string {
  const rows = flags.map(([written, help]) => `.TP\n.B ${roffText(written)}\n${roffText(help)}\n`);
  return rows.join("");
}

function commandPage(entry: Entry, version: string): string {
  const { path, spellings, short, command, examples } = entry;
  const synopsis = spellings.map(
    (one) =>
      `.B berth ${roffText(one)}\n${roffText(command.usage).replaceAll("\n\t", "\n.br\n")}\n.br\n`,
  );
  const flags = shownFlags(command);
  const shown = examples.map(
    ([purpose, line]) =>
      `.PP\n${roffText(purpose)}:\n.PP\n.RS 4\n.nf\n${roffText(line)}\n.fi\n.RE\n`,
  );
  const [group = ""] = path.split(" ");
  const related = path.includes(" ") ? `commands of the group: berth ${group} \\-\\-help` : "";
  return [
    head(pageName(path), version, short),
    `.SH SYNOPSIS\n${synopsis.join("")}`,
    `.SH DESCRIPTION\n${roffText(short)}.\n`.replace("..\n", ".\n"),
    command.more === undefined ? "" : `.PP\n.nf\n${roffText(command.more)}.fi\n`,
    flags.length === 0 ? "" : `.SH OPTIONS\n${options(flags)}`,
    shown.length === 0 ? "" : `.SH EXAMPLES\n${shown.join("")}`,
    `.SH SEE ALSO\n.BR berth (1)${related === "" ? "" : `;\n${related}`}\n`,
  ].join("");
}

function overviewPage(entries: readonly Entry[], version: string): string {
  const rows = entries.map(
    ({ path, short }) =>
      `.TP\n.BR ${pageName(path).replaceAll("-", "\\-")} (1)\n${roffText(short)}\n`,
  );
  const sets = Object.entries(groups).map(
    ([name, what]) => `.TP\n.B berth ${name}\n${roffText(what)}\n`,
  );
  return [
    head("berth", version, "a container engine that takes Docker's words"),
    ".SH SYNOPSIS\n.B berth\n[OPTIONS] COMMAND [ARG...]\n",
    '.SH DESCRIPTION\nberth runs containers. One executable is the command line and, as\n.BR "berth daemon" ,\nthe daemon, which serves the Docker Engine API. Without a daemon, one is started and ends when it is idle.\n',
    `.SH OPTIONS\n${options(shownFlags({ flags: globalFlags }))}`,
    `.SH COMMANDS\n${rows.join("")}`,
    `.SH GROUPS\n${sets.join("")}`,
    '.SH ENVIRONMENT\n.TP\n.BR BERTH_HOST ", " DOCKER_HOST\nThe daemon to ask, as \\-\\-host says it.\n.TP\n.BR BERTH_CONTEXT ", " DOCKER_CONTEXT\nThe context to use, as \\-\\-context says it.\n.TP\n.B DOCKER_CONFIG\nThe directory of config.json.\n',
    ".SH FILES\n.TP\n.I /run/berth/berth.sock\nThe daemon\\(aqs socket.\n.TP\n.I /var/lib/berth\nImages, volumes and containers.\n.TP\n.I /etc/berth/daemon.json\nThe daemon\\(aqs configuration.\n.TP\n.I ~/.docker/config.json\nThe command line\\(aqs configuration, shared with docker.\n",
  ].join("");
}

/** All pages of section 1, by their names without the suffix. */
export async function manualPages(version: string): Promise<Map<string, string>> {
  const entries = await manualEntries();
  return new Map([
    ["berth", overviewPage(entries, version)],
    ...entries.map((entry) => [pageName(entry.path), commandPage(entry, version)] as const),
  ]);
}
