/**
 * `berth create`.
 */
import type { Command } from "../command.ts";
import { containerFlags } from "../container-options/flags.ts";
import { createContainer } from "../create.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create a new container",
  args: [1, Number.POSITIVE_INFINITY],
  interspersed: false,
  flags: containerFlags,
  async run({ client }, parsed) {
    out(`${(await createContainer(client, parsed)).id}\n`);
    return 0;
  },
};
