/**
 * Lists by a template of the user's. What only the default table needs is not here: a short command then loads no
 * templates.
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
import { isLate, type ListFormat, type Row } from "./table.ts";

function interpretEscapes(text: string): string {
  return text.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

/** A row's field as a method of Docker's row, which gives a string. */
function methodOf(row: Row, name: string): Callable {
  if (isLate(row, name)) return { params: [], call: () => objectValue(row[name]) };
  const field = row[name];
  if (typeof field === "function")
    return {
      params: [types.string],
      call: ([name]) => stringValue(String(field(name?.string ?? ""))),
    };
  if (field === null) return { params: [], call: () => new Value(pointerTo(types.string), null) };
  return { params: [], call: () => objectValue(field) };
}

/** A row as Docker has it: a pointer to a struct whose methods are its fields. As JSON, it is what Go writes for a map. */
export function rowValue(row: Row, type: string): Value {
  const methods = Object.fromEntries(Object.keys(row).map((name) => [name, methodOf(row, name)]));
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

/** What a template says of rows: a line for each, after one of headings when it is a table's. */
export function templateLines(
  rows: readonly Row[],
  how: ListFormat,
): { readonly heading?: string; readonly lines: readonly string[] } {
  const isDefault = how.format === "" || how.format === "table";
  const named = how.format === "raw" ? (how.raw ?? how.format) : how.format;
  const format = isDefault ? `table ${how.table}` : named;
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
  return isTable ? { heading: headingLine(), lines } : { lines };

  // Docker writes what it has of the headings when the template is none for them.
  function headingLine(): string {
    try {
      return execute(template, headingsValue(how.headings), { functions: headingFunctions });
    } catch {
      return "";
    }
  }
}
