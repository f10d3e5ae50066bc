import { expect, test } from "bun:test";
import { amountText, ProgressBars } from "./progress-bars.ts";

/** A terminal that obeys what bars need: its lines, as somebody sees them at the end. */
function screen(): { readonly write: (text: string) => void; readonly lines: string[] } {
  const lines: string[] = [""];
  let row = 0;
  const write = (text: string) => {
    for (const part of text.match(/\x1b\[\d*[AKJ]|\r|\n|[^\x1b\r\n]+/g) ?? []) {
      if (part === "\n") row++;
      else if (part.endsWith("A") && part.startsWith("\x1b")) row -= Number(part.slice(2, -1));
      else if (part === "\x1b[J") lines.splice(row);
      else if (part !== "\r" && part !== "\x1b[K") lines[row] = part;
      if (row < 0) throw new Error("above the screen");
      lines[row] ??= "";
    }
  };
  return { write, lines };
}

const MB = 1e6;

test("a bar has its rate and the time left", () => {
  expect(amountText({ current: 50 * MB, total: 100 * MB }, 10 * MB)).toBe(
    "[==========>         ]  50MB/100MB  10MB/s  5s left",
  );
  expect(amountText({ current: 100 * MB, total: 100 * MB }, 10 * MB)).toBe(
    "[====================]  100MB/100MB  10MB/s",
  );
  expect(amountText({ current: 5 * MB, total: undefined }, undefined)).toBe("5MB");
  expect(amountText({ current: 1, total: 4000 * MB }, MB)).toContain("1h6m left");
});

test("several things have a line each, in one place; what is hostile in them moves nothing", () => {
  let now = 0;
  const { write, lines } = screen();
  const bars = new ProgressBars(
    write,
    () => ({ rows: 24, columns: 80 }),
    () => now,
  );
  for (let step = 0; step <= 10; step++, now += 1000) {
    bars.show("aaa", "Downloading", { current: step * MB, total: 20 * MB });
    bars.show("bbb", "Downloading", { current: step * 2 * MB, total: 20 * MB });
    bars.show("ccc\x1b[2J", "Wait\ning\x1b[5A");
  }
  expect(lines.slice(0, 3)).toEqual([
    "aaa: Downloading [==========>         ]  10MB/20MB  1MB/s  10s left",
    "bbb: Downloading [====================]  20MB/20MB  2MB/s",
    "ccc: Waiting",
  ]);
  bars.show("aaa", "Pull complete");
  bars.finish();
  expect(lines[0]).toBe("aaa: Pull complete");
  expect(lines).toHaveLength(4);
});

test("a small terminal shows what goes on before what is over, and is never exceeded", () => {
  const { write, lines } = screen();
  let now = 0;
  const bars = new ProgressBars(
    write,
    () => ({ rows: 5, columns: 30 }),
    () => (now += 100),
  );
  for (let layer = 0; layer < 10; layer++) bars.show(`layer${layer}`, "Pull complete");
  bars.show("busy", "Extracting", { current: 5, total: 10 });
  expect(lines.filter((line) => line !== "").length).toBeLessThanOrEqual(4);
  expect(lines.join("\n")).toContain("busy: Extracting [");
  for (const line of lines) expect(line.length).toBeLessThan(30);
  bars.finish();
  expect(lines.filter((line) => line !== "")).toHaveLength(11);
});

test("a terminal of one column, and one that tells no size", () => {
  for (const size of [
    { rows: 1, columns: 1 },
    { rows: 0, columns: 0 },
  ]) {
    const { write, lines } = screen();
    const bars = new ProgressBars(
      write,
      () => size,
      () => 0,
    );
    bars.show("a", "Downloading", { current: 1, total: 2 });
    bars.finish();
    expect(lines.length).toBeGreaterThan(0);
  }
});
