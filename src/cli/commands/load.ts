/**
 * `berth load`.
 */
import { statSync } from "node:fs";
import type { ApiResponse } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { metered, meterOn } from "../meter.ts";
import { out } from "../output.ts";
import { platformJson } from "../platform.ts";
import { showProgress } from "../progress.ts";
import { checkReadable, inputFrom } from "../streams.ts";
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
    if (path !== "") checkReadable(path);
    const platform = platformJson(parsed.text("platform"), "invalid platform: ");
    const quiet = parsed.on("quiet") || !isTerminal(1);
    const size = path === "" ? undefined : statSync(path, { throwIfNoEntry: false });
    const total = size?.isFile() ? size.size : undefined;
    const meter = quiet ? undefined : meterOn(2, `Loading ${path || "standard input"}`, total);
    let response: ApiResponse;
    try {
      response = await client.request("POST", "/images/load", {
        query: { quiet, platform },
        stream: metered(inputFrom(path || "-"), meter),
      });
    } finally {
      // What the daemon has to say comes in its place.
      meter?.close();
    }
    await showProgress(response.values(), out);
    return 0;
  },
};
