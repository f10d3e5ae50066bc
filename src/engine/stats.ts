/**
 * What containers use, as the API's stats show it. All streams share one tick; while nobody listens, nothing is done.
 */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import type { CgroupUsage } from "../runtime/index.ts";
import type { ContainerStatsResponse } from "../spec/engine-api.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { lossesOf } from "./log-losses.ts";
import { usageByProcesses } from "./own-processes.ts";
import { cgroupPath } from "./places.ts";

const NO_TIME = "0001-01-01T00:00:00Z";
const TICK_NS = 10_000_000;
const INTERVAL_MS = 1000;
/** Two samples tell how busy the processors were when this lies between them: the kernel counts in ticks of 10 ms. */
const COMPARABLE_MS = 250;
/** An older sample tells too little of now. */
const STALE_MS = 10_000;

type Networks = NonNullable<ContainerStatsResponse["networks"]>;
type CpuStats = NonNullable<ContainerStatsResponse["cpu_stats"]>;

/** The host's processors at a moment. */
export interface HostTime {
  /** What they have done since the boot, together, in nanoseconds. */
  readonly total: number;
  readonly processors: number;
}

/** Reads /proc/stat. What a hypervisor has stolen does not count, as with Docker. */
export function hostTimeOf(text: string): HostTime {
  const lines = text.split("\n");
  // user, nice, system, idle, iowait, irq, softirq: guest time is in the first two already.
  const ticks = (lines[0] ?? "").trim().split(/\s+/).slice(1, 8).map(Number);
  const total = ticks.reduce((sum, value) => sum + value, 0) * TICK_NS;
  return { total, processors: lines.filter((line) => /^cpu\d/.test(line)).length };
}

function hostTime(): HostTime {
  return hostTimeOf(readFileSync("/proc/stat", "utf8"));
}

/** Interfaces of /proc/PID/net/dev, without the loopback. */
export function networksOf(text: string): Networks {
  const networks: Networks = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon)).trim();
    if (name === "" || name === "lo") continue;
    const numbers = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const at = (index: number) => numbers[index] ?? 0;
    networks[name] = {
      rx_bytes: at(0),
      rx_packets: at(1),
      rx_errors: at(2),
      rx_dropped: at(3),
      tx_bytes: at(8),
      tx_packets: at(9),
      tx_errors: at(10),
      tx_dropped: at(11),
    };
  }
  return networks;
}

/** The interfaces that are the container's own; undefined when there are none, or it has just ended. */
export function networksOfContainer({ record }: Container): Networks | undefined {
  const { NetworkMode } = record.hostConfig;
  if (NetworkMode === "host" || NetworkMode === "none") return undefined;
  try {
    return networksOf(readFileSync(`/proc/${record.state.pid}/net/dev`, "utf8"));
  } catch {
    return undefined;
  }
}

function cpuStats({ cpu }: CgroupUsage, { total, processors }: HostTime): CpuStats {
  return {
    cpu_usage: {
      total_usage: cpu.total,
      ...(cpu.perCpu === undefined ? {} : { percpu_usage: [...cpu.perCpu] }),
      usage_in_kernelmode: cpu.system,
      usage_in_usermode: cpu.user,
    },
    system_cpu_usage: total,
    online_cpus: processors,
    throttling_data: {
      periods: cpu.periods,
      throttled_periods: cpu.throttledPeriods,
      throttled_time: cpu.throttledTime,
    },
  };
}

const noCpu: CpuStats = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

/** Counters of a scheduler that is no more: version 1 still has lists for them, version 2 has none. */
function blockStats(io: CgroupUsage["io"] | undefined, empty: [] | null) {
  return {
    io_service_bytes_recursive: [...(io?.bytes ?? [])],
    io_serviced_recursive: io === undefined ? empty : [...io.operations],
    io_queue_recursive: empty,
    io_service_time_recursive: empty,
    io_wait_time_recursive: empty,
    io_merged_recursive: empty,
    io_time_recursive: empty,
    sectors_recursive: empty,
  };
}

function memoryStats({ memory }: CgroupUsage): ContainerStatsResponse["memory_stats"] {
  return {
    usage: memory.usage,
    ...(memory.max === undefined ? {} : { max_usage: memory.max }),
    ...(memory.failures ? { failcnt: memory.failures } : {}),
    stats: { ...memory.stats },
    limit: Math.min(memory.limit, totalmem()),
  };
}

/** A sample, and what of the container's log is lost, which is an extension. */
export type ContainerSample = ContainerStatsResponse & {
  readonly Berth: {
    readonly Log: {
      /** Records that went for newer ones with mode=non-blocking. */
      readonly Dropped: number;
      /** Records that a full disk did not take. */
      readonly Failed: number;
      /** How often records were rotated away before they could be sent to where the driver sends. */
      readonly UnsentGaps: number;
    };
  };
};

/** A sample, when it was taken (on the clock that never jumps) and of which run. */
interface Taken {
  readonly at: number;
  readonly run: string;
  readonly sample: ContainerSample;
}

type Listener = (sample: ContainerSample | undefined) => void;

