/**
 * `berth top`.
 */
import type { ContainerTopResponse } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { out } from "../output.ts";
import { align } from "../table.ts";

/** The command. */
export const command: Command = {
  usage: "CONTAINER [ps OPTIONS]",
  short: "Display the running processes of a container",
  args: [1, Number.POSITIVE_INFINITY],
  interspersed: false,
  flags: [],
  async run({ client }, { args: [name = "", ...options] }) {
    const { Titles, Processes } = await client.json<ContainerTopResponse>(
      "GET",
      `/containers/${encodeURIComponent(name)}/top`,
      { query: { ps_args: options.join(" ") || undefined } },
    );
    const rows = [Titles ?? [], ...(Processes ?? [])];
    out(
      align(
        rows.map((row) => row.join("\t")),
        20,
      ),
    );
    return 0;
  },
};
