/**
 * `berth tag`.
 */
import type { Command } from "../command.ts";

/** The command. */
export const command: Command = {
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  args: [2, 2],
  flags: [],
  async run({ client }, { args: [source, target = ""] }) {
    const colon = target.indexOf(":", target.lastIndexOf("/") + 1);
    const [repo, tag] =
      colon < 0 ? [target, undefined] : [target.slice(0, colon), target.slice(colon + 1)];
    await client.json("POST", `/images/${source}/tag`, { query: { repo, tag } });
    return 0;
  },
};
