/**
 * `berth system df -v` by a user's template, which sees all the rows at once.
 */
import {
  dockerFunctions,
  execute,
  pointerTo,
  sliceOf,
  type Type,
  Value,
} from "../gotemplate/index.ts";
import { rawFormat as imageRaw } from "./commands/images.ts";
import { rawFormat as containerRaw } from "./commands/ps.ts";
import { parseTemplate } from "./objects.ts";
import type { Row } from "./table.ts";
import { rowValue } from "./template-list.ts";

/** The types of rows, as docker calls them. */
const ROW_TYPES = {
  Images: "formatter.imageContext",
  Containers: "formatter.ContainerContext",
  Volumes: "formatter.volumeContext",
  BuildCache: "formatter.buildCacheContext",
};

const cacheRaw = [
  ...["build_cache_id: {{.ID}}", "parent_id: {{.Parent}}", "build_cache_type: {{.CacheType}}"],
  ...["description: {{.Description}}", "created_at: {{.CreatedAt}}"],
  ...["created_since: {{.CreatedSince}}", "last_used_at: {{.LastUsedAt}}"],
  ...["last_used_since: {{.LastUsedSince}}", "usage_count: {{.UsageCount}}"],
  ...["in_use: {{.InUse}}", "shared: {{.Shared}}", ""],
].join("\n");

const verboseRaw = [
  `{{range .Images}}type: Image\n${imageRaw(true)}\n{{end -}}\n`,
  `{{range .Containers}}type: Container\n${containerRaw(true)}\n{{end -}}\n`,
  "{{range .Volumes}}type: Volume\nname: {{.Name}}\ndriver: {{.Driver}}\n\n{{end -}}\n",
  `{{range .BuildCache}}type: Build Cache\n${cacheRaw}\n{{end -}}`,
].join("");

type RowKind = keyof typeof ROW_TYPES;

/** Everything by one template, with all the rows at hand. Throws in Docker's words for a template that is wrong. */
export function verboseText(rowsOf: Record<RowKind, readonly Row[]>, format: string): string {
  const cut = format.startsWith("table") ? format.slice("table".length) : format;
  const known: Readonly<Record<string, string>> = { json: "{{json .}}", raw: verboseRaw };
  const source = (known[format] ?? cut).replaceAll("\\t", "\t").replaceAll("\\n", "\n").trim();
  const template = parseTemplate(source);
  const lists = Object.entries(ROW_TYPES).map(([name, type]) => {
    const rows = rowsOf[name as RowKind];
    const elem = pointerTo({ kind: "struct", name: type });
    const value = new Value(
      sliceOf(elem),
      rows.map((row) => rowValue(row, type)),
    );
    return { field: { name, type: value.type, json: name }, value };
  });
  const struct: Type = {
    kind: "struct",
    name: "formatter.diskUsageContext",
    named: true,
    fields: lists.map(({ field }) => field),
  };
  const fields = new Map(lists.map(({ field, value }) => [field.name, value]));
  const root = new Value(pointerTo(struct), new Value(struct, fields));
  return execute(template, root, { functions: dockerFunctions });
}
