/**
 * `berth diff`.
 */
import type { FilesystemChange } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { writeList } from "../table.ts";

const letters = ["C", "A", "D"];

/** The command. */
export const command: Command = {
  usage: "CONTAINER",
  short: "Inspect changes to files or directories on a container's filesystem",
  args: [1, 1],
  flags: [flag("format", "", "string", "Format output using a custom template")],
  async run({ client }, parsed) {
    const name = encodeURIComponent(parsed.args[0] ?? "");
    const changes = await client.json<FilesystemChange[] | null>(
      "GET",
      `/containers/${name}/changes`,
    );
    const rows = (changes ?? []).map(({ Path, Kind }) => ({ Type: letters[Kind] ?? "", Path }));
    const headings = { Type: "CHANGE TYPE", Path: "PATH" };
    const format = parsed.text("format") || "{{.Type}} {{.Path}}";
    await writeList(rows, {
      format,
      table: "{{.Type}}\t{{.Path}}",
      headings,
      type: "container.diffContext",
    });
    return 0;
  },
};
