/**
 * `berth stop`.
 */
import { type Command, forEachName } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Stop one or more running containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("signal", "s", "string", "Signal to send to the container"),
    flag("timeout", "t", "int", "Seconds to wait before killing the container"),
    flag("time", "", "int", ""),
  ],
  run({ client }, parsed) {
    const query = {
      signal: parsed.text("signal") || undefined,
      t: parsed.has("timeout") ? parsed.text("timeout") : parsed.text("time") || undefined,
    };
    return forEachName(parsed.args, async (name) => {
      await client.json("POST", `/containers/${encodeURIComponent(name)}/stop`, { query });
      out(`${name}\n`);
    });
  },
};
