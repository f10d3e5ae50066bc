/**
 * `berth create`.
 */
import { type Command, ExitError } from "../command.ts";
import { containerFlags } from "../container-options/flags.ts";
import { createRequest } from "../container-options/request.ts";
import { checkPull, createContainer } from "../create.ts";
import { describeError } from "../failure.ts";
import { UsageError } from "../flags.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create a new container",
  args: [1, Number.POSITIVE_INFINITY],
  interspersed: false,
  flags: containerFlags,
  async run({ client, name }, parsed) {
    try {
      checkPull(parsed);
      createRequest(parsed);
    } catch (error) {
      if (error instanceof UsageError || error instanceof ExitError) throw error;
      throw new ExitError(
        125,
        `berth: ${describeError(error)}\n\nRun '${name} --help' for more information`,
      );
    }
    out(`${(await createContainer(client, parsed)).id}\n`);
    return 0;
  },
};
