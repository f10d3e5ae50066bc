/**
 * Writes docs/reference/ from the command table: a page for each group of commands. `--check` fails if a page is not what
 * it would write.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { globalFlags } from "../src/cli/app.ts";
import { type Entry, manualEntries, shownFlags } from "../src/cli/manual/entries.ts";
import { groups } from "../src/cli/routes.ts";

const directory = join(import.meta.dir, "../docs/reference");
const NOTE = "<!-- Written by tools/reference.ts from the command table; do not edit. -->";

/** Which page a command is on: its group's, whichever of its spellings names one. */
function pageOf({ spellings }: Entry): string {
  const grouped = spellings.find((one) => one.includes(" ") && !one.startsWith("buildx "));
  return grouped?.split(" ")[0] ?? "general";
}

/** Text that Markdown takes for nothing else. */
function plain(text: string): string {
  return text.replaceAll(/[\\`*_{}[\]<>|]/g, "\\$&");
}

function flagTable(flags: ReturnType<typeof shownFlags>): string {
  if (flags.length === 0) return "";
  const rows = flags.map(([written, help]) => `| \`${written}\` | ${plain(help)} |`);
  return `\n| flag | |\n|---|---|\n${rows.join("\n")}\n`;
}

function section({ path, spellings, short, command, examples }: Entry): string {
  const usage = `berth ${path} ${command.usage}`.trim().replaceAll("\n\t", "\n    ");
  const others = spellings.slice(1).map((one) => `\`berth ${one}\``);
  const lines = examples.flatMap(([purpose, line]) => [`# ${purpose}`, line]);
  return [
    `## berth ${path}\n\n${plain(short)}.\n`.replace("..\n", ".\n"),
    `\n    ${usage}\n`,
    others.length === 0 ? "" : `\nAlso: ${others.join(", ")}\n`,
    command.more === undefined ? "" : `\n${command.more.replace(/^(?=.)/gm, "    ")}`,
    flagTable(shownFlags(command)),
    lines.length === 0 ? "" : `\n\`\`\`sh\n${lines.join("\n")}\n\`\`\`\n`,
  ].join("");
}

function page(name: string, entries: readonly Entry[]): string {
  const title = groups[name] ?? "Commands of no group";
  return `${NOTE}\n# ${title}\n\n${entries.map(section).join("\n")}`;
}

function indexPage(pages: ReadonlyMap<string, readonly Entry[]>): string {
  const lists = Array.from(pages, ([name, entries]) => {
    const rows = entries.map(
      ({ path, short }) =>
        `| [${path}](${name}.md#berth-${path.replaceAll(" ", "-")}) | ${plain(short)} |`,
    );
    return `## ${groups[name] ?? "Commands of no group"}\n\n| command | |\n|---|---|\n${rows.join("\n")}\n`;
  });
  const flags = flagTable(shownFlags({ flags: globalFlags }));
  return `${NOTE}\n# The command line\n\n    berth [OPTIONS] COMMAND [ARG...]\n\nBefore the command:\n${flags}\nThe daemon's own flags: \`berth daemon --help\`.\n\n${lists.join("\n")}`;
}

/** All pages, by their file names. */
export async function referencePages(): Promise<Map<string, string>> {
  const byPage = new Map<string, Entry[]>();
  for (const entry of await manualEntries()) {
    const name = pageOf(entry);
    byPage.set(name, [...(byPage.get(name) ?? []), entry]);
  }
  const sorted = new Map([...byPage].sort(([a], [b]) => (a < b ? -1 : 1)));
  return new Map([
    ["README.md", indexPage(sorted)],
    ...Array.from(sorted, ([name, entries]) => [`${name}.md`, page(name, entries)] as const),
  ]);
}

if (import.meta.main) {
  const pages = await referencePages();
  const present = existsSync(directory) ? readdirSync(directory) : [];
  const stale = [
    ...present.filter((file) => !pages.has(file)),
    ...[...pages].flatMap(([file, text]) =>
      present.includes(file) && readFileSync(join(directory, file), "utf8") === text ? [] : [file],
    ),
  ];
  if (process.argv.includes("--check")) {
    if (stale.length > 0) {
      console.error(
        `docs/reference is not what the command table says (${stale.join(", ")}): run '.tools/bun tools/reference.ts'`,
      );
      process.exit(1);
    }
  } else {
    mkdirSync(directory, { recursive: true });
    for (const file of stale) rmSync(join(directory, file), { force: true });
    for (const [file, text] of pages)
      if (stale.includes(file)) writeFileSync(join(directory, file), text);
  }
}
