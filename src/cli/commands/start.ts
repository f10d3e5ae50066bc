/**
 * `berth start`.
 */
import type { ContainerInspectResponse } from "../../spec/engine-api.ts";
import { foreground } from "../attached.ts";
import { type Command, forEachName } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Start one or more stopped containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("attach", "a", "bool", "Attach STDOUT/STDERR and forward signals"),
    flag("detach-keys", "", "string", "Override the key sequence for detaching a container"),
    flag("interactive", "i", "bool", "Attach container's STDIN"),
  ],
  async run({ client }, parsed) {
    const start = (name: string) =>
      client.json<void>("POST", `/containers/${encodeURIComponent(name)}/start`);
    if (!parsed.on("attach") && !parsed.on("interactive"))
      return forEachName(
        parsed.args,
        async (name) => {
          await start(name);
          out(`${name}\n`);
        },
        client,
      );
    if (parsed.args.length > 1)
      throw new Error("you cannot start and attach multiple containers at once");
    const path = `/containers/${encodeURIComponent(parsed.args[0] ?? "")}/json`;
    const found = await client.json<ContainerInspectResponse>("GET", path);
    return foreground(client, {
      id: found.Id ?? "",
      tty: found.Config?.Tty === true,
      stdin: parsed.on("interactive") && found.Config?.OpenStdin === true,
      stdout: true,
      stderr: true,
      signals: true,
      detachKeys: parsed.text("detach-keys"),
      removed: found.HostConfig?.AutoRemove === true,
      start: () => start(found.Id ?? ""),
    });
  },
};
