/**
 * Lists: as a table, by a template, as JSON lines. Columns are as wide as their widest cell and three spaces.
 */
import { draw, print } from "./output.ts";
import { isTerminal, terminalSize } from "./terminal.ts";
import { harmless } from "./terminal-text.ts";

/** A row: what each field of a template says, by a getter where that takes time. A function is a method with arguments. */
export type Row = Readonly<Record<string, unknown>>;

/** The letters of a cell; most have only those that take one unit. */
const lettersIn = (cell: string) => (/^[ -~]*$/.test(cell) ? cell.length : [...cell].length);

/** Lines of cells split by tabs, aligned in columns of at least `least` characters. Like Docker's, every line's last cell is not padded. */
export function align(lines: readonly string[], least = 10): string {
  const rows = lines.map((line) => line.split("\t"));
  const widths: number[] = [];
  for (const row of rows)
    row.slice(0, -1).forEach((cell, at) => {
      widths[at] = Math.max(widths[at] ?? 0, lettersIn(cell) + 3, least);
    });
  const pad = (cell: string, at: number) =>
    cell + " ".repeat(Math.max(0, (widths[at] ?? 0) - lettersIn(cell)));
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
  /** The template that docker calls "raw". */
  readonly raw?: string;
  /** The heading of each field. */
  readonly headings: Readonly<Record<string, string>>;
  /** What Docker calls a row's type, in messages. */
  readonly type?: string;
  /** What docker says before what is wrong in a template, when it is parsed and when it is carried out. */
  readonly words?: readonly [parsing: string, executing: string];
}

/** The fields of a template that is nothing else; undefined for any other. */
function fieldsOf(template: string): string[] | undefined {
  const fields: string[] = [];
  for (const cell of template.split("\t")) {
    const [, field] = /^\{\{\.(\w+)\}\}$/.exec(cell) ?? [];
    if (field === undefined) return undefined;
    fields.push(field);
  }
  return fields;
}

/** The cells of the default table, its headings first. Undefined when it takes a template to write them. */
function defaultCells(rows: readonly Row[], how: ListFormat): string[][] | undefined {
  if (how.format !== "" && how.format !== "table") return undefined;
  const fields = fieldsOf(how.table);
  if (fields === undefined) return undefined;
  const cells = [how.headings, ...rows].map((row) => fields.map((field) => row[field]));
  const plain = cells.every((line) => line.every((cell) => typeof cell === "string"));
  return plain ? (cells as string[][]) : undefined;
}

/** Rows in the format that was asked for. A default table fits so many columns, where it can. */
export function listText(rows: readonly Row[], how: ListFormat, columns?: number): string {
  const cells = defaultCells(rows, how);
  if (cells !== undefined) {
    const text = align(cells.map((line) => line.join("\t")));
    if (columns === undefined) return text;
    const { fitted } = require("./fitted-table.ts") as typeof import("./fitted-table.ts");
    return fitted(cells, fieldsOf(how.table) ?? [], text, columns);
  }
  const { templateLines } = require("./template-list.ts") as typeof import("./template-list.ts");
  const { heading, lines } = templateLines(rows, how);
  if (heading === undefined) return lines.map((line) => `${line}\n`).join("");
  return align([heading, ...lines]);
}

function harmlessField(field: unknown): unknown {
  if (typeof field === "string") return harmless(field);
  if (typeof field !== "function") return field;
  return (argument: unknown) => harmless(String(field(argument)));
}

/** Whether a field is worked out each time it is asked for. */
export function isLate(row: Row, name: string): boolean {
  return Object.getOwnPropertyDescriptor(row, name)?.get !== undefined;
}

/** A row that a terminal shows and does not obey. */
function harmlessRow(row: Row): Row {
  const fields = Object.keys(row).map((name) => [
    name,
    isLate(row, name)
      ? { enumerable: true, get: () => harmlessField(row[name]) }
      : { enumerable: true, value: harmlessField(row[name]) },
  ]);
  return Object.defineProperties({}, Object.fromEntries(fields));
}

/** Rows as a terminal may have them: harmless, the default table as wide as the terminal. */
export function terminalList(rows: readonly Row[], how: ListFormat): string {
  return listText(rows.map(harmlessRow), how, terminalSize(1)?.columns || undefined);
}

/** Writes rows in the format that was asked for. */
export async function writeList(rows: readonly Row[], how: ListFormat): Promise<void> {
  if (isTerminal(1)) draw(terminalList(rows, how));
  else await print(listText(rows, how));
}
