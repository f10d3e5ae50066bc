/**
 * `berth unpause`.
 */
import { actOnEach, type Command } from "../command.ts";

/** The command. */
export const command: Command = {
  usage: "CONTAINER [CONTAINER...]",
  short: "Unpause all processes within one or more containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [],
  run({ client }, parsed) {
    return actOnEach(client, parsed.args, "unpause");
  },
};
