import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ContainerStatsResponse } from "../../spec/engine-api.ts";
import { sorted, sortings, Watch } from "./model.ts";
import { drawTable, sparkline } from "./view.ts";

const GIB = 1 << 30;

function stats(cpuNs: number, received: number, written: number): ContainerStatsResponse {
  return {
    cpu_stats: { cpu_usage: { total_usage: cpuNs } },
    memory_stats: { usage: 300 << 20, limit: GIB, stats: { inactive_file: 44 << 20 } },
    networks: { eth0: { rx_bytes: received, tx_bytes: 0 } },
    blkio_stats: { io_service_bytes_recursive: [{ op: "Write", value: written }] },
    pids_stats: { current: 7 },
  } as ContainerStatsResponse;
}

const summaries = ["one", "two"].map((name) => ({
  Id: name,
  Names: [`/${name}`],
  Image: "busybox",
}));

test("rates are of the time between two looks; the first knows none", () => {
  const watch = new Watch();
  const [first] = watch.look(summaries, () => stats(5e9, 1000, 0), 1000);
  expect(first).toMatchObject({ cpuPercent: 0, received: 0, memory: 256 << 20, pids: 7 });
  const [second] = watch.look(summaries, () => stats(6e9, 5000, 2048), 3000);
  expect(second).toMatchObject({ cpuPercent: 50, received: 2000, writeRate: 1024 });
  expect(second?.cpuHistory).toEqual([0, 50]);
});

test("counters that begin anew, and containers that cannot be asked, are no negative use", () => {
  const watch = new Watch();
  watch.look(summaries, () => stats(5e9, 1000, 0), 1000);
  const [reborn] = watch.look(summaries, () => stats(1e6, 10, 0), 2000);
  expect(reborn).toMatchObject({ cpuPercent: 0, received: 0 });
  const [silent] = watch.look(summaries, () => undefined, 3000);
  expect(silent).toMatchObject({ cpuPercent: 0, memory: 0, name: "one" });
});

test("what has gone is forgotten", () => {
  const watch = new Watch();
  watch.look(summaries, () => stats(1e9, 0, 0), 1000);
  watch.look([], () => undefined, 2000);
  const [again] = watch.look(summaries, () => stats(9e9, 0, 0), 3000);
  expect(again?.cpuPercent).toBe(0);
});

test("every order is one, and equal rows stand by name", () => {
  const watch = new Watch();
  const usages = watch.look(summaries.toReversed(), () => stats(1, 1, 1), 1);
  for (const by of sortings)
    expect(sorted(usages, by).map(({ name }) => name)).toEqual(["one", "two"]);
  const busy = usages.map((usage) => ({ ...usage, memory: usage.name === "two" ? GIB : 1 }));
  expect(sorted(busy, "memory")[0]?.name).toBe("two");
});

test("a curve of an idle container is flat, a busy one's rises", () => {
  expect(sparkline([0, 0.3], 4)).toBe("  ▁▁");
  expect(sparkline([0, 50, 100], 3)).toBe("▁▅█");
});

test("a screen of any size is filled and not exceeded; nothing in a name is obeyed", () => {
  const watch = new Watch();
  const hostile = [
    ...summaries,
    { Id: "x", Names: ["/\x1b[2Jname\r\n"], Image: "宽宽宽宽宽宽宽宽宽宽宽宽" },
  ];
  const usages = watch.look(hostile, () => stats(1e9, 1, 1), 1000);
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 0, max: 500 }),
      (rows, columns) => {
        const choice = { sorting: "cpu", selected: "two", note: "" } as const;
        const lines = drawTable(usages, choice, { rows, columns, styled: false });
        expect(lines.length).toBeLessThanOrEqual(Math.max(1, rows));
        for (const line of lines) {
          expect(Bun.stringWidth(line)).toBeLessThanOrEqual(Math.max(1, columns));
          expect(line).not.toMatch(/[\x00-\x1f]/);
        }
        if (rows >= 4 && columns > 10) expect(lines.join("\n")).toContain(">wo");
      },
    ),
  );
});
