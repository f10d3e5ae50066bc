/**
 * `berth version`. The daemon is asked only when the output needs it.
 */
import type { SystemVersion } from "../../spec/engine-api.ts";
import type { Command, Context } from "../command.ts";
import { describeError } from "../failure.ts";
import { flag } from "../flags.ts";
import { err, print } from "../output.ts";

function clientOf({ client, version }: Context) {
  return {
    Version: version,
    ApiVersion: client.version,
    DefaultAPIVersion: "1.51",
    BunVersion: Bun.version,
    Os: process.platform,
    Arch: process.arch === "x64" ? "amd64" : process.arch,
    Context: "default",
  };
}

function field(name: string, value: unknown): string {
  return `  ${`${name}:`.padEnd(17)} ${value ?? ""}\n`;
}

function serverText(server: SystemVersion): string {
  let text = "\nServer:\n";
  for (const component of server.Components ?? []) {
    const details = (component.Details ?? {}) as Record<string, string>;
    text += ` ${component.Name}:\n${field("Version", component.Version)}`;
    if (component.Name === "Engine")
      text += field(
        "API version",
        `${details.ApiVersion} (minimum version ${details.MinAPIVersion})`,
      );
    if (details.GitCommit) text += field("Git commit", details.GitCommit);
    if (details.BuildTime) text += field("Built", details.BuildTime);
    if (details.Os) text += field("OS/Arch", `${details.Os}/${details.Arch}`);
  }
  return text;
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Show the version information",
  args: [0, 0],
  flags: [flag("format", "f", "string", "Format output using a custom template")],
  async run(context, parsed) {
    const format = parsed.text("format");
    const needed = format === "" || format === "json" || /Server|\{\{[^}]*\s\.\s*\}\}/.test(format);
    let server: SystemVersion | undefined;
    let failure = "";
    if (needed) {
      try {
        server = await context.client.json<SystemVersion>("GET", "/version");
      } catch (error) {
        failure = describeError(error);
      }
    }
    const Client = clientOf(context);
    if (format === "") {
      await print(
        `Client:\n Version:           ${Client.Version}\n API version:       ${Client.ApiVersion}\n Bun version:       ${Client.BunVersion}\n OS/Arch:           ${Client.Os}/${Client.Arch}\n Context:           default\n${server === undefined ? "" : serverText(server)}`,
      );
    } else if (format === "json")
      await print(`${JSON.stringify({ Client, Server: server ?? null })}\n`);
    else {
      const { objectFormatter } = await import("../objects.ts");
      await print(objectFormatter(format)({ Client, Server: server ?? null }));
    }
    if (failure !== "") err(`${failure}\n`);
    return failure === "" ? 0 : 1;
  },
};
