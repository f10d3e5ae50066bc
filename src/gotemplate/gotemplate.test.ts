/**
 * Every template of fixture/templates.txt gives what Go gives. fixture/cases.jsonl has Go's own outputs and errors, as
 * fixture/generate.go writes them: `go run generate.go <templates.txt >cases.jsonl` (Go is needed for nothing else).
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Callable,
  dockerFunctions,
  dockerNames,
  execute,
  fromJson,
  GoError,
  intValue,
  mapOf,
  NumberText,
  parse,
  pointerTo,
  sliceOf,
  stringsValue,
  stringValue,
  type Type,
  types,
  Value,
  zeroOf,
} from "./index.ts";

const directory = join(import.meta.dir, "fixture");

interface Case {
  readonly data: string;
  readonly template: string;
  readonly out: string;
  readonly error?: string;
}

const document = /`(\{"Name".*?\})`/s.exec(
  readFileSync(join(directory, "generate.go"), "utf8"),
)?.[1];
const exactly = (_key: string, value: unknown, context?: { source?: string }) =>
  typeof value === "number" ? new NumberText(context?.source ?? String(value)) : value;

/** The Row of generate.go. */
function rowValue(): Value {
  const { string, int, any } = types;
  const method = (params: readonly Type[], call: Callable["call"]): Callable => ({ params, call });
  const rowType: Type = {
    kind: "struct",
    name: "main.Row",
    named: true,
    methods: (row) => ({
      ID: method([], () => stringValue("0123456789ab")),
      Names: method([], () => stringValue("web,db")),
      Label: method([string], ([name]) => {
        const labels = row.fields.get("Labels")?.entries;
        return stringValue(labels?.get(name?.string ?? "")?.string ?? "");
      }),
      Sum: method([int, int], ([a, b]) => intValue((a?.int ?? 0n) + (b?.int ?? 0n))),
      Fail: method([], () => {
        throw new GoError("it failed");
      }),
      List: method([], () => stringsValue(["x", "y"])),
    }),
  };
  const call: Type = { kind: "func", name: "func(string) string" };
  const size: Type = { kind: "int64", name: "int64" };
  const [labels, ports] = [mapOf(string), sliceOf(int)];
  rowType.fields = [
    { name: "Field", type: string, json: "Field" },
    { name: "Labels", type: labels, json: "Labels" },
    { name: "Ports", type: ports, json: "Ports" },
    { name: "Next", type: pointerTo(rowType), json: "Next" },
    { name: "Any", type: any, json: "Any" },
    { name: "Nil", type: pointerTo(rowType), json: "Nil" },
    { name: "Size", type: size, json: "Size" },
    { name: "Small", type: types.uint8, json: "Small" },
    { name: "Rate", type: types.float64, json: "Rate" },
    { name: "Call", type: call, json: "Call" },
  ];
  const zeroes = zeroOf(rowType).fields;
  const row = (fields: Readonly<Record<string, Value>>) =>
    new Value(
      pointerTo(rowType),
      new Value(rowType, new Map([...zeroes, ...Object.entries(fields)])),
    );
  return row({
    Field: stringValue("f"),
    Labels: new Value(
      labels,
      new Map([
        ["a", stringValue("1")],
        ["b.c", stringValue("2")],
      ]),
    ),
    Ports: new Value(ports, [intValue(80), intValue(443)]),
    Next: row({ Field: stringValue("next") }),
    Any: new Value(any, stringValue("any")),
    Size: new Value(size, 1n << 40n),
    Small: new Value(types.uint8, 200n),
    Rate: new Value(types.float64, 0.25),
    Call: new Value(call, {
      params: [string],
      call: ([text]: readonly (Value | undefined)[]) => stringValue(`called ${text?.string}`),
    }),
  });
}

function dataOf(name: string): Value | undefined {
  if (name === "row") return rowValue();
  return fromJson(JSON.parse(document ?? "", name === "json" ? undefined : exactly));
}

/**
 * What differs, and is meant to: complex numbers are refused; nothing has an address; strings are Unicode, so that a
 * character that is cut in two shows as U+FFFD.
 */
const differs = new Set([
  "{{1i}}",
  "{{1+2i}}",
  `{{printf "%p" .List}}`,
  "{{range .Call}}x{{end}}",
  `{{define "r"}}{{template "r" .}}{{end}}{{template "r" 1}}`,
]);

function outcome({ data, template }: Case): { out: string; error?: string } {
  try {
    const parsed = parse(template, dockerNames);
    const options = { functions: dockerFunctions, missingKeyIsError: data === "strict" };
    return { out: execute(parsed, dataOf(data), options) };
  } catch (error) {
    return { out: "", error: (error as Error).message };
  }
}

test("templates give what Go's text/template gives", () => {
  const lines = readFileSync(join(directory, "cases.jsonl"), "utf8").trim().split("\n");
  const cases = lines.map((line) => JSON.parse(line) as Case);
  expect(cases.length).toBeGreaterThan(1000);
  const wrong = cases
    .filter(({ template }) => !differs.has(template))
    .map((one) => {
      const { out, error } = outcome(one);
      // The Go that docker's command line 28 is made with does not name the types.
      const expected = one.error?.replace(/(incompatible types for comparison): .*$/, "$1");
      const same = out === one.out && error === expected;
      return same
        ? ""
        : `${one.data} ${one.template}\n  go:    ${one.error ?? one.out}\n  berth: ${error ?? out}`;
    })
    .filter((line) => line !== "");
  expect(wrong).toEqual([]);
});
