/**
 * `berth start`.
 */
import type { ApiClient } from "../../client/index.ts";
import type { ContainerInspectResponse } from "../../spec/engine-api.ts";
import { foreground } from "../attached.ts";
import { type Command, forEachName } from "../command.ts";
import { flag } from "../flags.ts";
import { err, out } from "../output.ts";

/** Starts each; what failed is named once more in the end. */
async function startAll(
  client: ApiClient,
  names: readonly string[],
  start: (name: string) => Promise<void>,
): Promise<number> {
  const failed = new Set(names);
  const status = await forEachName(
    names,
    async (name) => {
      await start(name);
      failed.delete(name);
      out(`${name}\n`);
    },
    client,
  );
  if (failed.size > 0) err(`Error: failed to start containers: ${[...failed].join(", ")}\n`);
  return status;
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Start one or more stopped containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("attach", "a", "bool", "Attach STDOUT/STDERR and forward signals"),
    // As docker without experimental features: known, not shown, and refused.
    flag("checkpoint", "", "string", ""),
    flag("checkpoint-dir", "", "string", ""),
    flag("detach-keys", "", "string", "Override the key sequence for detaching a container"),
    flag("interactive", "i", "bool", "Attach container's STDIN"),
  ],
  async run({ client }, parsed) {
    const refused = ["checkpoint", "checkpoint-dir"].filter((name) => parsed.has(name));
    if (refused.length > 0)
      throw new Error(
        refused
          .map(
            (name) =>
              `"--${name}" is only supported on a Docker daemon with experimental features enabled`,
          )
          .join("\n"),
      );
    const start = (name: string) =>
      client.json<void>("POST", `/containers/${encodeURIComponent(name)}/start`);
    if (!parsed.on("attach") && !parsed.on("interactive"))
      return startAll(client, parsed.args, start);
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
