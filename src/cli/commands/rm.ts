/**
 * `berth rm`.
 */
import { ApiError } from "../../client/index.ts";
import { type Command, forEachName } from "../command.ts";
import { describeError } from "../failure.ts";
import { flag } from "../flags.ts";
import { err, out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Remove one or more containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("force", "f", "bool", "Force the removal of a running container (uses SIGKILL)"),
    flag("link", "l", "bool", "Remove the specified link"),
    flag("volumes", "v", "bool", "Remove anonymous volumes associated with the container"),
  ],
  run({ client }, parsed) {
    const query = {
      force: parsed.on("force") || undefined,
      link: parsed.on("link") || undefined,
      v: parsed.on("volumes") || undefined,
    };
    return forEachName(
      parsed.args,
      async (name) => {
        // docker rm /name means the same as docker rm name.
        const plain = name.replace(/^\/+/, "");
        if (plain === "") throw new Error("Container name cannot be empty");
        try {
          await client.json("DELETE", `/containers/${encodeURIComponent(plain)}`, { query });
        } catch (error) {
          // By force, what is not there is said, but is no failure.
          if (!parsed.on("force") || !(error instanceof ApiError) || error.status !== 404)
            throw error;
          err(`${describeError(error)}\n`);
          return;
        }
        out(`${name}\n`);
      },
      client,
    );
  },
};
