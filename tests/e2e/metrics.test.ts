/** Metrics for Prometheus, on the API's socket and on an address of their own. */
import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";

const daemon = daemonOfFile(["--metrics-addr", "127.0.0.1:0"]);

interface Metric {
  readonly type: string;
  readonly samples: ReadonlyMap<string, number>;
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
const sampleLine = new RegExp(`^(${NAME})(\\{${LABEL}(?:,${LABEL})*\\})? (\\S+)$`);

/** Reads the text as strictly as its description allows: each family once and in one piece, no sample twice. */
function parse(text: string): Map<string, Metric> {
  expect(text.endsWith("\n")).toBe(true);
  const metrics = new Map<string, Metric>();
  let family = "";
  let described = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const help = new RegExp(`^# HELP (${NAME}) ([^\\n]+)$`).exec(line);
    const type = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`).exec(line);
    if (help !== null) {
      described = help[1] ?? "";
      continue;
    }
    if (type !== null) {
      family = type[1] ?? "";
      expect([family, metrics.has(family)]).toEqual([described, false]);
      metrics.set(family, { type: type[2] ?? "", samples: new Map() });
      continue;
    }
    const sample = sampleLine.exec(line);
    if (sample === null) throw new Error(`not a sample: ${line}`);
    const [, name = "", labels = "", value = ""] = sample;
    const metric = metrics.get(family);
    const allowed =
      metric?.type === "histogram"
        ? ["_bucket", "_sum", "_count"].map((end) => family + end)
        : [family];
    expect(allowed).toContain(name);
    expect(value).toMatch(/^([+-]?(\d+(\.\d+)?(e[+-]?\d+)?|Inf)|NaN)$/);
    const samples = metric?.samples as Map<string, number>;
    expect([line, samples.has(name + labels)]).toEqual([line, false]);
    samples.set(name + labels, Number(value.replace("Inf", "Infinity")));
  }
  return metrics;
}

/** Buckets only grow, and the last is the count. */
function checkHistogram(name: string, { samples }: Metric): void {
  const series = new Map<string, number[]>();
  for (const [key, value] of samples) {
    const bucket = /_bucket\{(.*),?le="[^"]*"\}$/.exec(key);
    if (bucket !== null)
      series.set(bucket[1] ?? "", [...(series.get(bucket[1] ?? "") ?? []), value]);
  }
  expect(series.size).toBeGreaterThan(0);
  for (const [labels, values] of series) {
    expect(values.toSorted((a, b) => a - b)).toEqual(values);
    expect(values.at(-1)).toBe(samples.get(`${name}_count{${labels.replace(/,$/, "")}}`) ?? -1);
  }
}

async function scrape(): Promise<Map<string, Metric>> {
  const { status, text } = await daemon.api("GET", "/metrics");
  expect(status).toBe(200);
  return parse(text);
}

const numberOf = (metrics: Map<string, Metric>, name: string, labels = "") => {
  const family = name.replace(/_(count|sum|bucket)$/, "");
  return (metrics.get(name) ?? metrics.get(family))?.samples.get(name + labels) ?? -1;
};

test("counts follow what is done, under dockerd's names", async () => {
  const before = await scrape();
  await daemon.berth("run", "-d", "--name", "works", "busybox", "sleep", "1000");
  await daemon.docker("run", "--name", "done", "busybox", "true");
  await daemon.docker("create", "--name", "never", "busybox", "true");
  await daemon.docker("pause", "works");
  await daemon.docker("commit", "done", "committed");
  await daemon.docker("diff", "done");
  await daemon.docker("rm", "done");
  expect((await daemon.docker("start", "nobody")).status).toBe(1);
  const after = await scrape();
  const actions = "engine_daemon_container_actions_seconds";
  for (const [action, times] of Object.entries({
    create: 3,
    start: 2,
    delete: 1,
    commit: 1,
    changes: 1,
  })) {
    const count = (metrics: Map<string, Metric>) =>
      numberOf(metrics, `${actions}_count`, `{action="${action}"}`);
    expect([action, count(after) - count(before)]).toEqual([action, times]);
  }
  const states = ["running", "paused", "stopped"].map((state) =>
    numberOf(after, "engine_daemon_container_states_containers", `{state="${state}"}`),
  );
  expect(states).toEqual([0, 1, 1]);
  const events = (metrics: Map<string, Metric>) => numberOf(metrics, "engine_daemon_events_total");
  expect(events(after)).toBeGreaterThanOrEqual(events(before) + 10);
  for (const [name, metric] of after) if (metric.type === "histogram") checkHistogram(name, metric);
  const { OperatingSystem, NCPU } = JSON.parse((await daemon.api("GET", "/info")).text);
  const [info = ""] = after.get("engine_daemon_engine_info")?.samples.keys() ?? [];
  expect(info).toContain(`os="${OperatingSystem}"`);
  expect(numberOf(after, "engine_daemon_engine_cpus_cpus")).toBe(NCPU);
  expect(numberOf(after, "process_resident_memory_bytes")).toBeGreaterThan(10 << 20);
  expect(numberOf(after, "process_open_fds")).toBeGreaterThan(5);
  expect(Math.abs(numberOf(after, "process_start_time_seconds") - Date.now() / 1000)).toBeLessThan(
    120,
  );
  await daemon.berth("rm", "-f", "works", "never");
  await daemon.berth("rmi", "committed");
});

test("health checks and restarts are counted", async () => {
  const before = await scrape();
  await daemon.berth(
    ...["run", "-d", "--name", "sick", "--health-cmd", "false", "--health-interval", "20ms"],
    ...["--health-retries", "1", "busybox", "sleep", "1000"],
  );
  await daemon.until("sick", "{{.State.Health.Status}}", "unhealthy");
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "loop",
    "--restart",
    "on-failure:2",
    "busybox",
    "false",
  );
  await daemon.until("loop", "{{.State.Status}} {{.RestartCount}}", "exited 2");
  const after = await scrape();
  for (const name of [
    "engine_daemon_health_checks_total",
    "engine_daemon_health_checks_failed_total",
  ])
    expect(numberOf(after, name)).toBeGreaterThan(numberOf(before, name));
  const find = (family: string, text: string) =>
    [...(after.get(family)?.samples ?? [])].find(([key]) => key.includes(text));
  expect(find("berth_container_restarts_total", 'name="loop"')?.[1]).toBe(2);
  expect(find("berth_container_log_losses_total", `name="loop"`)?.[1]).toBe(0);
  expect(find("berth_container_health_status", 'name="sick"')?.[0]).toContain('status="unhealthy"');
  await daemon.berth("rm", "-f", "sick", "loop");
});

test("what each container uses, under cAdvisor's names; one that does not run uses nothing", async () => {
  const label = ["--label", "x=y"];
  const work = "dd if=/dev/zero of=/f bs=1M count=8; exec sleep 1000";
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "used",
    "-m",
    "64m",
    ...label,
    "busybox",
    "sh",
    "-c",
    work,
  );
  const id = await daemon.inspect("used", "{{.Id}}");
  const labels = (more: string) => `{id="${id}",name="used",image="busybox"${more}}`;
  const metrics = await scrape();
  const of = (name: string, more = "") => numberOf(metrics, name, labels(more));
  expect(of("container_cpu_usage_seconds_total", ',cpu="total"')).toBeGreaterThan(0);
  expect(of("container_cpu_usage_seconds_total", ',cpu="total"')).toBeLessThan(60);
  expect(of("container_spec_memory_limit_bytes")).toBe(64 << 20);
  expect(of("container_memory_usage_bytes")).toBeGreaterThanOrEqual(
    of("container_memory_working_set_bytes"),
  );
  for (const name of ["container_memory_rss", "container_memory_cache", "container_threads_max"])
    expect(of(name)).toBeGreaterThanOrEqual(0);
  expect(of("container_threads")).toBeGreaterThanOrEqual(1);
  for (const direction of ["receive", "transmit"])
    for (const what of ["bytes_total", "packets_total", "errors_total", "packets_dropped_total"])
      expect(
        of(`container_network_${direction}_${what}`, ',interface="eth0"'),
      ).toBeGreaterThanOrEqual(0);
  expect(Math.abs(of("container_start_time_seconds") - Date.now() / 1000)).toBeLessThan(60);
  await daemon.berth("stop", "-t", "0", "used");
  const later = await scrape();
  for (const [name, { samples }] of later)
    if (name.startsWith("container_"))
      expect([name, [...samples.keys()].filter((key) => key.includes(id))]).toEqual([name, []]);
  await daemon.berth("rm", "used");
});

describe("on an address of its own", () => {
  const address = () => /msg="metrics listen" on=(\S+)/.exec(daemon.log)?.[1] ?? "";
  const get = (path: string, init: RequestInit = {}) => fetch(`http://${address()}${path}`, init);

  test("metrics are there, and nothing else of the engine", async () => {
    const plain = await get("/metrics");
    expect(plain.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(parse(await plain.text()).has("engine_daemon_engine_info")).toBe(true);
    for (const path of ["/", "/info", "/containers/json", "/v1.51/info", "/metrics/x"])
      expect([path, (await get(path)).status]).toEqual([path, 404]);
    expect((await get("/metrics", { method: "POST" })).status).toBe(404);
    expect((await get("/metrics", { method: "HEAD" })).status).toBe(200);
  });

  test("who asks for OpenMetrics gets it", async () => {
    const open = await get("/metrics", {
      headers: { Accept: "application/openmetrics-text; version=1.0.0" },
    });
    expect(open.headers.get("content-type")).toStartWith(
      "application/openmetrics-text; version=1.0.0",
    );
    const text = await open.text();
    expect(text).toEndWith("\n# EOF\n");
    expect(text).toContain("# TYPE engine_daemon_events counter\nengine_daemon_events_total ");
  });
});

describe("an address that cannot be", () => {
  const other = new TestDaemon(["--metrics-addr", "nowhere"]);
  const file = `${other.directory}/daemon.json`;
  const byFile = new TestDaemon(["--config-file", file]);
  afterAll(async () => {
    await other.destroy();
    await byFile.destroy();
  });

  test("is refused at the daemon's start; the configuration file names one, too", async () => {
    await expect(other.start()).rejects.toThrow(/invalid value \\?"nowhere\\?" for --metrics-addr/);
    writeFileSync(file, JSON.stringify({ "metrics-addr": "127.0.0.1:0" }));
    await byFile.start();
    expect(byFile.log).toContain("metrics listen");
    const taken = /metrics listen" on=\S+:(\d+)/.exec(byFile.log)?.[1];
    const late = new TestDaemon(["--metrics-addr", `127.0.0.1:${taken}`]);
    await expect(late.start()).rejects.toThrow("cannot serve metrics on");
    await late.destroy();
  });
});
