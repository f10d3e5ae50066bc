/**
 * `berth stop` and `berth restart`: the same question, and what is asked for.
 */
import { actOnEach, type Command } from "./command.ts";
import { flag } from "./flags.ts";
import { out } from "./output.ts";

/** A command that ends containers, with a signal and a patience of the user's. */
export function stopCommand(action: "stop" | "restart", short: string): Command {
  return {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    short,
    args: [1, Number.POSITIVE_INFINITY],
    flags: [
      flag("signal", "s", "string", "Signal to send to the container"),
      flag("timeout", "t", "int", "Seconds to wait before killing the container"),
      flag("time", "", "int", ""),
    ],
    run({ client }, parsed) {
      // On standard output, as docker has it.
      if (parsed.has("time")) out("Flag --time has been deprecated, use --timeout instead\n");
      const query = {
        signal: parsed.text("signal") || undefined,
        t: parsed.has("timeout") ? parsed.text("timeout") : parsed.text("time") || undefined,
      };
      return actOnEach(client, parsed.args, action, query);
    },
  };
}
