/**
 * `berth rename`.
 */
import type { Command } from "../command.ts";
import { describeError } from "../failure.ts";
import { err } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "CONTAINER NEW_NAME",
  short: "Rename a container",
  args: [2, 2],
  flags: [],
  async run({ client }, { args: [name, next] }) {
    if (!name?.trim() || !next?.trim())
      throw new Error("Error: Neither old nor new names may be empty");
    try {
      const path = `/containers/${encodeURIComponent(name)}/rename`;
      await client.json("POST", path, { query: { name: next } });
    } catch (error) {
      err(`${describeError(error)}\n`);
      throw new Error(`Error: failed to rename container named ${name}`);
    }
    return 0;
  },
};
