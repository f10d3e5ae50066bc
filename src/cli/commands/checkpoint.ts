/**
 * `berth checkpoint`: what docker's client says when its daemon is not experimental, which berth's never is.
 */
import { type Command, ExitError } from "../command.ts";

const VERBS = new Set(["create", "list", "ls", "remove", "rm"]);

/** The command, with any of its verbs. */
export const command: Command = {
  usage: "COMMAND",
  short: "Checkpoints are not supported",
  args: [0, Number.POSITIVE_INFINITY],
  flags: [],
  interspersed: false,
  local: true,
  run({ name }, { args: [verb = ""] }) {
    return Promise.reject(
      new ExitError(
        1,
        `${VERBS.has(verb) ? `${name} ${verb}` : name} is only supported on a berth daemon with experimental features enabled`,
      ),
    );
  },
};
