/** Templates that anybody may write: text comes of them, or an error of the language's own. */
import { expect, test } from "bun:test";
import { checkAll, damagedText } from "../../tests/kits/fuzz.ts";
import {
  dockerFunctions,
  dockerNames,
  ExecError,
  execute,
  fromJson,
  ParseError,
  parse,
} from "./index.ts";

const templates = damagedText([
  "{{.Name}} {{.State.Pid}}",
  "{{range $i, $e := .List}}{{if eq $i 1}}{{$e}}{{else}}-{{end}}{{end}}",
  '{{define "t"}}{{.}}{{end}}{{template "t" .Name}}',
  '{{printf "%5.2f|%x|%q|%v" 3.14159 .Name .Name .}}',
  '{{with .Map}}{{index . "a"}}{{else}}{{/* nothing */}}none{{end}}',
  '{{len .List | printf "%d"}}{{- " trim " -}}',
  "{{(index .List 0)}}{{slice .Name 1 2}}{{not true}}{{and 1 0}}{{or 0 1}}",
  '{{break}}{{continue}}{{block "b" .}}x{{end}}',
  "{{\"\\u00e4\\x41\\101\"}}{{`raw`}}{{'x'}}{{0x1F}}{{1e3}}{{1i}}",
  "{{".repeat(300),
  "{{(((((((((((((((((((((((((((((((((((((.)))}}",
]);
const data = fromJson({ Name: "größe", State: { Pid: 5 }, List: ["a", "b"], Map: { a: 1 } });

test("whatever a template is, it is carried out or refused in the language's words", async () => {
  let done = 0;
  await checkAll(templates, (source) => {
    try {
      const template = parse(source, dockerNames);
      expect(execute(template, data, { functions: dockerFunctions })).toBeString();
      done++;
    } catch (error) {
      if (!(error instanceof ParseError || error instanceof ExecError)) throw error;
      expect(error.message).not.toBe("");
    }
  });
  expect(done).toBeGreaterThan(10);
});
