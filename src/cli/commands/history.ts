/**
 * `berth history`.
 */
import { humanDuration } from "../../base/durations.ts";
import type { ImageHistoryResponseItem } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { ellipsis, humanSize } from "../human.ts";
import { platformJson } from "../platform.ts";
import { imagePath } from "../reference.ts";
import { writeList } from "../table.ts";

function moment(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000", "");
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] IMAGE",
  short: "Show the history of an image",
  args: [1, 1],
  flags: [
    flag("format", "", "string", "Format output using a custom template"),
    flag("human", "H", "bool", "Print sizes and dates in human readable format", "true"),
    flag("no-trunc", "", "bool", "Don't truncate output"),
    flag("quiet", "q", "bool", "Only show image IDs"),
    flag(
      "platform",
      "",
      "string",
      'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    ),
  ],
  async run({ client }, parsed) {
    const query = { platform: platformJson(parsed.text("platform"), "invalid platform: ") };
    const path = `/images/${imagePath(parsed.args[0] ?? "")}/history`;
    const items = await client.json<ImageHistoryResponseItem[]>("GET", path, { query });
    const [whole, human] = [parsed.on("no-trunc"), parsed.on("human", true)];
    const rows = items.map((item) => {
      const by = item.CreatedBy.replaceAll("\t", " ");
      const since = `${humanDuration(Date.now() / 1000 - item.Created)} ago`;
      return {
        ID: whole ? item.Id : item.Id.replace("sha256:", "").slice(0, 12),
        CreatedAt: moment(item.Created),
        CreatedSince: human ? since : moment(item.Created),
        CreatedBy: whole ? by : ellipsis(by, 45),
        Size: human ? humanSize(item.Size) : String(item.Size),
        Comment: item.Comment,
      };
    });
    const table = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
    const headings = {
      ID: "IMAGE",
      CreatedSince: human ? "CREATED" : "CREATED AT",
      CreatedAt: "CREATED AT",
      CreatedBy: "CREATED BY",
      Size: "SIZE",
      Comment: "COMMENT",
    };
    const asked = parsed.text("format");
    const format = parsed.on("quiet") && (asked === "" || asked === "table") ? "{{.ID}}" : asked;
    await writeList(rows, { format, table, headings, type: "image.historyContext" });
    return 0;
  },
};
