import { expect, test } from "bun:test";
import { ioRowsV1, ioRowsV2, usageV1, usageV2 } from "./cgroup-stats.ts";

test("block I/O is read from both versions", () => {
  expect(ioRowsV1("8:0 Read 4096\n8:0 Write 512\nTotal 4608\n")).toEqual([
    { major: 8, minor: 0, op: "Read", value: 4096 },
    { major: 8, minor: 0, op: "Write", value: 512 },
  ]);
  expect(ioRowsV2("254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n")).toEqual({
    bytes: [
      { major: 254, minor: 0, op: "read", value: 1 },
      { major: 254, minor: 0, op: "write", value: 2 },
    ],
    operations: [
      { major: 254, minor: 0, op: "read", value: 3 },
      { major: 254, minor: 0, op: "write", value: 4 },
    ],
  });
});

test("version 2 counts in microseconds, and max is no limit", () => {
  const files: Record<string, string> = {
    "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\n",
    "memory.current": "100\n",
    "memory.max": "max\n",
    "memory.stat": "inactive_file 40\n",
    "pids.current": "2\n",
    "pids.max": "10\n",
  };
  const usage = usageV2((_, file) => files[file] ?? "");
  expect(usage.cpu).toMatchObject({ total: 5000, user: 3000, system: 2000, periods: 7 });
  expect(usage.memory).toEqual({
    usage: 100,
    limit: Number.POSITIVE_INFINITY,
    stats: { inactive_file: 40 },
  });
  expect(usage.pids).toEqual({ current: 2, limit: 10 });
  expect(usageV2(() => "").memory).toEqual({ usage: 0, limit: 0, stats: {} });
});

test("version 1 counts each processor, and its largest number is no limit", () => {
  const files: Record<string, string> = {
    "cpuacct.usage": "30\n",
    "cpuacct.stat": "user 4\nsystem 2\n",
    "cpuacct.usage_percpu": "10 20 \n",
    "memory.usage_in_bytes": "100\n",
    "memory.max_usage_in_bytes": "200\n",
    "memory.failcnt": "3\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.stat": "total_inactive_file 40\nhierarchical_memory_limit 9223372036854771712\n",
    "pids.current": "2\n",
    "pids.max": "max\n",
  };
  const usage = usageV1((_, file) => files[file] ?? "");
  expect(usage.cpu).toMatchObject({ total: 30, user: 4e7, system: 2e7, perCpu: [10, 20] });
  expect(usage.memory).toMatchObject({
    usage: 100,
    max: 200,
    failures: 3,
    limit: Number.POSITIVE_INFINITY,
  });
  expect(usage.memory.stats.total_inactive_file).toBe(40);
  expect(usage.pids).toEqual({ current: 2, limit: Number.POSITIVE_INFINITY });
});
