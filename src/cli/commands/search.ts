/**
 * `berth search`.
 */
import type { Command } from "../command.ts";
import { authHeaders } from "../docker-config.ts";
import { encodeFilters } from "../filters.ts";
import { flag } from "../flags.ts";
import { ellipsis } from "../human.ts";
import { err } from "../output.ts";
import { writeList } from "../table.ts";

interface Found {
  readonly name: string;
  readonly description: string;
  readonly star_count: number;
  readonly is_official: boolean;
}

const DESCRIPTION_MAX = 45;
const headings = {
  Name: "NAME",
  Description: "DESCRIPTION",
  StarCount: "STARS",
  IsOfficial: "OFFICIAL",
  IsAutomated: "AUTOMATED",
};

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] TERM",
  short: "Search Docker Hub for images",
  args: [1, 1],
  flags: [
    flag("filter", "f", "filter", "Filter output based on conditions provided"),
    flag("format", "", "string", "Pretty-print search using a Go template"),
    flag("limit", "", "int", "Max number of search results"),
    flag("no-trunc", "", "bool", "Don't truncate output"),
  ],
  async run({ client }, parsed) {
    const [term = ""] = parsed.args;
    const query = {
      term,
      limit: parsed.text("limit") || undefined,
      filters: encodeFilters(parsed.all("filter")),
    };
    if (parsed.all("filter").includes("is-automated=true"))
      err(
        'WARNING: the "is-automated" filter is deprecated, and searching for "is-automated=true" will not yield any results in future.\n',
      );
    const headers = authHeaders(term);
    const found = await client.json<Found[]>("GET", "/images/search", { query, headers });
    const format = parsed.text("format");
    const rows = found.map(({ name, description, star_count, is_official }) => {
      const line = description.replaceAll("\n", " ").replaceAll("\r", " ");
      const common = {
        Name: name,
        Description: parsed.on("no-trunc") ? line : ellipsis(line, DESCRIPTION_MAX),
        StarCount: String(star_count),
      };
      return format === "json"
        ? { ...common, IsOfficial: String(is_official) }
        : { ...common, IsOfficial: is_official ? "[OK]" : "", IsAutomated: "" };
    });
    const table = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
    await writeList(rows, { format, table, headings, type: "registry.searchContext" });
    return 0;
  },
};
