import { expect, test } from "bun:test";
import fc from "fast-check";
import { Fault } from "../../base/errors.ts";
import { expandText, expandWord, expandWords, splitWords } from "./words.ts";

const values: Readonly<Record<string, string>> = {
  A: "one two",
  B: "",
  PATH: "/usr/bin:/bin",
  V: "v1.2.3",
  "1": "first",
};
const of = (name: string) => values[name];
const word = (text: string) => expandWord(text, "\\", of);

test("variables, plain and in braces, with what stands around them", () => {
  expect(word("$A")).toBe("one two");
  expect(word("a${A}b")).toBe("aone twob");
  expect(word("$UNSET-x")).toBe("-x");
  expect(word("$A.$V")).toBe("one two.v1.2.3");
  expect(word("100$")).toBe("100$");
  expect(word("$1$11")).toBe("first");
});

test("quotes and escapes are taken away; single quotes hold everything", () => {
  expect(word(`"$A"'$A'`)).toBe("one two$A");
  expect(word("\\$A")).toBe("$A");
  expect(word('"\\$A \\" \\x"')).toBe('$A " \\x');
  expect(word("a\\ b")).toBe("a b");
  expect(expandWord("C:\\dir`$A", "`", of)).toBe("C:\\dir$A");
});

test("modifiers of unset and empty values", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["${U:-w}", "w"],
    ["${U-w}", "w"],
    ["${B:-w}", "w"],
    ["${B-w}", ""],
    ["${A:-w}", "one two"],
    ["${U:+w}", ""],
    ["${B:+w}", ""],
    ["${B+w}", "w"],
    ["${A:+$V}", "v1.2.3"],
    ["${U:-${X:-deep}}", "deep"],
    ["${A:?no}", "one two"],
  ];
  for (const [text, wanted] of rows) expect([text, word(text)]).toEqual([text, wanted]);
});

test("modifiers that cut and replace, shortest and longest", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["${PATH#*/}", "usr/bin:/bin"],
    ["${PATH##*/}", "bin"],
    ["${PATH%/*}", "/usr/bin:"],
    ["${PATH%%/*}", ""],
    ["${V%.?}", "v1.2"],
    ["${V%%.*}", "v1"],
    ["${V#v}", "1.2.3"],
    ["${V/./-}", "v1-2.3"],
    ["${V//./-}", "v1-2-3"],
    ["${PATH/\\/bin/X}", "/usrX:/bin"],
    ["${V#\\*}", "v1.2.3"],
    ["${V/*/x}", "x"],
    ["${V/2*/}", "v1."],
    ["${V//?/x}", "xxxxxx"],
    ["${B/*/x}", "x"],
  ];
  for (const [text, wanted] of rows) expect([text, word(text)]).toEqual([text, wanted]);
});

test("what makes no sense is refused in Docker's words", () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ["${", /missing '}'/],
    ["${A", /missing '}'/],
    ["${}", /bad substitution/],
    ["${:x}", /bad substitution/],
    ["${A:#x}", /unsupported modifier \(:#\)/],
    ["${A!x}", /unsupported modifier/],
    ["${A:-x", /missing '}'/],
    ["${U:?}", /U: is not allowed to be unset/],
    ["${B:?}", /B: is not allowed to be empty/],
    ["${U?give one}", /U: give one/],
    ["'a", /single-quote/],
    ['"a', /double-quote/],
  ];
  for (const [text, wanted] of rows) expect(() => word(text)).toThrow(wanted);
});

test("words are split at white space, also at that of variables, but not in quotes", () => {
  expect(expandWords(`a "b c" $A "$A" d\\ e`, "\\", of)).toEqual([
    "a",
    "b c",
    "one",
    "two",
    "one two",
    "d e",
  ]);
  expect(expandWords("  $U  ", "\\", of)).toEqual([]);
  expect(splitWords("a 'b c' $A", "\\", { quotes: "keep", escapes: "keep" })).toEqual([
    "a",
    "'b c'",
    "$A",
  ]);
});

test("in a here-document quotes are text", () => {
  expect(expandText(`it's "$V" \\$V\n`, of)).toBe(`it's "v1.2.3" $V\n`);
});

test("whatever the text is: a value or a Fault, soon", () => {
  const alphabet = fc.constantFrom(..."ab1 $${}:-+?#%/*\\'\"`\n\tAB_é𝄞".split(""));
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 60 }), (chars) => {
      try {
        expandWords(chars.join(""), "\\", of);
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
      }
    }),
    { numRuns: 3000 },
  );
});

test("a value that grows with every use is stopped", () => {
  const long = "x".repeat(1 << 19);
  expect(() => expandWord("$L$L$L", "\\", () => long)).toThrow(/too large/);
});

test("a pattern that would take for ever is stopped", () => {
  const long = () => "a".repeat(100_000);
  expect(expandWord("${L#*a*a*a*a*a*a*a*a*b}", "\\", long)).toBe(long());
  expect(() => expandWord("${L//*a*a*a*a*b/x}", "\\", long)).toThrow(/takes too long/);
});
