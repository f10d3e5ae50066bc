/**
 * The engine's numbers for Prometheus: dockerd's names for what dockerd counts, cAdvisor's for what each container uses, so
 * that the dashboards that people have go on. Nothing is read before somebody asks.
 */
import type { Family, Sample } from "../base/metrics.ts";
import type { CgroupUsage, IoRow } from "../runtime/index.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { lossesOf } from "./log-losses.ts";
import { networksOfContainer } from "./stats.ts";

/** So many containers are looked at before others have their turn. */
const AT_ONCE = 20;
const NS = 1e9;

/** What a container that runs uses, as it was read. */
interface Reading {
  readonly container: Container;
  readonly usage: CgroupUsage;
  readonly networks: ReturnType<typeof networksOfContainer>;
}

/** A number of a container: name, kind, what it says, and its values by further labels. */
type Column = readonly [
  name: string,
  type: "counter" | "gauge",
  help: string,
  values: (reading: Reading) => readonly (readonly [number | undefined, Record<string, string>?])[],
];

const one =
  (value: (usage: CgroupUsage) => number | undefined): Column[3] =>
  ({ usage }) => [[value(usage)]];

/** A value of memory.stat, by its name in version 1 (the whole tree's) or in version 2. */
const memory = (v1: string, v2: string) =>
  one(({ memory: { stats } }) => stats[`total_${v1}`] ?? stats[v2]);

const network =
  (key: string): Column[3] =>
  ({ networks }) =>
    Object.entries(networks ?? {}).map(
      ([name, counters]) =>
        [(counters as Record<string, number>)[key], { interface: name }] as const,
    );

const block =
  (rows: (usage: CgroupUsage) => readonly IoRow[], op: string): Column[3] =>
  ({ usage }) =>
    rows(usage)
      .filter((row) => row.op.toLowerCase() === op)
      .map((row) => [row.value, { device: `${row.major}:${row.minor}` }] as const);

const bytes = ({ io }: CgroupUsage) => io.bytes;
const operations = ({ io }: CgroupUsage) => io.operations;
const finite = (value: number) => (Number.isFinite(value) ? value : 0);

/** Without the file pages that can be dropped at once. */
function workingSet({ memory: { usage, stats } }: CgroupUsage): number {
  return Math.max(0, usage - (stats.total_inactive_file ?? stats.inactive_file ?? 0));
}

const columns: readonly Column[] = [
  [
    "container_cpu_usage_seconds_total",
    "counter",
    "Processor time used",
    ({ usage }) => [[usage.cpu.total / NS, { cpu: "total" }]],
  ],
  [
    "container_cpu_user_seconds_total",
    "counter",
    "Processor time in user mode",
    one(({ cpu }) => cpu.user / NS),
  ],
  [
    "container_cpu_system_seconds_total",
    "counter",
    "Processor time in the kernel",
    one(({ cpu }) => cpu.system / NS),
  ],
  [
    "container_cpu_cfs_periods_total",
    "counter",
    "Periods of the processor limit",
    one(({ cpu }) => cpu.periods),
  ],
  [
    "container_cpu_cfs_throttled_periods_total",
    "counter",
    "Periods in which the limit was reached",
    one(({ cpu }) => cpu.throttledPeriods),
  ],
  [
    "container_cpu_cfs_throttled_seconds_total",
    "counter",
    "Time spent waiting for the limit",
    one(({ cpu }) => cpu.throttledTime / NS),
  ],
  [
    "container_memory_usage_bytes",
    "gauge",
    "Memory used, with file pages",
    one((usage) => usage.memory.usage),
  ],
  [
    "container_memory_working_set_bytes",
    "gauge",
    "Memory used, without file pages that can be dropped at once",
    one(workingSet),
  ],
  ["container_memory_rss", "gauge", "Anonymous memory", memory("rss", "anon")],
  ["container_memory_cache", "gauge", "File pages", memory("cache", "file")],
  [
    "container_memory_mapped_file",
    "gauge",
    "File pages that are mapped",
    memory("mapped_file", "file_mapped"),
  ],
  [
    "container_memory_max_usage_bytes",
    "gauge",
    "The most memory that has been used",
    one((usage) => usage.memory.max),
  ],
  [
    "container_memory_failcnt",
    "counter",
    "How often the memory limit was hit",
    one((usage) => usage.memory.failures),
  ],
  [
    "container_spec_memory_limit_bytes",
    "gauge",
    "Memory limit; 0: none",
    one((usage) => finite(usage.memory.limit)),
  ],
  ["container_threads", "gauge", "Processes and threads", one(({ pids }) => pids.current)],
  [
    "container_threads_max",
    "gauge",
    "Limit of processes and threads; 0: none",
    one(({ pids }) => finite(pids.limit)),
  ],
  ["container_network_receive_bytes_total", "counter", "Bytes received", network("rx_bytes")],
  ["container_network_receive_packets_total", "counter", "Packets received", network("rx_packets")],
  [
    "container_network_receive_errors_total",
    "counter",
    "Errors while receiving",
    network("rx_errors"),
  ],
  [
    "container_network_receive_packets_dropped_total",
    "counter",
    "Packets dropped while receiving",
    network("rx_dropped"),
  ],
  ["container_network_transmit_bytes_total", "counter", "Bytes sent", network("tx_bytes")],
  ["container_network_transmit_packets_total", "counter", "Packets sent", network("tx_packets")],
  [
    "container_network_transmit_errors_total",
    "counter",
    "Errors while sending",
    network("tx_errors"),
  ],
  [
    "container_network_transmit_packets_dropped_total",
    "counter",
    "Packets dropped while sending",
    network("tx_dropped"),
  ],
  ["container_fs_reads_bytes_total", "counter", "Bytes read from a device", block(bytes, "read")],
  [
    "container_fs_writes_bytes_total",
    "counter",
    "Bytes written to a device",
    block(bytes, "write"),
  ],
  ["container_fs_reads_total", "counter", "Reads from a device", block(operations, "read")],
  ["container_fs_writes_total", "counter", "Writes to a device", block(operations, "write")],
  [
    "container_start_time_seconds",
    "gauge",
    "When it was started, since 1970",
    ({ container }) => [[Date.parse(container.record.state.startedAt) / 1000]],
  ],
];

