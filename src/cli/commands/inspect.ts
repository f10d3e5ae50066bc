/**
 * `berth inspect`, of one kind of object or of the first kind that has the name.
 */
import { type ApiClient, ApiError } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { describeError } from "../failure.ts";
import { flag } from "../flags.ts";
import { execute } from "../gotemplate/execute.ts";
import { parseTemplate } from "../gotemplate/parse.ts";
import { err, out } from "../output.ts";

const kinds = ["container", "image", "network", "volume"] as const;
type Kind = (typeof kinds)[number];

function pathOf(kind: Kind, name: string): string {
  if (kind === "container") return `/containers/${encodeURIComponent(name)}/json`;
  if (kind === "image") return `/images/${name}/json`;
  return `/${kind}s/${encodeURIComponent(name)}`;
}

async function find(client: ApiClient, wanted: readonly Kind[], name: string, size: boolean) {
  for (const kind of wanted) {
    try {
      const query = { size: (kind === "container" && size) || undefined };
      return await client.json<unknown>("GET", pathOf(kind, name), { query });
    } catch (error) {
      if (wanted.length === 1 || !(error instanceof ApiError) || error.status !== 404) throw error;
    }
  }
  throw new Error(`Error: No such object: ${name}`);
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  short: "Return low-level information on objects",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("format", "f", "string", "Format output using a custom template"),
    flag("size", "s", "bool", "Display total file sizes if the type is container"),
    flag("type", "", "string", "Only inspect objects of the given type"),
  ],
  async run({ client, name: called }, parsed) {
    const type =
      parsed.text("type") || kinds.find((kind) => called === `berth ${kind} inspect`) || "";
    const wanted = type === "" ? kinds : kinds.filter((kind) => kind === type);
    if (wanted.length === 0)
      throw new Error(`${JSON.stringify(type)} is not a valid value for --type`);
    const format = parsed.text("format");
    const template = format === "" || format === "json" ? undefined : parseTemplate(format);
    const found: unknown[] = [];
    const failures: string[] = [];
    for (const name of parsed.args) {
      try {
        found.push(await find(client, wanted, name, parsed.on("size")));
      } catch (error) {
        failures.push(describeError(error));
      }
    }
    if (template) for (const one of found) out(`${execute(template, one)}\n`);
    else if (format === "json") out(`${JSON.stringify(found)}\n`);
    else out(`${found.length === 0 ? "[]" : JSON.stringify(found, undefined, 4)}\n`);
    for (const failure of failures) err(`${failure}\n`);
    return failures.length > 0 ? 1 : 0;
  },
};
