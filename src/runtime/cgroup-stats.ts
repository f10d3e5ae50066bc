/**
 * What a control group has used, from the files of both versions: parsing is pure.
 */
import { readFileSync } from "node:fs";

/** A row of block I/O: bytes or operations of one device. */
export interface IoRow {
  readonly major: number;
  readonly minor: number;
  readonly op: string;
  readonly value: number;
}

/** A sample. Times in nanoseconds, sizes in bytes. */
export interface CgroupUsage {
  readonly cpu: {
    readonly total: number;
    readonly user: number;
    readonly system: number;
    /** Version 1 only. */
    readonly perCpu?: readonly number[];
    readonly periods: number;
    readonly throttledPeriods: number;
    readonly throttledTime: number;
  };
  readonly memory: {
    readonly usage: number;
    readonly max?: number;
    readonly failures?: number;
    /** Infinity: unlimited. */
    readonly limit: number;
    readonly stats: Readonly<Record<string, number>>;
  };
  readonly pids: { readonly current: number; readonly limit: number };
  readonly io: { readonly bytes: readonly IoRow[]; readonly operations: readonly IoRow[] };
}

/** Reads a file of the cgroup in a controller's hierarchy; "" when it is not there. */
export type ReadControl = (controller: string, file: string) => string;

/** "key value" lines. */
export function keyed(text: string): Record<string, number> {
  const values: Record<string, number> = {};
  for (const line of text.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0) values[line.slice(0, space)] = Number(line.slice(space + 1));
  }
  return values;
}

function limitOf(text: string): number {
  const value = text.trim();
  // Version 1 says "unlimited" by the largest multiple of the page size.
  return value === "" || value === "max" || Number(value) > 2 ** 60
    ? Number.POSITIVE_INFINITY
    : Number(value);
}

/** Where nobody counts memory its limit is none at all, as Docker has it: 0B / 0B. */
function memoryLimitOf(text: string): number {
  return text === "" ? 0 : limitOf(text);
}

/** "8:0 Read 4096" lines; the total line is left out. */
export function ioRowsV1(text: string): IoRow[] {
  return text.split("\n").flatMap((line) => {
    const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line);
    if (match === null) return [];
    const [, major, minor, op = "", value] = match;
    return [{ major: Number(major), minor: Number(minor), op, value: Number(value) }];
  });
}

/** "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …" lines. */
export function ioRowsV2(text: string): CgroupUsage["io"] {
  const bytes: IoRow[] = [];
  const operations: IoRow[] = [];
  for (const line of text.split("\n")) {
    const head = /^(\d+):(\d+) /.exec(line);
    if (head === null) continue;
    const [major, minor] = [Number(head[1]), Number(head[2])];
    const values = new Map(
      line
        .split(" ")
        .slice(1)
        .map((word) => word.split("=") as [string, string]),
    );
    const put = (rows: IoRow[], op: string, key: string) => {
      if (values.has(key)) rows.push({ major, minor, op, value: Number(values.get(key)) });
    };
    put(bytes, "read", "rbytes");
    put(bytes, "write", "wbytes");
    put(operations, "read", "rios");
    put(operations, "write", "wios");
  }
  return { bytes, operations };
}

const TICK_NS = 10_000_000;

/** Version 1. */
export function usageV1(read: ReadControl): CgroupUsage {
  const split = keyed(read("cpuacct", "cpuacct.stat"));
  const throttling = keyed(read("cpu", "cpu.stat"));
  return {
    cpu: {
      total: Number(read("cpuacct", "cpuacct.usage")),
      user: (split.user ?? 0) * TICK_NS,
      system: (split.system ?? 0) * TICK_NS,
      perCpu: read("cpuacct", "cpuacct.usage_percpu").split(/\s+/).filter(Boolean).map(Number),
      periods: throttling.nr_periods ?? 0,
      throttledPeriods: throttling.nr_throttled ?? 0,
      throttledTime: throttling.throttled_time ?? 0,
    },
    memory: {
      usage: Number(read("memory", "memory.usage_in_bytes")),
      max: Number(read("memory", "memory.max_usage_in_bytes")),
      failures: Number(read("memory", "memory.failcnt")),
      limit: memoryLimitOf(read("memory", "memory.limit_in_bytes")),
      stats: keyed(read("memory", "memory.stat")),
    },
    pids: {
      current: Number(read("pids", "pids.current")),
      limit: limitOf(read("pids", "pids.max")),
    },
    io: {
      bytes: ioRowsV1(read("blkio", "blkio.throttle.io_service_bytes_recursive")),
      operations: ioRowsV1(read("blkio", "blkio.throttle.io_serviced_recursive")),
    },
  };
}

/** Version 2. */
export function usageV2(read: ReadControl): CgroupUsage {
  const cpu = keyed(read("cpu", "cpu.stat"));
  return {
    cpu: {
      total: (cpu.usage_usec ?? 0) * 1000,
      user: (cpu.user_usec ?? 0) * 1000,
      system: (cpu.system_usec ?? 0) * 1000,
      periods: cpu.nr_periods ?? 0,
      throttledPeriods: cpu.nr_throttled ?? 0,
      throttledTime: (cpu.throttled_usec ?? 0) * 1000,
    },
    memory: {
      usage: Number(read("memory", "memory.current")),
      limit: memoryLimitOf(read("memory", "memory.max")),
      stats: keyed(read("memory", "memory.stat")),
    },
    pids: {
      current: Number(read("pids", "pids.current")),
      limit: limitOf(read("pids", "pids.max")),
    },
    io: ioRowsV2(read("blkio", "io.stat")),
  };
}

/** Reads a control file, or nothing when the controller lacks it. */
export function readControl(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
