/**
 * `berth export`.
 */
import { closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { isTerminal } from "../terminal.ts";

/** Writes all of it, however little the descriptor takes at once. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER",
  short: "Export a container's filesystem as a tar archive",
  args: [1, 1],
  flags: [flag("output", "o", "string", "Write to a file, instead of STDOUT")],
  async run({ client }, parsed) {
    const target = parsed.text("output");
    if (target === "" && isTerminal(1))
      throw new Error("cowardly refusing to save to a terminal. Use the -o flag or redirect");
    const name = encodeURIComponent(parsed.args[0] ?? "");
    const response = await client.request("GET", `/containers/${name}/export`);
    // A file of that name is whole or not there.
    const temporary = `${target}.${process.pid}.tmp`;
    const fd = target === "" ? 1 : openSync(temporary, "wx", 0o600);
    try {
      for await (const chunk of response.pieces()) writeAll(fd, chunk);
      if (target !== "") renameSync(temporary, target);
    } catch (error) {
      if (target !== "") rmSync(temporary, { force: true });
      throw error;
    } finally {
      if (target !== "") closeSync(fd);
    }
    return 0;
  },
};
