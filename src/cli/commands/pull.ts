/**
 * `berth pull`.
 */
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { showProgress } from "../progress.ts";
import { splitTag } from "../reference.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
  short: "Download an image from a registry",
  args: [1, 1],
  flags: [
    flag("quiet", "q", "bool", "Suppress verbose output"),
    flag("platform", "", "string", "Set platform if server is multi-platform capable"),
  ],
  async run({ client }, parsed) {
    const [name = ""] = parsed.args;
    const { repository: fromImage, tag = "latest" } = splitTag(name);
    const query = { fromImage, tag };
    const response = await client.request("POST", "/images/create", { query });
    await showProgress(response.values(), parsed.on("quiet") ? () => {} : out);
    out(`${name}\n`);
    return 0;
  },
};
