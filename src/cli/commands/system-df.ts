/**
 * `berth system df`.
 */
import { humanDuration } from "../../base/durations.ts";
import type { ContainerSummary, ImageSummary, Volume } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { goTime, humanSize } from "../human.ts";
import { out } from "../output.ts";
import { listText, type Row, writeList } from "../table.ts";
import { rowOf as containerRow } from "./ps.ts";

/** A row of the builds' cache. */
export interface CacheRow {
  readonly ID: string;
  readonly Parents: readonly string[];
  readonly Type: string;
  readonly Description: string;
  readonly InUse: boolean;
  readonly Shared: boolean;
  readonly Size: number;
  readonly CreatedAt: string;
  readonly LastUsedAt: string;
  readonly UsageCount: number;
}

/** The API's answer, with what berth adds. */
interface Usage {
  readonly LayersSize: number;
  readonly Images: readonly ImageSummary[] | null;
  readonly Containers: readonly ContainerSummary[] | null;
  readonly Volumes: readonly Volume[] | null;
  readonly BuildCache?: readonly CacheRow[] | null;
  readonly Berth?: {
    readonly Duplicates?: {
      readonly Files: number;
      readonly Bytes: number;
      readonly Wasted: number;
      readonly Worst: readonly {
        readonly Size: number;
        readonly Count: number;
        readonly Wasted: number;
        readonly Places: readonly { readonly Layer: string; readonly Path: string }[];
      }[];
    };
    readonly DataRoot?: {
      readonly Path: string;
      readonly Bytes: number;
      readonly Parts: readonly {
        readonly Kind: string;
        readonly Count: number;
        readonly Bytes: number;
        readonly Orphaned: number;
      }[];
      readonly KeptBlobs: readonly { readonly Digest: string; readonly Why: string }[];
    };
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
const size = (bytes: number) => humanSize(bytes, 4);

function share(bytes: number, total: number): string {
  return total > 0 ? `${size(bytes)} (${Math.trunc((bytes * 100) / total)}%)` : size(bytes);
}

/** What images have, too, takes no room of its own. */
const cacheSize = (rows: readonly CacheRow[]) =>
  sum(rows.filter(({ Shared }) => !Shared).map(({ Size }) => Size));

const since = (time: string) =>
  `${humanDuration(Math.max(0, (Date.now() - Date.parse(time)) / 1000))} ago`;

function cacheRows(rows: readonly CacheRow[], whole: boolean): Row[] {
  return rows.map((one) => ({
    ID: whole ? one.ID : one.ID.slice(0, 12),
    Parent: one.Parents.join(", "),
    CacheType: one.Type,
    Description: one.Description,
    Size: size(one.Size),
    CreatedAt: one.CreatedAt,
    CreatedSince: since(one.CreatedAt),
    LastUsedAt: one.LastUsedAt,
    LastUsedSince: since(one.LastUsedAt),
    UsageCount: String(one.UsageCount),
    InUse: String(one.InUse),
    Shared: String(one.Shared),
  }));
}

function summaryRows(usage: Usage): Row[] {
  const images = usage.Images ?? [];
  const containers = usage.Containers ?? [];
  const volumes = usage.Volumes ?? [];
  const cached = usage.BuildCache ?? [];
  const used = images.filter(({ Containers }) => Containers !== 0);
  const inUse = sum(used.map(({ Size, SharedSize }) => Size - SharedSize));
  const alive = ["running", "paused", "restarting"];
  const written = sum(containers.map(({ SizeRw }) => SizeRw ?? 0));
  const stopped = containers.filter(({ State }) => !alive.includes(State ?? ""));
  const volumeSize = (list: readonly Volume[]) =>
    sum(list.map(({ UsageData }) => Math.max(UsageData?.Size ?? 0, 0)));
  const unused = volumes.filter(({ UsageData }) => !UsageData?.RefCount);
  const row = (
    Type: string,
    total: number,
    active: number,
    bytes: number,
    Reclaimable: string,
  ) => ({
    ...{ Type, TotalCount: String(total), Active: String(active), Size: size(bytes), Reclaimable },
  });
  const layers = usage.LayersSize;
  return [
    row("Images", images.length, used.length, layers, share(layers - inUse, layers)),
    row(
      "Containers",
      containers.length,
      containers.length - stopped.length,
      written,
      share(sum(stopped.map(({ SizeRw }) => SizeRw ?? 0)), written),
    ),
    row(
      "Local Volumes",
      volumes.length,
      volumes.length - unused.length,
      volumeSize(volumes),
      share(volumeSize(unused), volumeSize(volumes)),
    ),
    row(
      "Build Cache",
      cached.length,
      cached.filter(({ InUse }) => InUse).length,
      cacheSize(cached),
      size(cacheSize(cached.filter(({ InUse }) => !InUse))),
    ),
  ];
}

function imageRows(images: readonly ImageSummary[], whole: boolean): Row[] {
  return images.map((image) => {
    // Docker shows the first name only.
    const name = image.RepoTags?.[0] ?? "<none>:<none>";
    const at = name.lastIndexOf(":");
    return {
      Repository: name.slice(0, at),
      Tag: name.slice(at + 1),
      Digest: "",
      ID: whole ? image.Id : image.Id.replace(/^sha256:/, "").slice(0, 12),
      CreatedAt: goTime(image.Created),
      CreatedSince: `${humanDuration(Date.now() / 1000 - image.Created)} ago`,
      Size: humanSize(image.Size),
      VirtualSize: size(image.Size),
      SharedSize: size(image.SharedSize),
      UniqueSize: size(image.Size - image.SharedSize),
      Containers: String(image.Containers),
    };
  });
}

function volumeRows(volumes: readonly Volume[]): Row[] {
  return volumes.map(({ Name, Driver, Mountpoint, Scope, Labels, UsageData }) => ({
    ...{ Name, Driver, Mountpoint, Scope },
    Labels: Object.entries(Labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    Links: String(UsageData?.RefCount ?? 0),
    Size: UsageData?.Size === -1 ? "N/A" : size(UsageData?.Size ?? 0),
    ...{ Availability: "N/A", Group: "N/A", Status: "N/A" },
  }));
}

const headings = {
  ...{ Repository: "REPOSITORY", Tag: "TAG", CreatedSince: "CREATED", VirtualSize: "SIZE" },
  ...{ SharedSize: "SHARED SIZE", UniqueSize: "UNIQUE SIZE", Containers: "CONTAINERS" },
  ...{ Image: "IMAGE", Command: "COMMAND", LocalVolumes: "LOCAL VOLUMES", Size: "SIZE" },
  ...{ RunningFor: "CREATED", Status: "STATUS", Names: "NAMES", Name: "VOLUME NAME" },
  ...{ CacheType: "CACHE TYPE", LastUsedSince: "LAST USED", UsageCount: "USAGE", Shared: "SHARED" },
  ...{ Wasted: "WASTED", Layer: "LAYER", Path: "PATH" },
  ...{ Links: "LINKS", Kind: "KIND", Count: "COUNT", Orphaned: "ORPHANED", ID: "CONTAINER ID" },
};

/** A titled table. */
function section(
  title: string,
  rows: readonly Row[],
  fields: readonly string[],
  id?: string,
): string {
  const table = fields.map((field) => `{{.${field}}}`).join("\t");
  const named = id === undefined ? headings : { ...headings, ID: id };
  return `${title}\n\n${listText(rows, { format: "", table, headings: named })}`;
}

const words: Readonly<Record<string, string>> = {
  layers: "unpacked layers",
  blobs: "content store",
  recipes: "recipes of dropped blobs",
  downloads: "incomplete downloads",
  writable: "containers' writable layers",
  "container-files": "containers' own files",
  logs: "containers' logs",
  volumes: "volumes",
  database: "database",
  registry: "registry",
  builds: "build mounts",
  deleting: "being deleted",
  engine: "the engine's own files",
  unknown: "not berth's",
};

function dataRootSection({ Berth }: Usage): string {
  const root = Berth?.DataRoot;
  if (root === undefined) return "";
  const rows = root.Parts.filter(({ Bytes }) => Bytes > 0).map((part) => ({
    Kind: words[part.Kind] ?? part.Kind,
    Count: String(part.Count),
    Size: size(part.Bytes),
    Orphaned: size(part.Orphaned),
  }));
  const title = `\nData root space usage: ${size(root.Bytes)} in ${root.Path}`;
  const kept = root.KeptBlobs.map(({ Digest, Why }) => `${Digest}: ${Why}\n`);
  const told =
    kept.length === 0 ? "" : `\nBlobs that are kept, since they do not come out again:\n\n`;
  return `${section(title, rows, ["Kind", "Count", "Size", "Orphaned"])}${told}${kept.join("")}`;
}

function duplicateSection({ Berth }: Usage): string {
  const found = Berth?.Duplicates;
  if (found === undefined) return "";
  const { Files, Bytes, Wasted, Worst } = found;
  const rows = Worst.map((one) => ({
    Wasted: size(one.Wasted),
    Count: String(one.Count),
    Size: size(one.Size),
    Layer: one.Places[0]?.Layer.slice(7, 19) ?? "",
    Path: `/${one.Places[0]?.Path ?? ""}`,
  }));
  const title = `\nFiles in layers: ${Files} (${size(Bytes)}); contents that are there more than once: ${share(Wasted, Bytes)}`;
  return section(title, rows, ["Wasted", "Count", "Size", "Layer", "Path"]);
}

function verboseRows(usage: Usage, whole: boolean) {
  return {
    Images: imageRows(usage.Images ?? [], whole),
    Containers: (usage.Containers ?? []).map((one) =>
      containerRow({ ...one, SizeRootFs: 0 }, whole),
    ),
    Volumes: volumeRows(usage.Volumes ?? []),
    BuildCache: cacheRows(usage.BuildCache ?? [], whole),
  };
}

async function writeVerbose(usage: Usage, format: string): Promise<void> {
  if (format !== "" && format !== "table") {
    const { verboseText } = await import("../disk-usage-template.ts");
    return out(verboseText(verboseRows(usage, !format.startsWith("table")), format));
  }
  const { Images, Containers, Volumes, BuildCache } = verboseRows(usage, false);
  const imageFields = [
    ...["Repository", "Tag", "ID", "CreatedSince", "Size"],
    ...["SharedSize", "UniqueSize", "Containers"],
  ];
  const cacheFields = [
    ...["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"],
  ];
  const containerFields = [
    ...["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"],
  ];
  out(
    `${section("Images space usage:", Images, imageFields, "IMAGE ID")}
${section("Containers space usage:", Containers, containerFields)}
${section("Local Volumes space usage:", Volumes, ["Name", "Links", "Size"])}
${section(`Build cache usage: ${size(cacheSize(usage.BuildCache ?? []))}`, BuildCache, cacheFields, "CACHE ID")}${dataRootSection(usage)}`,
  );
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Show disk usage",
  args: [0, 0],
  flags: [
    flag("format", "", "string", "Format output using a custom template"),
    flag(
      "duplicates",
      "",
      "bool",
      "Find contents that lie in layers more than once (reads all of them)",
    ),
    flag("verbose", "v", "bool", "Show detailed information on space usage"),
  ],
  async run({ client }, parsed) {
    const verbose = parsed.on("verbose");
    const format = parsed.text("format");
    const query = {
      disk: verbose && format === "" ? "1" : undefined,
      duplicates: parsed.on("duplicates") && format === "" ? "1" : undefined,
    };
    const usage = await client.json<Usage>("GET", "/system/df", { query });
    if (verbose) await writeVerbose(usage, format);
    else {
      const table = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
      const names = {
        ...{ Type: "TYPE", TotalCount: "TOTAL", Active: "ACTIVE", Size: "SIZE" },
        Reclaimable: "RECLAIMABLE",
      };
      const raw =
        "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n";
      const type = "formatter.diskUsageImagesContext";
      await writeList(summaryRows(usage), { format, table, headings: names, raw, type });
    }
    out(duplicateSection(usage));
    return 0;
  },
};
