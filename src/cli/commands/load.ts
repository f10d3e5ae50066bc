/**
 * `berth load`.
 */
import { statSync } from "node:fs";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { showProgress } from "../progress.ts";
import { inputFrom } from "../streams.ts";
import { isTerminal } from "../terminal.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Load an image from a tar archive or STDIN",
  args: [0, 0],
  flags: [
    flag("input", "i", "string", "Read from tar archive file, instead of STDIN"),
    flag("platform", "", "string", "Load only the given platform variant"),
    flag("quiet", "q", "bool", "Suppress the load output"),
  ],
  async run({ client }, parsed) {
    const path = parsed.text("input");
    if (path === "" && isTerminal(0))
      throw new Error("requested load from stdin, but stdin is empty");
    if (path !== "" && !statSync(path, { throwIfNoEntry: false }))
      throw new Error(`open ${path}: no such file or directory`);
    const response = await client.request("POST", "/images/load", {
      query: { quiet: parsed.on("quiet"), platform: parsed.text("platform") || undefined },
      stream: inputFrom(path || "-"),
    });
    await showProgress(response.values(), out);
    return 0;
  },
};
