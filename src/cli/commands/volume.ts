/**
 * `berth volume create`, `ls`, `rm`, `export`, `import`, `snapshot`, `clone`.
 */
import type { Volume } from "../../spec/engine-api.ts";
import { checkArchivePath, writeArchive } from "../archive-output.ts";
import { type Command, type Context, forEachName } from "../command.ts";
import { encodeFilters } from "../filters.ts";
import { flag, type Parsed } from "../flags.ts";
import { out } from "../output.ts";
import { checkReadable, inputFrom } from "../streams.ts";
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

const exporting: Command = {
  usage: "[OPTIONS] VOLUME",
  short: "Write what a volume holds at one moment to a tar archive",
  args: [1, 1],
  flags: [flag("output", "o", "string", "Write to a file, instead of STDOUT")],
  async run({ client }, parsed) {
    const target = parsed.text("output");
    checkArchivePath(target, "export volume");
    const response = await client.request("GET", `${own(parsed.args[0])}/export`);
    await writeArchive(target, response.pieces());
    return 0;
  },
};

const importing: Command = {
  usage: "[OPTIONS] VOLUME [FILE|-]",
  short: "Make a volume of a tar archive, or fill an empty one",
  args: [1, 2],
  flags: [flag("label", "", "list", "Set metadata for a volume that is made")],
  async run({ client }, parsed) {
    const [name, source = "-"] = parsed.args;
    checkReadable(source);
    const query = { label: parsed.all("label") };
    const request = { query, stream: inputFrom(source) };
    out(`${(await client.json<Volume>("POST", `${own(name)}/import`, request)).Name}\n`);
    return 0;
  },
};

const labelFlag = flag(
  "label",
  "",
  "list",
  "Set metadata for the new volume, beside the old one's",
);

const snapshot: Command = {
  usage: "[OPTIONS] VOLUME [SNAPSHOT]",
  short:
    "Keep what a volume holds at one moment as another volume, called after the time unless it has a name",
  args: [1, 2],
  flags: [labelFlag],
  run: (context, parsed) => copy(context, parsed, true),
};

const clone: Command = {
  usage: "[OPTIONS] VOLUME NEW_VOLUME",
  short: "Make a volume that holds what another does",
  args: [2, 2],
  flags: [labelFlag],
  run: (context, parsed) => copy(context, parsed, false),
};

function own(name = ""): string {
  return `/berth/volumes/${encodeURIComponent(name)}`;
}

async function copy({ client }: Context, parsed: Parsed, Snapshot: boolean): Promise<number> {
  const [from, Name = ""] = parsed.args;
  const body = { Name, Snapshot, Labels: pairs(parsed.all("label")) };
  out(`${(await client.json<Volume>("POST", `${own(from)}/copy`, { body })).Name}\n`);
  return 0;
}

/** The commands by what follows `volume`. */
export const commands = { create, list, remove, exporting, importing, snapshot, clone };
