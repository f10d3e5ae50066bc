/**
 * `berth logs`.
 */
import { messageOf } from "../../base/errors.ts";
import { Demultiplexer } from "../../client/index.ts";
import type { ContainerInspectResponse } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { parseMoment } from "../moment.ts";
import { err, out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER",
  short: "Fetch the logs of a container",
  args: [1, 1],
  flags: [
    flag("details", "", "bool", "Show extra details provided to logs"),
    flag("follow", "f", "bool", "Follow log output"),
    flag(
      "since",
      "",
      "string",
      'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    ),
    flag("tail", "n", "string", "Number of lines to show from the end of the logs", '"all"'),
    flag("timestamps", "t", "bool", "Show timestamps"),
    flag(
      "until",
      "",
      "string",
      'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    ),
  ],
  async run({ client }, parsed) {
    const path = `/containers/${encodeURIComponent(parsed.args[0] ?? "")}`;
    const found = await client.json<ContainerInspectResponse>("GET", `${path}/json`);
    const now = Date.now();
    const moment = (name: "since" | "until") => {
      try {
        return parseMoment(parsed.text(name), now);
      } catch (error) {
        throw new Error(`invalid value for "${name}": ${messageOf(error)}`);
      }
    };
    const query = {
      stdout: true,
      stderr: true,
      details: parsed.on("details") || undefined,
      follow: parsed.on("follow") || undefined,
      timestamps: parsed.on("timestamps") || undefined,
      tail: parsed.text("tail", "all"),
      since: moment("since"),
      until: moment("until"),
    };
    let status = 0;
    const demux = new Demultiplexer((stream, bytes) => {
      if (stream === 3) status = 1;
      if (stream < 2) out(bytes);
      else err(bytes);
    });
    const response = await client.request("GET", `${path}/logs`, { query });
    for await (const bytes of response.pieces())
      if (found.Config?.Tty) out(bytes);
      else demux.push(bytes);
    return status;
  },
};
