import { expect, test } from "bun:test";
import { parsePlatform, parsePlatformJson, platformFits, platformText } from "./platform.ts";

test("platforms as users write them", () => {
  expect(platformText(parsePlatform("linux/arm64/v8"))).toBe("linux/arm64/v8");
  expect(platformText(parsePlatform("Linux/x86_64"))).toBe("linux/amd64");
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
