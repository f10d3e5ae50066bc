/**
 * `berth top`.
 */
import type { ContainerTopResponse } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { out } from "../output.ts";
import { align } from "../table.ts";

/** The command. */
export const command: Command = {
  usage: "[CONTAINER [ps OPTIONS]]",
  short:
    "Display the running processes of a container; without one, a live table of all containers",
  args: [0, Number.POSITIVE_INFINITY],
  interspersed: false,
  flags: [],
  async run(context, { args: [name, ...options] }) {
    if (name === undefined) return (await import("../live-top/run.ts")).liveTop(context);
    const { client } = context;
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
