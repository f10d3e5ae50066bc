/**
 * `berth container prune`.
 */
import type { Command } from "../command.ts";
import { confirm } from "../confirm.ts";
import { encodeFilters } from "../filters.ts";
import { flag } from "../flags.ts";
import { humanSize } from "../human.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Remove all stopped containers",
  args: [0, 0],
  flags: [
    flag("filter", "", "list", 'Provide filter values (e.g. "until=<timestamp>")'),
    flag("force", "f", "bool", "Do not prompt for confirmation"),
  ],
  async run({ client }, parsed) {
    const warning = "WARNING! This will remove all stopped containers.";
    if (!parsed.on("force") && !(await confirm(warning))) return 0;
    const query = { filters: encodeFilters(parsed.all("filter")) };
    const done = await client.json<{
      ContainersDeleted?: string[] | null;
      SpaceReclaimed?: number;
    }>("POST", "/containers/prune", { query });
    const deleted = done.ContainersDeleted ?? [];
    if (deleted.length > 0) out(`Deleted Containers:\n${deleted.join("\n")}\n\n`);
    out(`Total reclaimed space: ${humanSize(done.SpaceReclaimed ?? 0, 4)}\n`);
    return 0;
  },
};
