/**
 * Lists: as a table, by a template, as JSON lines. Columns are as wide as their widest cell and three spaces.
 */
import {
  type Callable,
  dockerFunctions,
  execute,
  headingFunctions,
  jsonString,
  mapOf,
  pointerTo,
  stringValue,
  type Type,
  toJson,
  types,
  Value,
} from "../gotemplate/index.ts";
import { asTemplateError, objectValue, parseTemplate } from "./objects.ts";
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
  /** What Docker calls a row's type, in messages. */
  readonly type?: string;
  /** What docker says before what is wrong in a template, when it is parsed and when it is carried out. */
  readonly words?: readonly [parsing: string, executing: string];
}

function interpretEscapes(text: string): string {
  return text.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

/** Writes rows in the format that was asked for. */
export function writeList(rows: readonly Row[], how: ListFormat): void {
  out(listText(rows, how));
}

/** A row's field as a method of Docker's row, which gives a string. */
function methodOf(field: unknown): Callable {
  if (typeof field === "function")
    return {
      params: [types.string],
      call: ([name]) => stringValue(String(field(name?.string ?? ""))),
    };
  if (field === null) return { params: [], call: () => new Value(pointerTo(types.string), null) };
  return { params: [], call: () => objectValue(field) };
}

/** A row as Docker has it: a pointer to a struct whose methods are its fields. As JSON, it is what Go writes for a map. */
function rowValue(row: Row, type: string): Value {
  const methods = Object.fromEntries(
    Object.entries(row).map(([name, field]) => [name, methodOf(field)]),
  );
  const json = () => {
    const members = Object.entries(row)
      .filter(([, field]) => typeof field !== "function")
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => `${jsonString(name, true)}:${toJson(objectValue(field), true)}`);
    return `{${members.join(",")}}`;
  };
  const struct: Type = {
    kind: "struct",
    name: type,
    named: true,
    fields: [],
    methods: () => methods,
    json,
  };
  return new Value(pointerTo(struct), new Value(struct, new Map()));
}

/** The headings' table, which says of a label its last word. */
function headingsValue(headings: Readonly<Record<string, string>>): Value {
  const label: Callable = {
    params: [types.string],
    call: ([name]) =>
      stringValue((name?.string.split(".").at(-1) ?? "").replaceAll("-", " ").replaceAll("_", " ")),
  };
  const type: Type = {
    ...mapOf(types.string),
    name: "formatter.SubHeaderContext",
    named: true,
    methods: () => ({ Label: label }),
  };
  return new Value(
    type,
    new Map(Object.entries(headings).map(([name, heading]) => [name, stringValue(heading)])),
  );
}

/** Rows in the format that was asked for. */
export function listText(rows: readonly Row[], how: ListFormat): string {
  const format = how.format === "" || how.format === "table" ? `table ${how.table}` : how.format;
  const isTable = format.startsWith("table");
  const cut = (isTable ? format.slice("table".length) : format).replace(/^ +| +$/g, "");
  const template = parseTemplate(
    format === "json" ? "{{json .}}" : interpretEscapes(cut),
    how.words?.[0],
  );
  const type = how.type ?? "formatter.subContext";
  const lines = asTemplateError(
    () => rows.map((row) => execute(template, rowValue(row, type), { functions: dockerFunctions })),
    how.words?.[1],
  );
  if (!isTable) return lines.map((line) => `${line}\n`).join("");
  return align([headingLine(), ...lines]);

  // Docker writes what it has of the headings when the template is none for them.
  function headingLine(): string {
    try {
      return execute(template, headingsValue(how.headings), { functions: headingFunctions });
    } catch {
      return "";
    }
  }
}
