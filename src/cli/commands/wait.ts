/**
 * `berth wait`.
 */
import { type Command, forEachName } from "../command.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "CONTAINER [CONTAINER...]",
  short: "Block until one or more containers stop, then print their exit codes",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [],
  run({ client }, parsed) {
    return forEachName(
      parsed.args,
      async (name) => {
        const path = `/containers/${encodeURIComponent(name)}/wait`;
        const result = await client.json<{ StatusCode: number }>("POST", path);
        out(`${result.StatusCode}\n`);
      },
      client,
    );
  },
};
