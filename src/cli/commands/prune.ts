/**
 * `berth container prune`, `image prune`, `volume prune`, `network prune`, `builder prune` and `system prune`.
 */

import { parseBytes } from "../../base/sizes.ts";
import type { ApiClient } from "../../client/index.ts";
import { type Command, ExitError } from "../command.ts";
import { confirm } from "../confirm.ts";
import { encodeFilters } from "../filters.ts";
import { type Flag, flag, type Parsed } from "../flags.ts";
import { humanSize } from "../human.ts";
import { out } from "../output.ts";

/** One of the API's prunes, and how its answer is told. */
interface Prune {
  readonly path: string;
  /** "Images", as in "Deleted Images:". */
  readonly what: string;
  /** The field of the answer that lists what went. */
  readonly field: string;
}

const containers: Prune = {
  path: "/containers/prune",
  what: "Containers",
  field: "ContainersDeleted",
};
const images: Prune = { path: "/images/prune", what: "Images", field: "ImagesDeleted" };
const volumes: Prune = { path: "/volumes/prune", what: "Volumes", field: "VolumesDeleted" };
const networks: Prune = { path: "/networks/prune", what: "Networks", field: "NetworksDeleted" };
const cache: Prune = { path: "/build/prune", what: "build cache objects", field: "CachesDeleted" };

type Item = string | { readonly Untagged?: string; readonly Deleted?: string };

function lineOf(item: Item): string {
  if (typeof item === "string") return item;
  return item.Untagged ? `untagged: ${item.Untagged}` : `deleted: ${item.Deleted ?? ""}`;
}

/** What to ask for: the filters, and whether nothing is to go. */
interface Wish {
  readonly filters: readonly string[];
  /** More of the query. */
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** "after": only say what would go once the stopped containers have gone. */
  readonly dryRun: boolean | "after";
}

/** Asks for a prune and tells what went; gives the bytes. */
async function prune(
  client: ApiClient,
  what: Prune,
  { filters, dryRun, query: more }: Wish,
): Promise<number> {
  const query = {
    ...more,
    filters: encodeFilters(filters),
    "dry-run": dryRun === false ? undefined : dryRun === "after" ? "after-containers" : "1",
  };
  const answer = await client.json<Record<string, unknown>>("POST", what.path, { query });
  const list = (answer[what.field] ?? []) as Item[];
  const head = dryRun === false ? "Deleted" : "Would delete";
  if (list.length > 0) out(`${head} ${what.what}:\n${list.map(lineOf).join("\n")}\n\n`);
  return Number(answer.SpaceReclaimed ?? 0);
}

function tellTotal(bytes: number, dryRun: boolean): void {
  const head = dryRun ? "Total space that would be reclaimed" : "Total reclaimed space";
  out(`${head}: ${humanSize(bytes, 4)}\n`);
}

const dryRunFlag = flag("dry-run", "", "bool", "Only show what would be removed");

function commonFlags(example: string): Flag[] {
  return [
    flag("filter", "", "filter", `Provide filter values (e.g. "${example}")`),
    flag("force", "f", "bool", "Do not prompt for confirmation"),
    dryRunFlag,
  ];
}

/** How the commands that prune one kind of thing differ. */
interface Kind {
  readonly short: string;
  readonly example: string;
  readonly all?: string;
  /** What is asked before. */
  warning(all: boolean): string;
  /** The filter that --all stands for. */
  readonly allFilter?: (all: boolean) => readonly string[];
  /** What follows the warning, before the question. */
  readonly gap?: string;
  readonly more?: readonly Flag[];
  readonly query?: (parsed: Parsed) => Readonly<Record<string, string | number | undefined>>;
}

function pruneCommand(what: Prune, kind: Kind): Command {
  return {
    usage: "[OPTIONS]",
    short: kind.short,
    args: [0, 0],
    flags: [
      ...(kind.all === undefined ? [] : [flag("all", "a", "bool", kind.all)]),
      ...commonFlags(kind.example),
      ...(kind.more ?? []),
    ],
    async run({ client }, parsed) {
      const [all, dryRun] = [parsed.on("all"), parsed.on("dry-run")];
      const given = parsed.all("filter");
      if (what === volumes && all && given.some((one) => one.startsWith("all=")))
        throw new ExitError(1, "conflicting options: cannot specify both --all and --filter all=1");
      if (!parsed.on("force") && !dryRun && !(await confirm(kind.warning(all), kind.gap))) return 0;
      const filters = [...given, ...(kind.allFilter?.(all) ?? [])];
      const query = kind.query?.(parsed) ?? {};
      const bytes = await prune(client, what, { filters, dryRun, query });
      if (what !== networks) tellTotal(bytes, dryRun);
      return 0;
    },
  };
}

