/**
 * `berth kill`.
 */
import { actOnEach, type Command } from "../command.ts";
import { flag } from "../flags.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Kill one or more running containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [flag("signal", "s", "string", "Signal to send to the container")],
  run({ client }, parsed) {
    const query = { signal: parsed.text("signal") || undefined };
    return actOnEach(client, parsed.args, "kill", query);
  },
};
