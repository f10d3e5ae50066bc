/**
 * `berth plugin`: the plugins that the daemon has as docker manages them.
 */
import { type Command, forEachName } from "../command.ts";
import { configuredFormat } from "../config-file.ts";
import { encodeFilters } from "../filters.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { writeList } from "../table.ts";

interface Plugin {
  readonly Id?: string;
  readonly Name: string;
  readonly Enabled: boolean;
  readonly PluginReference?: string;
  readonly Config?: { readonly Description?: string };
}

const pathOf = (name: string) => `/plugins/${encodeURIComponent(name)}`;

function switching(verb: "enable" | "disable", flags: Command["flags"]): Command {
  return {
    usage: "[OPTIONS] PLUGIN",
    short: verb === "enable" ? "Enable a plugin" : "Disable a plugin",
    args: [1, 1],
    flags,
    async run({ client }, parsed) {
      const [name = ""] = parsed.args;
      const timeout = parsed.number("timeout", 30);
      if (timeout < 0) throw new Error(`negative timeout ${timeout} is invalid`);
      const query = {
        force: parsed.on("force") || undefined,
        timeout: verb === "enable" ? timeout : undefined,
      };
      await client.json("POST", `${pathOf(name)}/${verb}`, { query });
      out(`${name}\n`);
      return 0;
    },
  };
}

function rowOf({ Id = "", Name, Enabled, PluginReference = "", Config }: Plugin, whole: boolean) {
  const about = (Config?.Description ?? "").replaceAll(/[\n\r]/g, "");
  return {
    ID: whole ? Id : Id.slice(0, 12),
    Name,
    Description: whole || about.length <= 45 ? about : `${about.slice(0, 44)}…`,
    Enabled,
    PluginReference,
  };
}

const list: Command = {
  usage: "[OPTIONS]",
  short: "List plugins",
  args: [0, 0],
  flags: [
    flag("filter", "f", "filter", 'Provide filter values (e.g. "enabled=true")'),
    flag("format", "", "string", "Format output using a custom template"),
    flag("no-trunc", "", "bool", "Don't truncate output"),
    flag("quiet", "q", "bool", "Only display plugin IDs"),
  ],
  async run({ client }, parsed) {
    const query = { filters: encodeFilters(parsed.all("filter")) };
    const found = await client.json<Plugin[]>("GET", "/plugins", { query });
    const rows = found.map((one) => rowOf(one, parsed.on("no-trunc")));
    const asked = parsed.text("format");
    if (parsed.on("quiet") && (asked === "" || asked === "table"))
      for (const { ID } of rows) out(`${ID}\n`);
    else
      await writeList(rows, {
        format: asked || configuredFormat("pluginsFormat"),
        type: "plugin.pluginContext",
        raw: parsed.on("quiet")
          ? "plugin_id: {{.ID}}"
          : "plugin_id: {{.ID}}\nname: {{.Name}}\ndescription: {{.Description}}\nenabled: {{.Enabled}}\n",
        table: "{{.ID}}\t{{.Name}}\t{{.Description}}\t{{.Enabled}}",
        headings: {
          ...{ ID: "ID", Name: "NAME", Description: "DESCRIPTION", Enabled: "ENABLED" },
          PluginReference: "IMAGE",
        },
      });
    return 0;
  },
};

/** The commands by what follows `plugin`, without inspect, which is that of every object. */
export const commands = {
  list,
  enable: switching("enable", [
    flag("timeout", "", "int", "HTTP client timeout (in seconds)", "30"),
  ]),
  disable: switching("disable", [
    flag("force", "f", "bool", "Force the disable of an active plugin"),
  ]),
  remove: {
    usage: "[OPTIONS] PLUGIN [PLUGIN...]",
    short: "Remove one or more plugins",
    args: [1, Number.POSITIVE_INFINITY],
    flags: [flag("force", "f", "bool", "Force the removal of an active plugin")],
    run: ({ client }, parsed) =>
      forEachName(parsed.args, async (name) => {
        const query = { force: parsed.on("force") || undefined };
        await client.json("DELETE", pathOf(name), { query });
        out(`${name}\n`);
      }),
  },
} satisfies Record<string, Command>;
