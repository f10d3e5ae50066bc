import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Trash } from "./trash.ts";

test("a tree is gone at once, its files soon, and an earlier process's rest at the next emptying", async () => {
  const directory = mkdtempSync("/tmp/trash-");
  const bin = `${directory}/bin`;
  mkdirSync(`${bin}/left/deep`, { recursive: true });
  writeFileSync(`${bin}/left/deep/file`, "x");
  mkdirSync(`${directory}/tree/sub`, { recursive: true });
  writeFileSync(`${directory}/tree/sub/file`, "x");
  const trash = new Trash(bin);
  trash.discard(`${directory}/tree`);
  trash.discard(`${directory}/never-was`);
  expect(existsSync(`${directory}/tree`)).toBe(false);
  await trash.settled();
  expect(readdirSync(bin)).toEqual(["left"]);
  trash.empty();
  await trash.settled();
  expect(readdirSync(bin)).toEqual([]);
  rmSync(directory, { recursive: true });
});