function systemWarning(parsed: Parsed): string {
  const lines = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(parsed.on("volumes") ? ["all anonymous volumes not used by at least one container"] : []),
    parsed.on("all")
      ? "all images without at least one container associated to them"
      : "all dangling images",
    parsed.on("all") ? "all build cache" : "unused build cache",
  ];
  const list = (items: readonly string[]) => items.map((item) => `  - ${item}\n`).join("");
  const filters = parsed.all("filter");
  const filtered =
    filters.length === 0
      ? ""
      : `\n  Items to be pruned will be filtered with:\n${list(filters.toSorted())}`;
  return `WARNING! This will remove:\n${list(lines)}${filtered}`;
}

const system: Command = {
  usage: "[OPTIONS]",
  short: "Remove unused data",
  args: [0, 0],
  flags: [
    flag("all", "a", "bool", "Remove all unused images not just dangling ones"),
    flag("volumes", "", "bool", "Prune anonymous volumes"),
    ...commonFlags("label=<key>=<value>"),
  ],
  async run({ client }, parsed) {
    const filters = parsed.all("filter");
    const until = filters.some((one) => one.startsWith("until="));
    if (parsed.on("volumes") && until)
      throw new ExitError(1, 'ERROR: The "until" filter is not supported with "--volumes"');
    const dryRun = parsed.on("dry-run");
    if (!parsed.on("force") && !dryRun && !(await confirm(systemWarning(parsed)))) return 0;
    const after = dryRun && "after";
    const dangling = `dangling=${!parsed.on("all")}`;
    const labels = filters.filter((one) => !one.startsWith("until="));
    let bytes = await prune(client, containers, { filters, dryRun });
    bytes += await prune(client, networks, { filters, dryRun });
    if (parsed.on("volumes"))
      bytes += await prune(client, volumes, { filters: labels, dryRun: after });
    bytes += await prune(client, images, { filters: [...filters, dangling], dryRun: after });
    // The cache has no labels: what they choose is not in it.
    if (filters.length === 0 || until) {
      const query = { all: parsed.on("all") ? "1" : undefined };
      const ages = filters.filter((one) => one.startsWith("until="));
      bytes += await prune(client, cache, { filters: ages, dryRun, query });
    }
    tellTotal(bytes, dryRun);
    return 0;
  },
};

/** The commands by what stands before `prune`. */
export const commands = {
  system,
  container: pruneCommand(containers, {
    short: "Remove all stopped containers",
    example: "until=<timestamp>",
    warning: () => "WARNING! This will remove all stopped containers.",
  }),
  image: pruneCommand(images, {
    short: "Remove unused images",
    example: "until=<timestamp>",
    all: "Remove all unused images, not just dangling ones",
    warning: (all) =>
      all
        ? "WARNING! This will remove all images without at least one container associated to them."
        : "WARNING! This will remove all dangling images.",
    allFilter: (all) => [`dangling=${!all}`],
  }),
  volume: pruneCommand(volumes, {
    short: "Remove unused local volumes",
    example: "label=<label>",
    all: "Remove all unused volumes, not just anonymous ones",
    warning: (all) =>
      `WARNING! This will remove ${all ? "all" : "anonymous"} local volumes not used by at least one container.`,
    allFilter: (all) => (all ? ["all=true"] : []),
  }),
  network: pruneCommand(networks, {
    short: "Remove all unused networks",
    example: "until=<timestamp>",
    warning: () =>
      "WARNING! This will remove all custom networks not used by at least one container.",
  }),
  builder: pruneCommand(cache, {
    short: "Remove build cache",
    example: "until=24h",
    all: "Remove all unused build cache, not just dangling ones",
    warning: (all) => `WARNING! This will remove all ${all ? "" : "dangling "}build cache.`,
    gap: " ",
    more: [
      flag("keep-storage", "", "bytes", "Amount of disk space to keep for cache"),
      flag("reserved-space", "", "bytes", "Amount of disk space always allowed to keep for cache"),
      flag("max-used-space", "", "bytes", "Maximum amount of disk space allowed to keep for cache"),
      flag("min-free-space", "", "bytes", "Target amount of free disk space after pruning"),
    ],
    query: (parsed) => ({
      all: parsed.on("all") ? "1" : undefined,
      ...Object.fromEntries(
        ["keep-storage", "reserved-space", "max-used-space", "min-free-space"].map((name) => [
          name,
          parsed.text(name) === "" ? undefined : parseBytes(parsed.text(name)),
        ]),
      ),
    }),
  }),
};
