import { expect, test } from "bun:test";
import {
  parsePlatform,
  parsePlatformJson,
  platformFits,
  platformRank,
  platformText,
  usualPlatform,
} from "./platform.ts";

test("platforms as users write them", () => {
  expect(platformText(parsePlatform("linux/arm64/v8"))).toBe("linux/arm64/v8");
  expect(platformText(parsePlatform("Linux/x86_64"))).toBe("linux/amd64");
  const here = process.arch === "x64" ? "amd64" : process.arch;
  expect(parsePlatform("Linux")).toEqual({ os: "linux", architecture: here });
  expect(platformText(parsePlatform("aarch64"))).toBe("linux/arm64");
  for (const text of ["", "linux/", "nosuch", "a/b/c/d", "linux/a b"])
    expect(() => parsePlatform(text), text).toThrow("invalid argument");
});

test("platforms as JSON", () => {
  expect(parsePlatformJson('{"os":"linux","architecture":"amd64"}')).toEqual({
    os: "linux",
    architecture: "amd64",
  });
  for (const text of ["", "{", "[]", "null", '{"os":"linux"}'])
    expect(() => parsePlatformJson(text), text).toThrow("invalid platform");
});

test("a variant counts only where both have one", () => {
  const [v7, v8] = [parsePlatform("linux/arm/v7"), parsePlatform("linux/arm/v8")];
  expect(platformFits(v7, v8)).toBe(false);
  expect(platformFits(v7, parsePlatform("linux/arm"))).toBe(true);
  expect(platformFits(v7, parsePlatform("linux/amd64"))).toBe(false);
});

/** What is taken of an index, the best first. */
function ranked(wanted: string, ...there: string[]): string[] {
  const rank = (text: string) => platformRank(parsePlatform(wanted), parsePlatform(text));
  return there
    .filter((text) => rank(text) !== undefined)
    .sort((a, b) => (rank(a) ?? 0) - (rank(b) ?? 0));
}

test("a processor runs what was made for its lower variants, and the nearest is the best", () => {
  const arms = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8", "linux/arm64"];
  expect(ranked("linux/arm/v7", ...arms)).toEqual(["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]);
  expect(ranked("linux/arm/v6", ...arms)).toEqual(["linux/arm/v6", "linux/arm/v5"]);
  expect(ranked("linux/arm", ...arms)[0]).toBe("linux/arm/v7");
  expect(ranked("linux/arm64", ...arms)).toEqual([
    "linux/arm64",
    "linux/arm/v8",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/arm/v5",
  ]);
  expect(ranked("linux/arm64/v8", "linux/arm64", "linux/arm64/v9")).toEqual(["linux/arm64"]);
  const intel = ["linux/386", "linux/amd64/v3", "linux/amd64/v2", "linux/amd64"];
  expect(ranked("linux/amd64", ...intel)).toEqual(["linux/amd64", "linux/386"]);
  expect(ranked("linux/amd64/v2", ...intel)).toEqual([
    "linux/amd64/v2",
    "linux/amd64",
    "linux/386",
  ]);
  expect(ranked("linux/amd64", "windows/amd64", "linux/s390x")).toEqual([]);
  expect(ranked("linux/arm/odd", "linux/arm/odd", "linux/arm/v7")).toEqual(["linux/arm/odd"]);
});

test("variants that are meant anyway are left out, and those of arm are written", () => {
  const usual = (text: string) => platformText(usualPlatform(parsePlatform(text)));
  expect(["linux/arm64/v8", "linux/arm64/8", "linux/arm64"].map(usual)).toEqual(
    Array(3).fill("linux/arm64"),
  );
  expect(["linux/arm", "linux/arm/6", "linux/amd64/v1", "linux/amd64/v2"].map(usual)).toEqual([
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/amd64",
    "linux/amd64/v2",
  ]);
});
