/**
 * `berth rmi`.
 */
import { type Command, forEachName } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Remove one or more images",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("force", "f", "bool", "Force removal of the image"),
    flag("no-prune", "", "bool", "Do not delete untagged parents"),
  ],
  run({ client }, parsed) {
    const query = {
      force: parsed.on("force") || undefined,
      noprune: parsed.on("no-prune") || undefined,
    };
    return forEachName(parsed.args, async (name) => {
      const done = await client.json<{ Deleted?: string; Untagged?: string }[]>(
        "DELETE",
        `/images/${name}`,
        { query },
      );
      for (const one of done)
        out(one.Deleted ? `Deleted: ${one.Deleted}\n` : `Untagged: ${one.Untagged}\n`);
    });
  },
};
