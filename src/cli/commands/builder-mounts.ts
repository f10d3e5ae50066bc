/**
 * `berth builder export` and `import`: the directories of RUN --mount=type=cache.
 */
import { checkArchivePath, writeArchive } from "../archive-output.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { checkReadable, inputFrom } from "../streams.ts";

const exporting: Command = {
  usage: "[OPTIONS] MOUNT",
  short: "Write a cache mount, by its id or what RUN calls it, to a tar archive",
  args: [1, 1],
  flags: [flag("output", "o", "string", "Write to a file, instead of STDOUT")],
  async run({ client }, parsed) {
    const target = parsed.text("output");
    checkArchivePath(target, "export cache mount");
    const query = { name: parsed.args[0] ?? "" };
    const response = await client.request("GET", "/berth/build-mounts/export", { query });
    await writeArchive(target, response.pieces());
    return 0;
  },
};

const importing: Command = {
  usage: "MOUNT [FILE|-]",
  short: "Make a cache mount of a tar archive, in the place of the one before",
  args: [1, 2],
  flags: [],
  async run({ client }, parsed) {
    const [name = "", source = "-"] = parsed.args;
    checkReadable(source);
    const request = { query: { name }, stream: inputFrom(source) };
    const { ID } = await client.json<{ ID: string }>(
      ...(["POST", "/berth/build-mounts/import", request] as const),
    );
    out(`${ID}\n`);
    return 0;
  },
};

/** The commands. */
export const commands = { exporting, importing };
