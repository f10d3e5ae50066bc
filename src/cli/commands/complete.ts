/**
 * `berth __complete`: what the shells ask at each tab. One candidate a line, with its words behind a tab; the last line says
 * what else the shell may offer: `:files`, `:directories` or `:nothing`.
 */
import { ApiClient } from "../../client/index.ts";
import { globalFlags } from "../app.ts";
import type { Command, Context } from "../command.ts";
import { completionOf, flagWords, type NameKind, splitLine, takesNext } from "../completion.ts";
import { parseFlags } from "../flags.ts";
import { loadCommand } from "../load.ts";
import { print } from "../output.ts";
import { groups, isGroup, routes } from "../routes.ts";
import { targetFlags, targetOf } from "../target.ts";

/** A daemon that does not answer by then has no names. */
const PATIENCE_MS = 1000;

interface Asked {
  readonly client: ApiClient;
}

interface ContainerRow {
  readonly Names?: readonly string[];
  readonly Image?: string;
  readonly State?: string;
  readonly Status?: string;
}

async function containers({ client }: Asked, states: readonly string[]): Promise<string[]> {
  const filters = states.length === 0 ? undefined : JSON.stringify({ status: states });
  const query = { all: true, filters };
  const rows = await client.json<ContainerRow[]>("GET", "/containers/json", { query });
  return rows.flatMap(({ Names = [], Image = "", Status = "" }) =>
    Names.map((name) => `${name.replace(/^\//, "")}\t${Image}, ${Status}`),
  );
}

async function images({ client }: Asked): Promise<string[]> {
  const rows = await client.json<{ RepoTags?: string[] | null }[]>("GET", "/images/json");
  return rows
    .flatMap(({ RepoTags }) => RepoTags ?? [])
    .filter((tag) => tag !== "<none>:<none>")
    .flatMap((tag) => (tag.endsWith(":latest") ? [tag, tag.slice(0, -":latest".length)] : [tag]));
}

const sources: Readonly<Record<NameKind, (asked: Asked) => Promise<string[]>>> = {
  container: (asked) => containers(asked, []),
  running: (asked) => containers(asked, ["running", "paused", "restarting"]),
  stopped: (asked) => containers(asked, ["created", "exited"]),
  paused: (asked) => containers(asked, ["paused"]),
  image: images,
  async network({ client }) {
    const rows = await client.json<{ Name?: string; Driver?: string }[]>("GET", "/networks");
    return rows.map(({ Name = "", Driver = "" }) => `${Name}\t${Driver}`);
  },
  async volume({ client }) {
    const { Volumes } = await client.json<{ Volumes?: { Name: string; Driver: string }[] | null }>(
      "GET",
      "/volumes",
    );
    return (Volumes ?? []).map(({ Name, Driver }) => `${Name}\t${Driver}`);
  },
  async context() {
    const { listContexts } = await import("../contexts.ts");
    return ["default", ...listContexts().map(({ Name }) => Name)];
  },
  async machine() {
    const { listMachines, urlOf } = await import("../machine/record.ts");
    return listMachines().map((machine) => `${machine.Name}\t${urlOf(machine)}`);
  },
};

/** Names of the kinds; none when nobody can be asked. Whoever presses a tab wants no error. */
async function namesOf(kinds: readonly NameKind[], before: readonly string[]): Promise<string[]> {
  try {
    const target = targetFlags(parseFlags(before, globalFlags, false));
    const client = new ApiClient(await targetOf(target, process.env), async () => false);
    const found = Promise.all(kinds.map((kind) => sources[kind]({ client })));
    const all = await Promise.race([found, Bun.sleep(PATIENCE_MS).then(() => [])]);
    client.close();
    return all.flat();
  } catch {
    return [];
  }
}

function commandWords(group: string): string[] {
  const shown = routes.filter(({ short }) => short !== "");
  if (group !== "")
    return shown
      .filter(({ path }) => path.startsWith(`${group} `))
      .map(({ path, short }) => `${path.slice(group.length + 1)}\t${short}`);
  return [
    ...shown
      .filter(({ path }) => !path.includes(" "))
      .map(({ path, short }) => `${path}\t${short}`),
    ...Object.entries(groups).map(([name, short]) => `${name}\t${short}`),
    "daemon\tStart the engine",
    "help\tShow a command's flags",
  ];
}

/** Where the flags before the command end. */
function globalsEnd(given: readonly string[]): number {
  let at = 0;
  while (at < given.length - 1 && given[at]?.startsWith("-"))
    at += takesNext(globalFlags, given[at] ?? "") ? 2 : 1;
  return at;
}

interface Candidates {
  readonly list: readonly string[];
  readonly prefix: string;
  readonly before?: string;
  readonly rest?: "files" | "directories";
}

async function candidates(given: readonly string[]): Promise<Candidates> {
  const from = globalsEnd(given);
  const before = given.slice(0, from);
  const said = given.slice(from);
  const prefix = given.at(-1) ?? "";
  if (from >= given.length || (said.length === 1 && prefix.startsWith("-"))) {
    const flag = given[from - 2] ?? "";
    if (from >= given.length)
      return completed(completionOf("", { usage: "", flags: globalFlags }, [flag, prefix]), before);
    return { list: flagWords(globalFlags), prefix };
  }
  const [first = ""] = said;
  if (said.length === 1 || (first === "help" && said.length === 2))
    return { list: commandWords(""), prefix };
  if (isGroup(first) && said.length === 2) return { list: commandWords(first), prefix };
  const length = isGroup(first) ? 2 : 1;
  const words = said.slice(0, length);
  const command = await loadCommand(words);
  if (command === undefined) return { list: [], prefix };
  return completed(completionOf(words.join(" "), command, said.slice(length)), before);
}

async function completed(
  { wanted, before, prefix }: ReturnType<typeof completionOf>,
  globals: readonly string[],
): Promise<Candidates> {
  if (wanted.kind === "words") return { list: wanted.words, prefix, before };
  if (wanted.kind === "names") return { list: await namesOf(wanted.of, globals), prefix, before };
  const rest = wanted.kind === "nothing" ? {} : { rest: wanted.kind };
  return { list: [], prefix, before, ...rest };
}

/** The command; shells call it. */
export const command: Command = {
  usage: "WORD...",
  short: "What may stand at the end of a command line",
  args: [0, Number.POSITIVE_INFINITY],
  interspersed: false,
  local: true,
  flags: [],
  async run(_context: Context, parsed) {
    const [how = "", ...given] = parsed.args;
    // bash breaks words where it should not: it hands over the line.
    const said = how === "line" ? splitLine(given[0] ?? "").slice(1) : given;
    const { list, prefix, before = "", rest = "nothing" } = await candidates(said);
    const fitting = list
      .filter((candidate) => candidate.startsWith(prefix))
      // Nothing that somebody else has named is handed to a terminal or a shell but plain letters.
      .filter((candidate) => /^[\w.:/@+,=-]+(\t|$)/.test(candidate))
      .map((candidate) => `${before}${candidate.replace(/[^\t\x20-\x7e]/g, "?")}\n`);
    await print(`${[...new Set(fitting)].sort().join("")}:${rest}\n`);
    return 0;
  },
};
