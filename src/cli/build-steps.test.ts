import { expect, test } from "bun:test";
import { BuildSteps, excerptLines, type ShownStep } from "./build-steps.ts";
import { LiveView } from "./build-view.ts";

const silent = { line: () => {}, begun: () => {}, ended: () => {}, warning: () => {} };
const step = (number: number) =>
  ({
    kind: "step",
    step: number,
    total: 9,
    stage: "",
    text: `RUN ${number}`,
    place: { at: number, of: 9 },
  }) as const;

test("output in pieces becomes lines; what is written over itself counts as it ends", () => {
  const lines: string[] = [];
  const steps = new BuildSteps({ ...silent, line: (_, text) => lines.push(text) });
  steps.take(step(1), 1000);
  const say = (text: string, time: number) =>
    steps.take({ kind: "output", step: 1, stream: "stdout", text }, time);
  say("ha", 1500);
  say("lf\n10%\r50%\r100%\r\nlast", 2000);
  steps.take({ kind: "done", step: 1, layer: undefined }, 2500);
  expect(lines).toEqual(["1.000 half", "1.000 100%", "1.500 last"]);
  expect(steps.all[0]).toMatchObject({ title: "[1/9] RUN 1", state: "done", ended: 2500 });
});

test("a view is never taller than the terminal, and nothing that a step writes moves its cursor", () => {
  let shown = "";
  const view = new LiveView(
    (text) => {
      shown += text;
    },
    () => ({ rows: 10, columns: 40 }),
  );
  const steps = new BuildSteps(silent);
  for (let number = 1; number <= 30; number++) steps.take(step(number), 0);
  for (let number = 1; number <= 25; number++)
    steps.take({ kind: "done", step: number, layer: undefined }, 100);
  steps.take(
    { kind: "output", step: 30, stream: "stdout", text: "a\x1b[5A\x1b]0;t\x07\x9bbc\n" },
    0,
  );
  view.draw(steps.all, 1000);
  expect(shown.split("\n").length - 1).toBeLessThanOrEqual(9);
  for (const number of [26, 27, 28, 29, 30]) expect(shown).toContain(`RUN ${number} `);
  expect(shown).toMatch(/# 0\.000 abc/);
  for (const line of shown.split("\n")) expect(Bun.stringWidth(line)).toBeLessThan(40);
  view.draw(steps.all, 1000);
  expect(shown).toContain("\x1b[9A");
  shown = "";
  view.finish(steps.all as ShownStep[], 2000);
  expect(shown.match(/RUN \d+ /g)?.length).toBe(30);
});

test("an excerpt marks the lines that are meant", () => {
  const excerpt = { from: 9, lines: ["a", "b", "c"], marked: [10, 10] } as const;
  expect(excerptLines(excerpt, "D")).toEqual([
    "D:10",
    "-".repeat(20),
    "   9 |     a",
    "  10 | >>> b",
    "  11 |     c",
    "-".repeat(20),
  ]);
});
