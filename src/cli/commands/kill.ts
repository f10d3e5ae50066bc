/**
 * `berth kill`.
 */
import { type Command, forEachName } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Kill one or more running containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [flag("signal", "s", "string", "Signal to send to the container")],
  run({ client }, parsed) {
    const query = { signal: parsed.text("signal") || undefined };
    return forEachName(parsed.args, async (name) => {
      await client.json("POST", `/containers/${encodeURIComponent(name)}/kill`, { query });
      out(`${name}\n`);
    });
  },
};
