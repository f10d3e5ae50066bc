import { expect, test } from "bun:test";
import { expositionFor, expositionOf, type Family, Histogram, Timings } from "./metrics.ts";

const families: readonly Family[] = [
  {
    name: "things_total",
    type: "counter",
    help: 'Things "of" a\\b\nkind',
    samples: [{ labels: { name: 'a"b\\c\nd' }, value: 3 }],
  },
  { name: "level", type: "gauge", help: "Level", samples: [{ value: Number.POSITIVE_INFINITY }] },
  { name: "absent", type: "gauge", help: "Absent", samples: [] },
];

test("the text is what Prometheus reads", () => {
  expect(expositionOf(families, "text")).toBe(
    [
      '# HELP things_total Things "of" a\\\\b\\nkind',
      "# TYPE things_total counter",
      'things_total{name="a\\"b\\\\c\\nd"} 3',
      "# HELP level Level",
      "# TYPE level gauge",
      "level +Inf",
      "",
    ].join("\n"),
  );
});

test("OpenMetrics names a counter's family without _total, and says where the text ends", () => {
  const text = expositionOf(families, "openmetrics");
  expect(text).toContain(
    '# HELP things Things \\"of\\" a\\\\b\\nkind\n# TYPE things counter\nthings_total{',
  );
  expect(text.endsWith("level +Inf\n# EOF\n")).toBe(true);
  const accept =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
  expect([accept, "text/plain", undefined].map(expositionFor)).toEqual([
    "openmetrics",
    "text",
    "text",
  ]);
});

test("a histogram's buckets add up", () => {
  const histogram = new Histogram();
  for (const seconds of [0.001, 0.005, 0.3, 60]) histogram.observe(seconds);
  const family: Family = {
    name: "took_seconds",
    type: "histogram",
    help: "Took",
    samples: histogram.samples({ action: "start" }),
  };
  const text = expositionOf([family], "openmetrics");
  expect(text).toContain('took_seconds_bucket{action="start",le="0.005"} 2\n');
  expect(text).toContain('took_seconds_bucket{action="start",le="0.25"} 2\n');
  expect(text).toContain('took_seconds_bucket{action="start",le="10.0"} 3\n');
  expect(text).toContain('took_seconds_bucket{action="start",le="+Inf"} 4\n');
  expect(text).toContain('took_seconds_sum{action="start"} 60.306\n');
  expect(text).toContain('took_seconds_count{action="start"} 4\n');
});

test("what fails is not timed", async () => {
  const timings = new Timings(["run"]);
  await timings.time("run", async () => {});
  await expect(timings.time("run", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(timings.samples().at(-1)).toEqual({ labels: { action: "run" }, value: 1, part: "count" });
});
