/**
 * `berth network ls`.
 */
import type { Network } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { writeList } from "../table.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "List networks",
  args: [0, 0],
  flags: [
    flag("format", "", "string", "Format output using a custom template"),
    flag("no-trunc", "", "bool", "Do not truncate the output"),
    flag("quiet", "q", "bool", "Only display network IDs"),
  ],
  async run({ client }, parsed) {
    const found = await client.json<Network[]>("GET", "/networks");
    const rows = found.map((network) => ({
      ...network,
      ID: parsed.on("no-trunc") ? network.Id : network.Id?.slice(0, 12),
    }));
    if (parsed.on("quiet")) for (const row of rows) out(`${row.ID}\n`);
    else {
      const headings = { ID: "NETWORK ID", Name: "NAME", Driver: "DRIVER", Scope: "SCOPE" };
      writeList(rows, {
        format: parsed.text("format"),
        table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
        headings,
      });
    }
    return 0;
  },
};
