/**
 * `berth volume create`, `ls`, `rm`.
 */
import type { Volume } from "../../spec/engine-api.ts";
import { type Command, forEachName } from "../command.ts";
import { encodeFilters } from "../filters.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { writeList } from "../table.ts";

function pairs(values: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    values.map((value) => {
      const equals = value.indexOf("=");
      return equals < 0 ? [value, ""] : [value.slice(0, equals), value.slice(equals + 1)];
    }),
  );
}

const create: Command = {
  usage: "[OPTIONS] [VOLUME]",
  short: "Create a volume",
  args: [0, 1],
  flags: [
    flag("driver", "d", "string", "Specify volume driver name", '"local"'),
    flag("label", "", "list", "Set metadata for a volume"),
    flag("opt", "o", "list", "Set driver specific options"),
    flag("name", "", "string", ""),
  ],
  async run({ client }, parsed) {
    const body = {
      Name: parsed.args[0] ?? parsed.text("name"),
      Driver: parsed.text("driver", "local"),
      Labels: pairs(parsed.all("label")),
      DriverOpts: pairs(parsed.all("opt")),
    };
    out(`${(await client.json<Volume>("POST", "/volumes/create", { body })).Name}\n`);
    return 0;
  },
};

const list: Command = {
  usage: "[OPTIONS]",
  short: "List volumes",
  args: [0, 0],
  flags: [
    flag("filter", "f", "list", "Provide filter values"),
    flag("format", "", "string", "Format output using a custom template"),
    flag("quiet", "q", "bool", "Only display volume names"),
  ],
  async run({ client }, parsed) {
    const { Volumes } = await client.json<{ Volumes: Volume[] }>("GET", "/volumes", {
      query: { filters: encodeFilters(parsed.all("filter")) },
    });
    if (parsed.on("quiet")) for (const volume of Volumes) out(`${volume.Name}\n`);
    else {
      const rows = Volumes.map(({ Driver, Mountpoint, Name, Scope, ...volume }) => ({
        // What volumes of a swarm have.
        Availability: "N/A",
        Driver,
        Group: "N/A",
        // What takes room is counted by `system df`.
        Links: "N/A",
        Mountpoint,
        Name,
        Scope,
        Size: "N/A",
        Status: "N/A",
        Labels: Object.entries(volume.Labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(","),
        Label: (name: string) => volume.Labels[name] ?? "",
      }));
      const headings = {
        Driver: "DRIVER",
        Name: "VOLUME NAME",
        Scope: "SCOPE",
        Mountpoint: "MOUNTPOINT",
        Labels: "LABELS",
      };
      writeList(rows, { format: parsed.text("format"), table: "{{.Driver}}\t{{.Name}}", headings });
    }
    return 0;
  },
};

const remove: Command = {
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  short: "Remove one or more volumes",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [flag("force", "f", "bool", "Force the removal of one or more volumes")],
  run: ({ client }, parsed) =>
    forEachName(
      parsed.args,
      async (name) => {
        await client.json("DELETE", `/volumes/${name}`, {
          query: { force: parsed.on("force") || undefined },
        });
        out(`${name}\n`);
      },
      client,
    ),
};

/** The commands by what follows `volume`. */
export const commands = { create, list, remove };
