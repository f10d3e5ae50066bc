/**
 * What a container uses, as the API's stats show it.
 */
import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import type { CgroupUsage, IoRow } from "../runtime/index.ts";
import type { ContainerStatsResponse } from "../spec/engine-api.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { cgroupPath } from "./places.ts";

const NO_TIME = "0001-01-01T00:00:00Z";
const TICK_NS = 10_000_000;
const INTERVAL_MS = 1000;

/** The host's processor time since its boot, in nanoseconds, all processors together. */
function systemTime(): number {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n", 1);
  // user, nice, system, idle, iowait, irq, softirq, steal: guest time is in the first two already.
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return ticks.reduce((sum, value) => sum + value, 0) * TICK_NS;
}

/** Interfaces of /proc/PID/net/dev, without the loopback. */
export function networksOf(text: string): NonNullable<ContainerStatsResponse["networks"]> {
  const rows = text.split("\n").flatMap((line) => {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (match === null || match[1] === "lo") return [];
    const numbers = (match[2] ?? "").trim().split(/\s+/).map(Number);
    const at = (index: number) => numbers[index] ?? 0;
    const counters = {
      rx_bytes: at(0),
      rx_packets: at(1),
      rx_errors: at(2),
      rx_dropped: at(3),
      tx_bytes: at(8),
      tx_packets: at(9),
      tx_errors: at(10),
      tx_dropped: at(11),
    };
    return [[match[1] ?? "", counters] as const];
  });
  return Object.fromEntries(rows);
}

function rows(list: readonly IoRow[]) {
  return list.map(({ major, minor, op, value }) => ({ major, minor, op, value }));
}

function cpuStats({ cpu }: CgroupUsage): NonNullable<ContainerStatsResponse["cpu_stats"]> {
  return {
    cpu_usage: {
      total_usage: cpu.total,
      ...(cpu.perCpu === undefined ? {} : { percpu_usage: [...cpu.perCpu] }),
      usage_in_kernelmode: cpu.system,
      usage_in_usermode: cpu.user,
    },
    system_cpu_usage: systemTime(),
    online_cpus: availableParallelism(),
    throttling_data: {
      periods: cpu.periods,
      throttled_periods: cpu.throttledPeriods,
      throttled_time: cpu.throttledTime,
    },
  };
}

const noCpu: NonNullable<ContainerStatsResponse["cpu_stats"]> = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

/** One sample; `before` is the one that processor time is compared with. A container that does not run has used nothing. */
export function sampleOf(
  deps: EngineDeps,
  container: Container,
  before: ContainerStatsResponse | undefined,
): ContainerStatsResponse {
  const { record } = container;
  const common = {
    name: `/${record.name}`,
    id: record.id,
    preread: before?.read ?? NO_TIME,
    precpu_stats: before?.cpu_stats ?? noCpu,
    num_procs: 0,
    storage_stats: {},
  };
  if (!container.running)
    return { ...common, read: NO_TIME, pids_stats: {}, cpu_stats: noCpu, memory_stats: {} };
  const usage = deps.cgroups.usage(cgroupPath(deps.settings, record));
  const { memory, pids, io } = usage;
  const limit = Math.min(memory.limit, totalmem());
  let networks: ContainerStatsResponse["networks"];
  if (record.hostConfig.NetworkMode !== "host" && record.hostConfig.NetworkMode !== "none") {
    try {
      networks = networksOf(readFileSync(`/proc/${record.state.pid}/net/dev`, "utf8"));
    } catch {
      // It has ended in this moment.
    }
  }
  return {
    ...common,
    read: new Date().toISOString(),
    pids_stats: {
      current: pids.current,
      ...(Number.isFinite(pids.limit) ? { limit: pids.limit } : {}),
    },
    cpu_stats: cpuStats(usage),
    memory_stats: {
      usage: memory.usage,
      ...(memory.max === undefined ? {} : { max_usage: memory.max }),
      ...(memory.failures === undefined ? {} : { failcnt: memory.failures }),
      stats: { ...memory.stats },
      limit,
    },
    blkio_stats: {
      io_service_bytes_recursive: rows(io.bytes),
      io_serviced_recursive: rows(io.operations),
      io_queue_recursive: null,
      io_service_time_recursive: null,
      io_wait_time_recursive: null,
      io_merged_recursive: null,
      io_time_recursive: null,
      sectors_recursive: null,
    },
    ...(networks === undefined ? {} : { networks }),
  };
}

/** A sample a second, each compared with the one before, until the container is removed or `signal` says so. */
export async function* samples(
  deps: EngineDeps,
  container: Container,
  signal: AbortSignal,
): AsyncGenerator<ContainerStatsResponse> {
  let before: ContainerStatsResponse | undefined;
  while (!signal.aborted && !container.removed) {
    const sample = sampleOf(deps, container, before);
    yield sample;
    before = sample;
    await Bun.sleep(INTERVAL_MS);
  }
}

/** One sample that can be compared with another from a second earlier. */
export async function comparedSample(
  deps: EngineDeps,
  container: Container,
): Promise<ContainerStatsResponse> {
  const before = sampleOf(deps, container, undefined);
  if (!container.running) return before;
  await Bun.sleep(INTERVAL_MS);
  return sampleOf(deps, container, before);
}