/** Takes samples of what containers use. A container that does not run uses nothing. */
export class Sampler {
  private readonly listeners = new Map<Container, Set<Listener>>();
  /** At most two of each, COMPARABLE_MS apart: a sample of now can be compared with one of them. */
  private readonly past = new WeakMap<Container, readonly Taken[]>();
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly deps: Pick<EngineDeps, "cgroups" | "settings">) {}

  /** What the container's control group has used, or its processes, where there is none; undefined when it does not run. */
  usage(container: Container): CgroupUsage | undefined {
    if (!container.running) return undefined;
    if (!this.deps.cgroups.there) return usageByProcesses(container);
    return this.deps.cgroups.usage(cgroupPath(this.deps.settings, container.record));
  }

  /** A sample of now, compared with nothing. */
  once(container: Container): ContainerSample {
    return this.take(container, hostTime(), undefined);
  }

  /** A sample that is compared with an earlier one: at once when there has been one lately. */
  async compared(container: Container): Promise<ContainerSample> {
    if (!container.running) return this.once(container);
    if (this.comparable(container) === undefined) {
      if (this.earlier(container).length === 0) this.once(container);
      const latest = this.earlier(container).at(-1);
      if (latest !== undefined)
        await Bun.sleep(Math.ceil(latest.at + COMPARABLE_MS - performance.now()));
    }
    return this.take(container, hostTime(), this.comparable(container));
  }

  /**
   * A sample at once and then one a second, the newest for a slow reader, each compared with the one before it, until the
   * container is removed or `signal` says so.
   */
  async *follow(container: Container, signal: AbortSignal): AsyncGenerator<ContainerSample> {
    const first = this.take(container, hostTime(), this.comparable(container));
    let next: ContainerSample | undefined = first;
    let [before, at] = [first, performance.now()];
    let wake = Promise.withResolvers<void>();
    const stop = this.listen(container, (sample) => {
      // The tick is everybody's: the first one may come too soon after the sample at once.
      if (sample !== undefined && performance.now() - at < COMPARABLE_MS) return;
      next = sample && { ...sample, preread: before.read, precpu_stats: before.cpu_stats };
      wake.resolve();
    });
    const aborted = () => wake.resolve();
    signal.addEventListener("abort", aborted, { once: true });
    try {
      while (!signal.aborted && !container.removed) {
        const sample = next;
        next = undefined;
        if (sample !== undefined) {
          [before, at] = [sample, performance.now()];
          yield sample;
        }
        await wake.promise;
        wake = Promise.withResolvers<void>();
      }
    } finally {
      stop();
      signal.removeEventListener("abort", aborted);
    }
  }

  private listen(container: Container, listener: Listener): () => void {
    const listeners = this.listeners.get(container) ?? new Set();
    this.listeners.set(container, listeners.add(listener));
    this.timer ??= setInterval(() => this.tick(), INTERVAL_MS);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.listeners.delete(container);
      if (this.listeners.size > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    };
  }

  private tick(): void {
    const host = hostTime();
    for (const [container, listeners] of this.listeners) {
      const sample = container.removed
        ? undefined
        : this.take(container, host, this.comparable(container));
      for (const listener of listeners) listener(sample);
    }
  }

  /** The last samples of this run of the container, but for stale ones. */
  private earlier(container: Container): readonly Taken[] {
    const { startedAt } = container.record.state;
    const since = performance.now() - STALE_MS;
    return (this.past.get(container) ?? []).filter(
      ({ at, run }) => run === startedAt && at > since,
    );
  }

  /** The newest sample that is old enough. */
  private comparable(container: Container): ContainerSample | undefined {
    const until = performance.now() - COMPARABLE_MS;
    return this.earlier(container).findLast(({ at }) => at <= until)?.sample;
  }

  private keep(container: Container, sample: ContainerSample): void {
    const latest = this.earlier(container).at(-1);
    const at = performance.now();
    if (latest !== undefined && at - latest.at < COMPARABLE_MS) return;
    const taken = { at, run: container.record.state.startedAt, sample };
    this.past.set(container, latest === undefined ? [taken] : [latest, taken]);
  }

  private take(
    container: Container,
    host: HostTime,
    before: ContainerSample | undefined,
  ): ContainerSample {
    const { record } = container;
    const { dropped, failed, unsent } = lossesOf(container);
    const common = {
      name: `/${record.name}`,
      id: record.id,
      preread: before?.read ?? NO_TIME,
      precpu_stats: before?.cpu_stats ?? noCpu,
      num_procs: 0,
      storage_stats: {},
      Berth: { Log: { Dropped: dropped, Failed: failed, UnsentGaps: unsent } },
    };
    const usage = this.usage(container);
    if (usage === undefined)
      return {
        ...common,
        read: NO_TIME,
        pids_stats: {},
        cpu_stats: noCpu,
        memory_stats: {},
        blkio_stats: blockStats(undefined, null),
      };
    const { pids } = usage;
    const networks = networksOfContainer(container);
    const sample: ContainerSample = {
      ...common,
      read: new Date().toISOString(),
      pids_stats: {
        current: pids.current,
        ...(Number.isFinite(pids.limit) ? { limit: pids.limit } : {}),
      },
      cpu_stats: cpuStats(usage, host),
      memory_stats: memoryStats(usage),
      blkio_stats: blockStats(usage.io, this.deps.cgroups.version === 1 ? [] : null),
      ...(networks === undefined ? {} : { networks }),
    };
    this.keep(container, sample);
    return sample;
  }
}
