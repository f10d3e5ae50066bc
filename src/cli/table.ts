/**
 * Lists: as a table, by a template, as JSON lines. Columns are as wide as their widest cell and three spaces.
 */
import { execute } from "./gotemplate/execute.ts";
import { parseTemplate } from "./gotemplate/parse.ts";
import { out } from "./output.ts";

/** A row: what each field of a template says. A function is a method with arguments. */
export type Row = Readonly<Record<string, unknown>>;

/** Lines of cells split by tabs, aligned in columns of at least `least` characters. Like Docker's, every line's last cell is not padded. */
export function align(lines: readonly string[], least = 10): string {
  const rows = lines.map((line) => line.split("\t"));
  const widths: number[] = [];
  for (const row of rows)
    row.slice(0, -1).forEach((cell, at) => {
      widths[at] = Math.max(widths[at] ?? 0, [...cell].length + 3, least);
    });
  const pad = (cell: string, at: number) =>
    cell + " ".repeat(Math.max(0, (widths[at] ?? 0) - [...cell].length));
  return rows
    .map(
      (row) => `${row.map((cell, at) => (at < row.length - 1 ? pad(cell, at) : cell)).join("")}\n`,
    )
    .join("");
}

/** How a list is written. */
export interface ListFormat {
  /** The user's `--format`; empty means the default table. */
  readonly format: string;
  /** The default table's template, cells split by tabs. */
  readonly table: string;
  /** The heading of each field. */
  readonly headings: Readonly<Record<string, string>>;
}

function interpretEscapes(text: string): string {
  return text.replace(/\\t/g, "\t").replace(/\\n/g, "\n");
}

/** Writes rows in the format that was asked for. */
export function writeList(rows: readonly Row[], how: ListFormat): void {
  out(listText(rows, how));
}

/** A row as Go writes a map: keys in order, and nothing in it that could be a tag of HTML. */
function rowJson(row: Row): string {
  const ordered = Object.fromEntries(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const escaped = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(ordered).replace(/[<>&\u2028\u2029]/g, escaped);
}

/** Rows in the format that was asked for. */
export function listText(rows: readonly Row[], how: ListFormat): string {
  const format = how.format === "" || how.format === "table" ? `table ${how.table}` : how.format;
  if (format === "json") {
    // In the order of their names, as Go writes a map.
    const plain = (row: Row) =>
      Object.fromEntries(
        Object.entries(row)
          .filter(([, value]) => typeof value !== "function")
          .toSorted(([a], [b]) => (a < b ? -1 : 1)),
      );
    return rows.map((row) => `${rowJson(plain(row))}\n`).join("");
  }
  const isTable = /^table\s/.test(format);
  const source = interpretEscapes(isTable ? format.replace(/^table\s+/, "") : format);
  const template = parseTemplate(source);
  // A whole row in a template is what it is in JSON.
  const whole = /^\{\{\s*json\s+\.\s*\}\}$/.test(source);
  const lines = rows.map((row) => (whole ? rowJson(row) : execute(template, row)));
  if (!isTable) return lines.map((line) => `${line}\n`).join("");
  const headings = {
    ...how.headings,
    Label: (name: unknown) => String(name).split(/[-_.]/).join(" "),
  };
  return align([execute(template, headings), ...lines]);
}
