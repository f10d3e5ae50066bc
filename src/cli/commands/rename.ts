/**
 * `berth rename`.
 */
import type { Command } from "../command.ts";

/** The command. */
export const command: Command = {
  usage: "CONTAINER NEW_NAME",
  short: "Rename a container",
  args: [2, 2],
  flags: [],
  async run({ client }, { args: [name, next] }) {
    await client.json("POST", `/containers/${name}/rename`, { query: { name: next } });
    return 0;
  },
};
