/**
 * `berth attach`.
 */

import type { ContainerInspectResponse } from "../../spec/engine-api.ts";
import { foreground } from "../attached.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER",
  short: "Attach local standard input, output, and error streams to a running container",
  args: [1, 1],
  flags: [
    flag("no-stdin", "", "bool", "Do not attach STDIN"),
    flag("sig-proxy", "", "bool", "Proxy all received signals to the process", "true"),
    flag("detach-keys", "", "string", "Override the key sequence for detaching a container"),
  ],
  async run({ client }, parsed) {
    const found = await client.json<ContainerInspectResponse>(
      "GET",
      `/containers/${parsed.args[0]}/json`,
    );
    if (!found.State?.Running)
      throw new Error("You cannot attach to a stopped container, start it first");
    if (found.State.Paused)
      throw new Error("You cannot attach to a paused container, unpause it first");
    return foreground(client, {
      id: found.Id ?? "",
      tty: found.Config?.Tty === true,
      stdin: !parsed.on("no-stdin") && found.Config?.OpenStdin === true,
      stdout: true,
      stderr: true,
      signals: parsed.on("sig-proxy", true),
      detachKeys: parsed.text("detach-keys"),
      removed: false,
    });
  },
};
