/**
 * `berth save`.
 */
import { checkArchivePath, writeArchive } from "../archive-output.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { metered, meterOn } from "../meter.ts";
import { platformJson } from "../platform.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("output", "o", "string", "Write to a file, instead of STDOUT"),
    flag(
      "platform",
      "",
      "string",
      'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    ),
  ],
  async run({ client }, parsed) {
    const target = parsed.text("output");
    const platform = platformJson(parsed.text("platform"), "invalid platform: ");
    checkArchivePath(target, "save image");
    const query = { names: parsed.args, platform };
    const response = await client.request("GET", "/images/get", { query });
    const meter = target === "" ? undefined : meterOn(2, `Saving to ${target}`);
    await writeArchive(target, metered(response.pieces(), meter));
    return 0;
  },
};
