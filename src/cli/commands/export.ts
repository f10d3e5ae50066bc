/**
 * `berth export`.
 */
import { checkArchivePath, writeArchive } from "../archive-output.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { metered, meterOn } from "../meter.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER",
  short: "Export a container's filesystem as a tar archive",
  args: [1, 1],
  flags: [flag("output", "o", "string", "Write to a file, instead of STDOUT")],
  async run({ client }, parsed) {
    const target = parsed.text("output");
    checkArchivePath(target, "export container");
    const name = encodeURIComponent(parsed.args[0] ?? "");
    const response = await client.request("GET", `/containers/${name}/export`);
    const meter = target === "" ? undefined : meterOn(2, `Exporting to ${target}`);
    await writeArchive(target, metered(response.pieces(), meter));
    return 0;
  },
};
