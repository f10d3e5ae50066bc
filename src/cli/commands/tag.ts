/**
 * `berth tag`.
 */
import type { Command } from "../command.ts";
import { splitTag } from "../reference.ts";

/** The command. */
export const command: Command = {
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  args: [2, 2],
  flags: [],
  async run({ client }, { args: [source, target = ""] }) {
    const { repository: repo, tag } = splitTag(target);
    await client.json("POST", `/images/${source}/tag`, { query: { repo, tag } });
    return 0;
  },
};
