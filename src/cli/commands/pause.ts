/**
 * `berth pause`.
 */
import { type Command, forEachName } from "../command.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "CONTAINER [CONTAINER...]",
  short: "Pause all processes within one or more containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [],
  run({ client }, parsed) {
    return forEachName(parsed.args, async (name) => {
      await client.json("POST", `/containers/${encodeURIComponent(name)}/pause`);
      out(`${name}\n`);
    });
  },
};
