/**
 * `berth checkpoint`: what docker's client says when its daemon is not experimental, which berth's never is.
 */
import { type Command, ExitError } from "../command.ts";

/** The command, with any of its verbs. */
export const command: Command = {
  usage: "COMMAND",
  short: "Checkpoints are not supported",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [],
  interspersed: false,
  local: true,
  run({ name }, { args: [verb = ""] }) {
    return Promise.reject(
      new ExitError(
        1,
        `${name} ${verb} is only supported on a berth daemon with experimental features enabled`,
      ),
    );
  },
};
