/**
 * `berth version`. The daemon is asked only when the output needs it.
 */
import type { SystemVersion } from "../../spec/engine-api.ts";
import { clientVersion } from "../client-version.ts";
import type { Command, Context } from "../command.ts";
import { describeError } from "../failure.ts";
import { flag } from "../flags.ts";
import { err, print } from "../output.ts";

function field(indent: string, name: string, value: unknown): string {
  return `${`${indent}${name}:`.padEnd(19)} ${value ?? ""}\n`;
}

type Component = NonNullable<SystemVersion["Components"]>[number];

/** A time in RFC 3339 as C's asctime writes it; anything else as it is. */
function ansic(text: string): string {
  const time = new Date(text);
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(time.getTime())) return text;
  const [day, date, month, year, clock] = time.toUTCString().replace(",", "").split(" ");
  return `${day} ${month} ${String(Number(date)).padStart(2)} ${clock} ${year}`;
}

function componentText({ Name, Version, Details }: Component): string {
  const details = (Details ?? {}) as Readonly<Record<string, string>>;
  const line = (name: string, value: unknown) => field("  ", name, value);
  const { ApiVersion, MinAPIVersion, GoVersion, GitCommit, BuildTime = "", Os, Arch } = details;
  const lines =
    Name === "Engine"
      ? [
          line("API version", `${ApiVersion} (minimum version ${MinAPIVersion})`),
          line("Go version", GoVersion),
          line("Git commit", GitCommit),
          line("Built", ansic(BuildTime)),
          line("OS/Arch", `${Os}/${Arch}`),
          line("Experimental", details.Experimental),
        ]
      : Object.keys(details)
          .toSorted()
          .map((key) => line(key, details[key]));
  return ` ${Name}:\n${line("Version", Version)}${lines.join("")}`;
}

function serverText({ Platform, Components }: SystemVersion): string {
  const name = Platform?.Name ? ` ${Platform.Name}` : "";
  return `\nServer:${name}\n${(Components ?? []).map(componentText).join("")}`;
}

function clientText(context: Context): string {
  const client = clientVersion(context);
  const used = context.client.version;
  const newest = client.DefaultAPIVersion;
  const lines = [
    ["Version", client.Version],
    ["API version", used === newest ? used : `${used} (downgraded from ${newest})`],
    ["Bun version", Bun.version],
    ["OS/Arch", `${client.Os}/${client.Arch}`],
    ["Context", client.Context],
  ];
  return `Client:\n${lines.map(([name = "", value]) => field(" ", name, value)).join("")}`;
}

/** Docker aligns what stands between tabs, in columns that are at least so wide. */
const COLUMN_LEAST = 20;

async function aligner(): Promise<(text: string) => string> {
  const { align } = await import("../table.ts");
  // Lines that follow each other have columns in common.
  return (text) =>
    text.replaceAll(/(?:^.*\t.*\n)+/gm, (lines) =>
      align(lines.slice(0, -1).split("\n"), COLUMN_LEAST),
    );
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Show the version information",
  args: [0, 0],
  flags: [flag("format", "f", "string", "Format output using a custom template")],
  async run(context, parsed) {
    const format = parsed.text("format");
    const answers = format === "" ? undefined : await import("../answers.ts");
    const template = answers?.answerTemplate(format, "template parsing error", "version");
    const needed =
      format === "" || format === "json" || /Server|\{\{[^}]*\s?\.\s*\}\}/.test(format);
    let server: SystemVersion | undefined;
    let failure = "";
    if (needed) {
      try {
        server = await context.client.json<SystemVersion>("GET", "/version");
      } catch (error) {
        failure = describeError(error);
      }
    }
    if (answers !== undefined && template !== undefined) {
      const Client = { ...clientVersion(context), ApiVersion: context.client.version };
      const arrange = await aligner();
      try {
        answers.writeAnswer(template, "version", { Client, Server: server }, arrange);
      } catch (error) {
        failure ||= describeError(error);
      }
    } else {
      await print(clientText(context) + (server === undefined ? "" : serverText(server)));
    }
    if (failure !== "") err(`${failure}\n`);
    return failure === "" ? 0 : 1;
  },
};
