/**
 * A container's use of processors and memory, as docker counts. Pure.
 */
import type { ContainerStatsResponse } from "../spec/engine-api.ts";

/** Processor time as a percentage of one processor. */
export function cpuPercent(stats: ContainerStatsResponse): number {
  const used = (when: ContainerStatsResponse["cpu_stats"]) => when?.cpu_usage?.total_usage ?? 0;
  const delta = used(stats.cpu_stats) - used(stats.precpu_stats);
  const system =
    (stats.cpu_stats?.system_cpu_usage ?? 0) - (stats.precpu_stats?.system_cpu_usage ?? 0);
  if (delta <= 0 || system <= 0) return 0;
  return (delta / system) * (stats.cpu_stats?.online_cpus ?? 1) * 100;
}

/** Memory without the page cache that can be dropped at once, as Docker counts. */
export function memoryUsage({ memory_stats: memory }: ContainerStatsResponse): number {
  const usage = memory?.usage ?? 0;
  const cache = memory?.stats?.total_inactive_file ?? memory?.stats?.inactive_file ?? 0;
  return cache < usage ? usage - cache : usage;
}

function sum(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0);
}

/** Bytes over all of a container's networks. */
export function networkBytes({ networks }: ContainerStatsResponse): {
  readonly received: number;
  readonly sent: number;
} {
  const all = Object.values(networks ?? {});
  return {
    received: sum(all.map((network) => network?.rx_bytes)),
    sent: sum(all.map((network) => network?.tx_bytes)),
  };
}

/** Bytes over all devices. */
export function blockBytes({ blkio_stats: block }: ContainerStatsResponse): {
  readonly read: number;
  readonly written: number;
} {
  const of = (op: string) =>
    sum(
      (block?.io_service_bytes_recursive ?? [])
        .filter((row) => row?.op?.toLowerCase() === op)
        .map((row) => row?.value),
    );
  return { read: of("read"), written: of("write") };
}
