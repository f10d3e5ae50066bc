/**
 * `berth volume create`, `ls`, `rm`, `update`, `export`, `import`, `snapshot`, `clone`.
 */
import type { Volume } from "../../spec/engine-api.ts";
import { checkArchivePath, writeArchive } from "../archive-output.ts";
import { type Command, type Context, forEachName } from "../command.ts";
import { configuredFormat } from "../config-file.ts";
import { encodeFilters } from "../filters.ts";
import { flag, type Parsed, UsageError } from "../flags.ts";
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

/** Labels, in Docker's words for one without a name. */
function labelsOf(parsed: Parsed): Record<string, string> {
  const given = parsed.all("label");
  const nameless = given.find((label) => label === "" || label.startsWith("="));
  if (nameless !== undefined)
    throw new UsageError(
      `invalid argument ${JSON.stringify(nameless)} for "--label" flag: invalid label '${nameless}': empty name`,
    );
  return pairs(given);
}

const availability = flag(
  "availability",
  "",
  "string",
  'Cluster Volume availability ("active", "pause", "drain")',
  '"active"',
);

/** What only a swarm's volumes have; the daemon, which is in none, says so. */
const clusterFlags = [
  availability,
  flag("group", "", "string", "Cluster Volume group (cluster volumes)"),
  flag("limit-bytes", "", "bytes", "Minimum size of the Cluster Volume in bytes"),
  flag("required-bytes", "", "bytes", "Maximum size of the Cluster Volume in bytes"),
  flag("scope", "", "string", 'Cluster Volume access scope ("single", "multi")', '"single"'),
  flag("secret", "", "map", "Cluster Volume secrets", "map[]"),
  flag(
    "sharing",
    "",
    "string",
    'Cluster Volume access sharing ("none", "readonly", "onewriter", "all")',
    '"none"',
  ),
  flag(
    "topology-preferred",
    "",
    "list",
    "A topology that the Cluster Volume would be preferred in",
  ),
  flag(
    "topology-required",
    "",
    "list",
    "A topology that the Cluster Volume must be accessible from",
  ),
  flag("type", "", "string", 'Cluster Volume access type ("mount", "block")', '"block"'),
];

function clusterSpec(parsed: Parsed) {
  // As docker has it: these alone make a volume one of a cluster.
  const making = ["availability", "group", "limit-bytes", "required-bytes", "scope", "sharing"];
  if (![...making, "type"].some((name) => parsed.has(name))) return {};
  const [Scope, Sharing] = [parsed.text("scope", "single"), parsed.text("sharing", "none")];
  const Availability = parsed.text("availability", "active");
  return {
    ClusterVolumeSpec: {
      ...{ Group: parsed.text("group"), AccessMode: { Scope, Sharing }, Availability },
    },
  };
}

const create: Command = {
  usage: "[OPTIONS] [VOLUME]",
  short: "Create a volume",
  args: [0, 1],
  flags: [
    flag("driver", "d", "string", "Specify volume driver name", '"local"'),
    flag("label", "", "list", "Set metadata for a volume"),
    flag("opt", "o", "map", "Set driver specific options", "map[]"),
    flag("name", "", "string", ""),
    ...clusterFlags,
  ],
  async run({ client }, parsed) {
    const Labels = labelsOf(parsed);
    if (parsed.args.length > 0 && parsed.text("name") !== "")
      throw new Error(
        "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
      );
    const body = {
      Name: parsed.args[0] ?? parsed.text("name"),
      Driver: parsed.text("driver", "local"),
      Labels,
      DriverOpts: pairs(parsed.all("opt")),
      ...clusterSpec(parsed),
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
    flag(
      "cluster",
      "",
      "bool",
      "Display only cluster volumes, and use cluster volume list formatting",
    ),
    flag("filter", "f", "filter", "Provide filter values"),
    flag("format", "", "string", "Format output using a custom template"),
    flag("quiet", "q", "bool", "Only display volume names"),
  ],
  async run({ client }, parsed) {
    const { Volumes } = await client.json<{ Volumes: Volume[] }>("GET", "/volumes", {
      query: { filters: encodeFilters(parsed.all("filter")) },
    });
    const [quiet, cluster] = [parsed.on("quiet"), parsed.on("cluster")];
    const format = parsed.text("format") || (quiet ? "" : configuredFormat("volumesFormat"));
    if (quiet && (format === "" || format === "table") && !cluster)
      for (const volume of Volumes) out(`${volume.Name}\n`);
    else {
      // A swarm's volumes are those of a swarm, and here is none.
      const rows = (cluster ? [] : Volumes).map(
        ({ Driver, Mountpoint, Name, Scope, ...volume }) => ({
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
        }),
      );
      const headings = {
        Driver: "DRIVER",
        Name: "VOLUME NAME",
        Scope: "SCOPE",
        Mountpoint: "MOUNTPOINT",
        Labels: "LABELS",
        Links: "LINKS",
        Size: "SIZE",
        Group: "GROUP",
        Availability: "AVAILABILITY",
        Status: "STATUS",
      };
      const table = cluster
        ? "{{.Name}}\t{{.Group}}\t{{.Driver}}\t{{.Availability}}\t{{.Status}}"
        : "{{.Driver}}\t{{.Name}}";
      const raw = quiet ? "name: {{.Name}}" : "name: {{.Name}}\ndriver: {{.Driver}}\n";
      await writeList(rows, {
        format,
        raw,
        table,
        headings,
        type: "formatter.volumeContext",
      });
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

const update: Command = {
  usage: "[OPTIONS] [VOLUME]",
  short: "Update a volume (cluster volumes only)",
  args: [1, 1],
  flags: [availability],
  async run({ client }, parsed) {
    const name = encodeURIComponent(parsed.args[0] ?? "");
    const volume = await client.json<Volume>("GET", `/volumes/${name}`);
    if (!volume.ClusterVolume) throw new Error("can only update cluster volumes");
    const query = { version: String(volume.ClusterVolume.Version?.Index ?? 0) };
    await client.json("PUT", `/volumes/${name}`, {
      query,
      body: { Spec: volume.ClusterVolume.Spec },
    });
    return 0;
  },
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
    labelsOf(parsed);
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
  const body = { Name, Snapshot, Labels: labelsOf(parsed) };
  out(`${(await client.json<Volume>("POST", `${own(from)}/copy`, { body })).Name}\n`);
  return 0;
}

/** The commands by what follows `volume`. */
export const commands = { create, list, remove, update, exporting, importing, snapshot, clone };
