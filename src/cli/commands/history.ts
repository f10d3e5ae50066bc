/**
 * `berth history`.
 */
import { humanDuration } from "../../base/durations.ts";
import type { ImageHistoryResponseItem } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { ellipsis, humanSize } from "../human.ts";
import { out } from "../output.ts";
import { writeList } from "../table.ts";

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
  ],
  async run({ client }, parsed) {
    const items = await client.json<ImageHistoryResponseItem[]>(
      "GET",
      `/images/${parsed.args[0]}/history`,
    );
    const [whole, human] = [parsed.on("no-trunc"), parsed.on("human", true)];
    const rows = items.map((item) => ({
      ID: whole ? item.Id : item.Id.replace("sha256:", "").slice(0, 12),
      CreatedAt: new Date(item.Created * 1000).toISOString().replace(".000", ""),
      CreatedSince: human
        ? `${humanDuration(Date.now() / 1000 - item.Created)} ago`
        : new Date(item.Created * 1000).toISOString().replace(".000", ""),
      CreatedBy: whole ? item.CreatedBy : ellipsis(item.CreatedBy.replaceAll("\t", " "), 45),
      Size: human ? humanSize(item.Size) : String(item.Size),
      Comment: item.Comment,
    }));
    if (parsed.on("quiet")) for (const row of rows) out(`${row.ID}\n`);
    else {
      const table = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
      const headings = {
        ID: "IMAGE",
        CreatedSince: "CREATED",
        CreatedAt: "CREATED AT",
        CreatedBy: "CREATED BY",
        Size: "SIZE",
        Comment: "COMMENT",
      };
      writeList(rows, { format: parsed.text("format"), table, headings });
    }
    return 0;
  },
};
