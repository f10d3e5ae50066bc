import { expect, test } from "bun:test";
import fc from "fast-check";
import { completionOf, splitLine } from "./completion.ts";
import { flag } from "./flags.ts";

const flags = [
  flag("interactive", "i", "bool", "Keep STDIN open"),
  flag("tty", "t", "bool", "Allocate a terminal"),
  flag("network", "", "network", "Connect to a network"),
  flag("env", "e", "list", "Set variables"),
  flag("secret", "", "string", ""),
];
const run = { usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]", flags, interspersed: false };
const at = (line: string, command: Parameters<typeof completionOf>[1] = run, name = "run") =>
  completionOf(name, command, splitLine(line));

test("arguments, by the words of the usage text", () => {
  expect(at("").wanted).toEqual({ kind: "names", of: ["image"] });
  expect(at("-it --network x bus").wanted).toEqual({ kind: "names", of: ["image"] });
  expect(at("busybox ").wanted).toEqual({ kind: "files" });
  expect(at("busybox -x --net").wanted).toEqual({ kind: "files" });
  const stop = { usage: "[OPTIONS] CONTAINER [CONTAINER...]", flags: [] };
  expect(at("a b c", stop, "stop").wanted).toEqual({ kind: "names", of: ["running"] });
  expect(at("a ", stop, "rm").wanted).toEqual({ kind: "names", of: ["container"] });
  expect(at("", { usage: "[OPTIONS] PATH | URL | -", flags: [] }, "build").wanted.kind).toBe(
    "directories",
  );
  expect(at("a b ", { usage: "CONTAINER NEW_NAME", flags: [] }, "rename").wanted.kind).toBe(
    "nothing",
  );
});

test("flags and their values, in every spelling", () => {
  expect(at("--n").wanted).toEqual({
    kind: "words",
    words: expect.arrayContaining(["--network\tConnect to a network"]),
  });
  expect(JSON.stringify(at("-").wanted)).not.toContain("secret");
  expect(at("--network ")).toEqual({
    wanted: { kind: "names", of: ["network"] },
    before: "",
    prefix: "",
  });
  expect(at("--network=my")).toEqual({
    wanted: { kind: "names", of: ["network"] },
    before: "--network=",
    prefix: "my",
  });
  expect(at("-e ").wanted.kind).toBe("nothing");
  expect(at("-ite ").wanted.kind).toBe("nothing");
  expect(at("-it ").wanted).toEqual({ kind: "names", of: ["image"] });
  expect(at("-e A=1 -- -i").wanted).toEqual({ kind: "names", of: ["image"] });
});

test("a line is split as a shell does", () => {
  expect(splitLine(`berth run 'a b' "c \\" d" e\\ f`)).toEqual([
    "berth",
    "run",
    "a b",
    'c " d',
    "e f",
  ]);
  expect(splitLine("berth ")).toEqual(["berth", ""]);
  expect(splitLine("")).toEqual([""]);
  expect(splitLine("a  ''  ")).toEqual(["a", "", ""]);
});

test("whatever is written, there is an answer", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme-ascii" }), (line) => {
      expect(["names", "words", "files", "directories", "nothing"]).toContain(at(line).wanted.kind);
    }),
  );
});
