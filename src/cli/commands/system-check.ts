/**
 * `berth system check`.
 */
import type { ApiClient } from "../../client/index.ts";
import type { ImageSummary } from "../../spec/engine-api.ts";
import { type Command, ExitError } from "../command.ts";
import { addressOf, loginFor, type RegistryLogin } from "../docker-config.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";

/** A line of the answer. */
interface Line {
  readonly Problem?: {
    readonly Code: string;
    readonly What: string;
    readonly Means: string;
    readonly Do: string;
    readonly Repaired?: string;
    readonly NotRepaired?: string;
  };
  readonly Summary?: { readonly Problems: number; readonly Repaired: number };
  readonly Error?: string;
}

/** The logins for the registries that images came from, so that private ones can be fetched from again. */
async function logins(client: ApiClient): Promise<Record<string, string>> {
  const images = await client.json<ImageSummary[]>("GET", "/images/json");
  const names = images.flatMap(({ RepoDigests }) => RepoDigests ?? []);
  const found: Record<string, RegistryLogin> = {};
  for (const address of new Set(names.map(addressOf))) {
    const login = loginFor(address);
    if (login !== undefined) found[address] = login;
  }
  if (Object.keys(found).length === 0) return {};
  return { "X-Registry-Config": Buffer.from(JSON.stringify(found)).toString("base64url") };
}

function tell(problem: NonNullable<Line["Problem"]>): void {
  const { What, Means, Do, Repaired, NotRepaired } = problem;
  const outcome =
    Repaired !== undefined
      ? `repaired: ${Repaired}`
      : `${NotRepaired === undefined ? "" : `not repaired: ${NotRepaired}\n  `}what to do: ${Do}`;
  out(`${What}\n  what it means: ${Means}\n  ${outcome}\n`);
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Check everything that the engine keeps on the disk, and repair it",
  args: [0, 0],
  flags: [
    flag(
      "repair",
      "",
      "bool",
      "Delete what nothing refers to, fetch and unpack again what is damaged",
    ),
    flag("format", "", "string", "Print every step as JSON: 'json'"),
  ],
  async run({ client }, parsed) {
    const format = parsed.text("format");
    if (format !== "" && format !== "json")
      throw new ExitError(1, `invalid format "${format}": only json is there`);
    const repair = parsed.on("repair");
    const response = await client.request("POST", "/berth/check", {
      query: { repair: repair ? "1" : undefined },
      headers: repair ? await logins(client) : {},
    });
    let left: number | undefined;
    for await (const line of response.values<Line>()) {
      if (format === "json") out(`${JSON.stringify(line)}\n`);
      if (line.Error !== undefined) throw new ExitError(1, line.Error);
      if (line.Problem !== undefined && format === "") tell(line.Problem);
      if (line.Summary === undefined) continue;
      const { Problems, Repaired } = line.Summary;
      left = Problems - Repaired;
      if (format === "")
        out(
          Problems === 0
            ? "Everything is as it should be.\n"
            : `${Problems} ${Problems === 1 ? "problem" : "problems"}, ${Repaired} repaired\n`,
        );
    }
    if (left === undefined) throw new ExitError(1, "the daemon ended before the check did");
    return left === 0 ? 0 : 1;
  },
};
