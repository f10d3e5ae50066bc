/**
 * `berth info`.
 */
import { messageOf } from "../../base/errors.ts";
import { ApiError } from "../../client/index.ts";
import type { SystemInfo } from "../../spec/engine-api.ts";
import { clientVersion } from "../client-version.ts";
import type { Command, Context } from "../command.ts";
import { loginFor } from "../docker-config.ts";
import { describeError } from "../failure.ts";
import { flag } from "../flags.ts";
import { err, out } from "../output.ts";

const HUB = "https://index.docker.io/v1/";

/** What the daemon says, and what it says instead when it refuses. Rejects when there is none to ask. */
async function askServer({ client }: Context): Promise<[SystemInfo, errors: string[]]> {
  try {
    return [await client.json<SystemInfo>("GET", "/info"), []];
  } catch (error) {
    if (error instanceof ApiError) return [{}, [describeError(error)]];
    throw error;
  }
}

async function writeFormatted(context: Context, format: string): Promise<number> {
  const { answerTemplate, writeAnswer } = await import("../answers.ts");
  const template = answerTemplate(format);
  const [info, errors] = await askServer(context);
  for (const error of errors) err(`${error}\n`);
  const ClientInfo = { Debug: false, ...clientVersion(context), Plugins: [] };
  const ServerErrors = errors.length > 0 ? errors : undefined;
  try {
    writeAnswer(template, "info", { ...info, ServerErrors, ClientInfo });
    return 0;
  } catch (error) {
    err(`${messageOf(error)}\n`);
    return 1;
  }
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Display system-wide information",
  args: [0, 0],
  flags: [flag("format", "f", "string", "Format output using a custom template")],
  async run(context, parsed) {
    const format = parsed.text("format");
    if (format !== "") return writeFormatted(context, format);
    const { Version, Context: name } = clientVersion(context);
    out(`Client:\n Version:    ${Version}\n Context:    ${name}\n Debug Mode: false\n`);
    const [info, errors] = await askServer(context);
    const { serverText } = await import("../info-text.ts");
    out(errors.length > 0 ? "\nServer:\n" : serverText(info, loginFor(HUB)?.username));
    for (const warning of info.Warnings ?? []) err(`${warning}\n`);
    for (const error of errors) err(`ERROR: ${error}\n`);
    if (errors.length > 0) err("errors pretty printing info\n");
    return errors.length > 0 ? 1 : 0;
  },
};
