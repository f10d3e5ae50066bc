import { expect, test } from "bun:test";
import { parseFloat64, parseRational } from "./go-numbers.ts";

/** In thousandths; undefined for what is no number. */
const thousandths = (text: string) => {
  const found = parseRational(text);
  return found && Number((found.numerator * 1000n) / found.denominator);
};

// What docker 28.2's --cpus takes, one by one.
test.each([
  ["1/2", 500],
  ["+1/2", 500],
  ["-1/2", -500],
  ["1e-1", 100],
  ["1E-1", 100],
  ["5.e-1", 500],
  ["1e1_0", 1e13],
  ["0x1p-1", 500],
  ["0x1.8", 1500],
  ["0x1e2", 482_000],
  ["0b1e2", 100_000],
  ["0b1.1", 1500],
  ["1p2", 4000],
  ["0o7", 7000],
  ["010", 10_000],
  ["010/2", 4000],
  ["0_7/1", 7000],
  ["08", 8000],
  ["00.5", 500],
  ["1_0.5", 10_500],
  ["0x_1", 1000],
  ["3.", 3000],
  [".5", 500],
] as const)("%s is a rational number", (text, expected) => {
  expect(thousandths(text)).toBe(expected);
});

test.each([
  ...[
    "",
    " 1",
    "1 / 2",
    "1/",
    "/2",
    "1/0",
    "1/+2",
    "2/-1",
    "1/2/3",
    "1e2/2",
    "1.5/2",
    "08/2",
    "0o8",
  ],
  ...[
    ".",
    ".e1",
    "1_",
    "_1",
    "1._5",
    "1__0",
    "1.5.5",
    "inf",
    "nan",
    "1e",
    "0x",
    "1e99999999999",
    "--1",
  ],
])("%p is none", (text) => {
  expect(thousandths(text)).toBeUndefined();
});

test("floating-point numbers are Go's", () => {
  expect(["1e3", "+5", "-0.5", "1_0", "5.", ".5", "1e400", "0x1p4"].map(parseFloat64)).toEqual([
    ...[1000, 5, -0.5, 10, 5, 0.5, Number.POSITIVE_INFINITY, 16],
  ]);
  for (const text of ["", "0x10", "5 ", "b5", "_1", "1__0", "0b1", "5.5.5", "1/2", "e5", "+-5"])
    expect([text, parseFloat64(text)]).toEqual([text, undefined]);
});
