import { expect, test } from "bun:test";
import { execute } from "./execute.ts";
import { parseTemplate } from "./parse.ts";

const value = {
  Name: "web",
  N: 3,
  List: ["a", "b"],
  Map: { z: 1, a: { b: "deep" } },
  Empty: [],
  Label: (key: string) => `label of ${key}`,
};
const run = (source: string) => execute(parseTemplate(source), value);

test("Go's templates give what Go gives", () => {
  for (const [source, want] of [
    ["{{.Name}}", "web"],
    ["{{.Map.a.b}}", "deep"],
    ["{{.Missing}}", "<no value>"],
    ["{{.List}} {{.Map}}", "[a b] map[a:map[b:deep] z:1]"],
    ["{{json .Map}}", '{"z":1,"a":{"b":"deep"}}'],
    ["{{if .Empty}}yes{{else if eq .N 3}}three{{else}}no{{end}}", "three"],
    ["{{range $i, $e := .List}}{{$i}}={{$e}};{{end}}", "0=a;1=b;"],
    ["{{range .Empty}}x{{else}}none{{end}}", "none"],
    ["{{with .Map.a}}{{.b}}{{$.Name}}{{end}}", "deepweb"],
    ['{{index .Map "a" "b"}} {{index .List 1}}', "deep b"],
    ['{{.Name | upper | printf "%-5s|"}}', "WEB  |"],
    ['{{join .List ","}}{{len .List}}', "a,b2"],
    ["a {{- .N -}} b", "a3b"],
    ['{{.Label "x"}}', "label of x"],
    ["{{$x := .N}}{{$x}}{{/* no */}}", "3"],
    ['{{define "t"}}<{{.}}>{{end}}{{template "t" .Name}}', "<web>"],
    ["{{and .N .Empty}}{{or .Empty .Name}}{{not .N}}", "[]webfalse"],
    ['{{(index .Map "a").b}}', "deep"],
    ["{{println .N}}", "3\n"],
  ] as const)
    expect(run(source)).toBe(want);
});

test("what is no template is refused", () => {
  for (const source of [
    "{{.Name",
    "{{end}}",
    "{{if .N}}",
    "{{nosuch .N}}",
    "{{range}}x{{end}}",
    "{{$x}}",
  ])
    expect(() => run(source)).toThrow("template parsing error");
});
