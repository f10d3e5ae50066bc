import { expect, test } from "bun:test";
import { changedFiles, type ListedFile, parseContextList } from "./context-list.ts";

const file = (path: string, change: Partial<Record<number, number | string>> = {}): ListedFile =>
  [path, 0o100644, 5, 1000, "1:2:3", ""].map((one, at) => change[at] ?? one) as never;

test("a file is known again only when everything about it is as it was", () => {
  const before = [file("a"), file("b"), file("c"), file("d", { 4: "" }), file("gone")];
  expect(changedFiles(before, before.slice(0, 3))).toEqual([]);
  const rows = [{ 1: 0o100755 }, { 2: 6 }, { 3: 1001 }, { 4: "1:2:4" }, { 5: "x" }];
  for (const change of rows)
    expect(changedFiles(before, [file("a"), file("b", change)])).toEqual([1]);
  expect(changedFiles(before, [file("d", { 4: "" }), file("new")])).toEqual([0, 1]);
});

test("a list with a path that leads elsewhere is none", () => {
  const good = [file("a/b"), file("..a"), file(".hidden")];
  expect(parseContextList(JSON.stringify(good))).toEqual(good);
  for (const path of ["", "/a", "a//b", "a/", "..", "a/../b", "./a"])
    expect(parseContextList(JSON.stringify([file(path)]))).toBeUndefined();
  for (const text of [
    "",
    "{}",
    "[1]",
    '[["a"]]',
    '[["a",1,2,null,"",""]]',
    '[["a","1",2,3,"",""]]',
  ])
    expect(parseContextList(text)).toBeUndefined();
});
