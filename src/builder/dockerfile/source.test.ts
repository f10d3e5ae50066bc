import { expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../../base/errors.ts";
import { parseInstruction } from "./instructions.ts";
import { readSource } from "./source.ts";

const instructions = (text: string) => readSource(text).instructions;
const said = (text: string) =>
  readSource(text).instructions.map((raw) => {
    const { raw: _, ...meaning } = parseInstruction(raw, readSource(text).escapeMark);
    return meaning;
  });

test("lines go on after the escape mark, over comments and empty lines", () => {
  const source = readSource("FROM a\nRUN one \\\n# a comment\n  && two \\\n\n  && three\nCMD x\n");
  expect(source.instructions.map(({ text }) => text)).toEqual([
    "FROM a",
    "RUN one   && two   && three",
    "CMD x",
  ]);
  expect(source.instructions.map(({ lines }) => lines)).toEqual([
    { first: 1, last: 1 },
    { first: 2, last: 6 },
    { first: 7, last: 7 },
  ]);
  expect(source.emptyContinuations).toEqual([{ first: 2, last: 6 }]);
});

test("directives stand at the top only; the escape mark may be another", () => {
  const source = readSource("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN a\\ `\n b\n");
  expect([...source.directives]).toEqual([
    ["syntax", "docker/dockerfile:1"],
    ["escape", "`"],
  ]);
  expect(source.instructions[1]?.text).toBe("RUN a\\  b");
  expect(readSource("FROM a\n# escape=`\nRUN x").escapeMark).toBe("\\");
  expect(() => readSource("# escape=\\\n# escape=`\nFROM a")).toThrow(/only one escape/);
  expect(() => readSource("# escape=x\nFROM a")).toThrow(/invalid escape token 'x'/);
});

test("here-documents: several, with tabs, quoted names, descriptors", () => {
  const [run, copy, tabs, plain] = instructions(
    "RUN <<A cat - 3<<'B'\nin a $x\n# no comment\nA\nin b \\\nB\nCOPY <<f1 <<\"f2\" /d/\n1\nf1\n2\nf2\nRUN <<-E\n\ta\n\t\tb\n\tE\nRUN echo $((1<<2))\n",
  );
  expect(run?.heredocs).toEqual([
    { name: "A", descriptor: "", chomp: false, expand: true, content: "in a $x\n# no comment\n" },
    { name: "B", descriptor: "3", chomp: false, expand: false, content: "in b \\\n" },
  ]);
  expect(copy?.heredocs.map(({ name, expand, content }) => [name, expand, content])).toEqual([
    ["f1", true, "1\n"],
    ["f2", false, "2\n"],
  ]);
  expect(tabs?.heredocs[0]?.content).toBe("a\nb\n");
  expect(plain?.heredocs).toEqual([]);
  expect(() => readSource("RUN <<A\nx\n")).toThrow(/line 1: unterminated heredoc/);
});

test("COPY takes files out of here-documents beside others", () => {
  expect(said('COPY --chown=1:2 <<a b "c d" /x/\nhi\na\n')).toEqual([
    {
      kind: "copy",
      sources: ["b", '"c d"'],
      inline: [{ name: "a", descriptor: "", chomp: false, expand: true, content: "hi\n" }],
      destination: "/x/",
      chown: "1:2",
      chmod: undefined,
      link: false,
      exclude: [],
      from: undefined,
      parents: false,
      keepGitDir: false,
    },
  ] as never);
});

test("commands are lists or text for a shell", () => {
  expect(said('CMD ["a", "b c"]\nENTRYPOINT [ "x", y ]\nRUN echo "hi"\n')).toEqual([
    { kind: "cmd", command: { form: "exec", args: ["a", "b c"] } },
    { kind: "entrypoint", command: { form: "shell", text: '[ "x", y ]' } },
    {
      kind: "run",
      command: { form: "shell", text: 'echo "hi"' },
      heredocs: [],
      mounts: [],
      network: "default",
      security: "sandbox",
    },
  ]);
});

test("pairs are old or new", () => {
  expect(said('ENV a="b c" d=e\\ f g=\nENV old the  rest \nLABEL "x y"=z\nARG P Q=1')).toEqual([
    {
      kind: "env",
      pairs: [
        ["a", '"b c"'],
        ["d", "e\\ f"],
        ["g", ""],
      ],
    },
    { kind: "env", pairs: [["old", "the  rest"]] },
    { kind: "label", pairs: [['"x y"', "z"]] },
    { kind: "arg", args: [{ name: "P" }, { name: "Q", value: "1" }] },
  ]);
});

test("health checks", () => {
  expect(
    said("HEALTHCHECK --interval=1m30s --retries=2 CMD curl x\nHEALTHCHECK none"),
  ).toMatchObject([
    { test: ["CMD-SHELL", "curl x"], interval: 90e9, retries: 2, timeout: undefined },
    { test: ["NONE"] },
  ]);
});

test("mistakes are told with their line, in Docker's words", () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ["", /file with no instructions/],
    ["# only\n", /file with no instructions/],
    ["FROM a\nRUM x", /line 2: unknown instruction: RUM \(did you mean RUN\?\)/],
    ["FROM a b", /either one or three arguments/],
    ["FROM a AS 1x", /invalid name for build stage: "1x"/],
    ["FROM --what=1 a", /unknown flag: --what/],
    ["FROM --platform a", /Missing a value on flag: platform/],
    ["COPY x", /COPY requires at least two arguments, but only 1 was provided/],
    ["COPY --link=maybe a b", /Expecting boolean value for flag link, not: maybe/],
    ["COPY --chown=1 --chown=2 a b", /Duplicate flag specified: chown/],
    ["ENV a=b c", /can't find = in "c"/],
    ["ENV a", /ENV must have two arguments/],
    ["LABEL", /LABEL requires at least one argument/],
    ["USER a b", /USER requires exactly one argument/],
    ["SHELL bash", /SHELL requires the arguments to be in JSON form/],
    ["HEALTHCHECK RUN x", /Unknown type "RUN" in HEALTHCHECK/],
    ["HEALTHCHECK --interval=fast CMD x", /invalid duration "fast"/],
    ["ONBUILD ONBUILD RUN x", /Chaining ONBUILD/],
    ["ONBUILD FROM x", /FROM isn't allowed as an ONBUILD trigger/],
    ["RUN --network=moon x", /invalid network mode: "moon"/],
  ];
  for (const [text, wanted] of rows) expect(() => said(text)).toThrow(wanted);
});

test("whatever the text is: instructions or a Fault", () => {
  const piece = fc.constantFrom(
    ..."FROM RUN COPY ADD ENV ARG ONBUILD HEALTHCHECK --from= --mount=type= << <<- EOF ' \" \\ ` [ ] , = $ { } \n \r \t # a".split(
      " ",
    ),
    " ",
    "\n",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      try {
        said(pieces.join(""));
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
      }
    }),
    { numRuns: 3000 },
  );
});
