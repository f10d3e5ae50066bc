/** Attributes that are asked for ahead. */
import { afterAll, expect, test } from "bun:test";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { messageOf } from "../../base/errors.ts";
import { sendError } from "../../base/thread-errors.ts";
import { AttributesAhead } from "./attributes.ts";

const root = mkdtempSync("/tmp/berth-attributes-");
afterAll(() => rmSync(root, { recursive: true }));

function directory(name: string, files: readonly string[]): string {
  mkdirSync(`${root}/${name}`);
  for (const file of files) writeFileSync(`${root}/${name}/${file}`, "");
  return `${root}/${name}`;
}

/** Each file has an attribute that says what it is called. */
function asking() {
  const questions: (readonly string[])[] = [];
  const ahead = new AttributesAhead(async (paths) => {
    questions.push(paths);
    return paths.map((path) => {
      const name = path.slice(path.lastIndexOf("/") + 1);
      if (name.startsWith("gone")) return { error: sendError(new Error(`no ${name}`)) };
      return name.startsWith("none") ? undefined : new Map([[name, new Uint8Array(1)]]);
    });
  });
  const of = async (fd: number, name: string) => [
    ...(await ahead.of(`/proc/${process.pid}/fd/${fd}/${name}`)).keys(),
  ];
  return { questions, of };
}

test("the files of a directory in their order are few questions; each gets its own answer", async () => {
  const names = Array.from({ length: 300 }, (_, index) => `f${String(index).padStart(3, "0")}`);
  const fd = openSync(directory("many", names), "r");
  const { questions, of } = asking();
  for (const name of names) expect(await of(fd, name)).toEqual([name]);
  expect(questions.length).toBe(3);
  // Another order, and once more.
  for (const name of ["f200", "f007", "f200"]) expect(await of(fd, name)).toEqual([name]);
  closeSync(fd);
});

test("a descriptor that is used again for another directory has that one's answers", async () => {
  const { of, questions } = asking();
  const first = openSync(directory("a", ["x", "y", "none"]), "r");
  expect(await of(first, "x")).toEqual(["x"]);
  closeSync(first);
  const second = openSync(directory("b", ["gone", "none", "y"]), "r");
  expect(second).toBe(first);
  expect(await of(second, "gone").then(() => "", messageOf)).toBe("no gone");
  expect(await of(second, "none")).toEqual([]);
  expect(await of(second, "y")).toEqual(["y"]);
  expect(questions.length).toBe(2);
  expect(await of(second, ".")).toEqual(["."]);
  closeSync(second);
});
