/**
 * Every template of gotypes/fixture/templates.txt gives what docker's own types give, and what they do not have is found
 * in the JSON. cases.jsonl has docker's outputs and errors, as generate.go writes them (Go is needed for nothing else).
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { inspector } from "./answers.ts";

const directory = join(import.meta.dir, "../gotypes/fixture");
const answers = JSON.parse(readFileSync(join(directory, "answers.json"), "utf8")) as Readonly<
  Record<string, unknown>
>;

interface Case {
  readonly kind: string;
  readonly template: string;
  readonly out: string;
  readonly error?: string;
}

function said({ kind, template }: Case): Case {
  try {
    return { kind, template, out: inspector(template)(kind, answers[kind]).slice(0, -1) };
  } catch (error) {
    const why = messageOf(error).replace("template parsing error: ", "");
    return { kind, template, out: "", error: why };
  }
}

test("answers are shown as docker's types show them", () => {
  const cases = readFileSync(join(directory, "cases.jsonl"), "utf8").trim().split("\n");
  for (const line of cases) {
    const one = JSON.parse(line) as Case;
    expect(said(one)).toEqual(one);
  }
  expect(cases.length).toBeGreaterThan(90);
});

test("a key that is missing is an error once an object was taken as it came", () => {
  const show = inspector("{{.Labels.nope}}{{.Extra}}");
  expect(() => show("volume", { Labels: {} })).toThrow('map has no entry for key "nope"');
  const other = inspector("{{.Labels.nope}}{{with .Extra}}{{end}}");
  expect(() => other("volume", { Labels: { nope: "" }, Extra: 1 })).not.toThrow();
  expect(() => other("volume", { Labels: {}, Extra: 1 })).toThrow(
    'map has no entry for key "nope"',
  );
});