function labelsOf({ record }: Container): Record<string, string> {
  return { id: record.id, name: record.name, image: record.config.Image ?? "" };
}

function family([name, type, help, values]: Column, readings: readonly Reading[]): Family {
  const samples = readings.flatMap((reading) =>
    values(reading).flatMap(([value, more]): Sample[] =>
      value === undefined ? [] : [{ labels: { ...labelsOf(reading.container), ...more }, value }],
    ),
  );
  return { name, type, help, samples };
}

async function readAll({ registry, sampler }: EngineDeps): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (const container of registry.all()) {
    const usage = sampler.usage(container);
    if (usage === undefined) continue;
    readings.push({ container, usage, networks: networksOfContainer(container) });
    if (readings.length % AT_ONCE === 0) await Bun.sleep(0);
  }
  return readings;
}

const single = (name: string, type: "counter" | "gauge", help: string, value: number): Family => ({
  name,
  type,
  help,
  samples: [{ value }],
});

/** What dockerd tells of itself, as far as it is the engine's. */
function engineFamilies({ registry, events, health, timings }: EngineDeps): Family[] {
  const states = { running: 0, paused: 0, stopped: 0 };
  for (const container of registry.all()) {
    const { status } = container.record.state;
    states[status === "paused" ? "paused" : container.alive ? "running" : "stopped"]++;
  }
  return [
    {
      name: "engine_daemon_container_actions_seconds",
      type: "histogram",
      help: "The number of seconds it takes to process each container action",
      samples: timings.container.samples(),
    },
    {
      name: "engine_daemon_network_actions_seconds",
      type: "histogram",
      help: "The number of seconds it takes to process each network action",
      samples: timings.network.samples(),
    },
    {
      name: "engine_daemon_container_states_containers",
      type: "gauge",
      help: "The count of containers in various states",
      samples: Object.entries(states).map(([state, value]) => ({ labels: { state }, value })),
    },
    single("engine_daemon_events_total", "counter", "The number of events logged", events.told),
    single(
      "engine_daemon_events_subscribers_total",
      "gauge",
      "The number of current subscribers to events",
      events.subscribers,
    ),
    single(
      "engine_daemon_health_checks_total",
      "counter",
      "The total number of health checks",
      health.checks,
    ),
    single(
      "engine_daemon_health_checks_failed_total",
      "counter",
      "The total number of failed health checks",
      health.failedChecks,
    ),
  ];
}

/** What is known of containers without reading anything. */
function stateFamilies({ registry }: EngineDeps): Family[] {
  const all = registry.all();
  return [
    {
      name: "berth_container_restarts_total",
      type: "counter",
      help: "How often its restart policy has started it again",
      samples: all.map((container) => ({
        labels: labelsOf(container),
        value: container.record.restartCount,
      })),
    },
    {
      name: "berth_container_log_losses_total",
      type: "counter",
      help: "What its present or last run has lost of its log, by how",
      samples: all.flatMap((container) =>
        Object.entries(lossesOf(container)).map(([reason, value]) => ({
          labels: { ...labelsOf(container), reason },
          value,
        })),
      ),
    },
    {
      name: "berth_container_health_status",
      type: "gauge",
      help: "1 for what its health checks have found",
      samples: all.flatMap((container) => {
        const { health } = container.record.state;
        if (health === undefined) return [];
        return [{ labels: { ...labelsOf(container), status: health.status }, value: 1 }];
      }),
    },
  ];
}

/** Everything that the engine has to tell. */
export async function engineMetrics(deps: EngineDeps): Promise<Family[]> {
  const readings = await readAll(deps);
  return [
    ...engineFamilies(deps),
    ...stateFamilies(deps),
    ...columns.map((column) => family(column, readings)),
  ];
}
