/**
 * `berth images`.
 */
import { humanDuration } from "../../base/durations.ts";
import type { ApiClient, Query } from "../../client/index.ts";
import type { ImageSummary } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { configuredFormat } from "../config-file.ts";
import { encodeFilters } from "../filters.ts";
import { flag, type Parsed } from "../flags.ts";
import { goTime, humanSize } from "../human.ts";
import { imageTree } from "../image-tree.ts";
import { draw, print } from "../output.ts";
import { type Row, writeList } from "../table.ts";
import { hasColours, isTerminal, terminalSize } from "../terminal.ts";

function splitReference(reference: string): [string, string] {
  const at = reference.lastIndexOf(":");
  return [reference.slice(0, at), reference.slice(at + 1)];
}

/** How rows are wanted. */
interface Wish {
  /** Ids are not cut. */
  readonly whole: boolean;
  /** A row for each digest of a name, instead of one for each name. */
  readonly digests: boolean;
  /** Digests are told. */
  readonly told: boolean;
}

/** The rows of an image: one for each name, or for each digest of each. */
function rowsOf(image: ImageSummary, { whole, digests, told }: Wish): Row[] {
  const row = (Repository: string, Tag: string, digest: string): Row => ({
    ID: whole ? image.Id : image.Id.replace(/^sha256:/, "").slice(0, 12),
    // Worked out when it is shown: the first local time of a process costs 12 ms.
    get CreatedAt() {
      return goTime(image.Created);
    },
    CreatedSince: `${humanDuration(Date.now() / 1000 - image.Created)} ago`,
    Size: humanSize(image.Size),
    Containers: "N/A",
    SharedSize: "N/A",
    UniqueSize: "N/A",
    get VirtualSize() {
      return humanSize(image.Size, 4);
    },
    Repository,
    Tag,
    Digest: told ? digest : "<none>",
  });
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== "<none>:<none>").map(splitReference);
  const known = (image.RepoDigests ?? [])
    .filter((one) => one !== "<none>@<none>")
    .map((one) => one.split("@"));
  const names: [string, string][] =
    tags.length > 0 ? tags : [[known[0]?.[0] ?? "<none>", "<none>"]];
  return names.flatMap(([Repository, Tag]) => {
    const own = known.filter(([name]) => name === Repository).map(([, digest]) => digest ?? "");
    const shown = digests && own.length > 0 ? own : [own[0] ?? "<none>"];
    return shown.map((digest) => row(Repository, Tag, digest));
  });
}

const headings = {
  ID: "IMAGE ID",
  CreatedAt: "CREATED AT",
  CreatedSince: "CREATED",
  Size: "SIZE",
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  Containers: "CONTAINERS",
  SharedSize: "SHARED SIZE",
  UniqueSize: "UNIQUE SIZE",
  VirtualSize: "SIZE",
};

/** What docker calls "raw". */
export function rawFormat(digests: boolean): string {
  const digest = digests ? "digest: {{.Digest}}\n" : "";
  return `repository: {{ .Repository }}\ntag: {{.Tag}}\n${digest}image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n`;
}

/** What has no meaning in a tree, as docker calls it. */
const treeless = {
  quiet: "quiet",
  "no-trunc": "no-trunc",
  digests: "show-digest",
  format: "format",
};

async function showTree(client: ApiClient, parsed: Parsed, query: Query): Promise<number> {
  for (const [name, called] of Object.entries(treeless))
    if (parsed.has(name)) throw new Error(`--${called} is not yet supported with --tree`);
  const images = await client.json<ImageSummary[]>("GET", "/images/json", {
    query: { ...query, manifests: true },
  });
  const columns = isTerminal(1) ? terminalSize(1)?.columns || 80 : undefined;
  const text = imageTree(images, { columns, all: parsed.on("all"), coloured: hasColours(1) });
  draw(text);
  return 0;
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] [REPOSITORY[:TAG]]",
  short: "List images",
  args: [0, 1],
  flags: [
    flag("all", "a", "bool", "Show all images (default hides intermediate images)"),
    flag("digests", "", "bool", "Show digests"),
    flag("filter", "f", "filter", "Filter output based on conditions provided"),
    flag("format", "", "string", "Format output using a custom template"),
    flag("no-trunc", "", "bool", "Don't truncate output"),
    flag("quiet", "q", "bool", "Only show image IDs"),
    flag("tree", "", "bool", "List multi-platform images as a tree (EXPERIMENTAL)"),
  ],
  async run({ client }, parsed) {
    const [reference] = parsed.args;
    const filters = [...parsed.all("filter"), ...(reference ? [`reference=${reference}`] : [])];
    const query = { all: parsed.on("all") || undefined, filters: encodeFilters(filters) };
    if (parsed.on("tree")) return showTree(client, parsed, query);
    const found = await client.json<ImageSummary[]>("GET", "/images/json", { query });
    const digests = parsed.on("digests");
    const quiet = parsed.on("quiet");
    const format = parsed.text("format") || (quiet ? "" : configuredFormat("imagesFormat"));
    const told = digests || /\{\{[^}]*\.Digest\b/.test(format);
    const wish = { whole: parsed.on("no-trunc"), digests, told };
    const rows = found.flatMap((one) => rowsOf(one, wish));
    const digest = digests ? "\t{{.Digest}}" : "";
    const table = `{{.Repository}}\t{{.Tag}}${digest}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`;
    if (quiet && (format === "" || format === "table"))
      await print(rows.map((row) => `${row.ID}\n`).join(""));
    else {
      const raw = quiet ? "image_id: {{.ID}}" : rawFormat(digests);
      await writeList(rows, { format, headings, table, raw, type: "formatter.imageContext" });
    }
    return 0;
  },
};
