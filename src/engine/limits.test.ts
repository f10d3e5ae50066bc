import { expect, test } from "bun:test";
import type { HostConfig } from "../spec/engine-api.ts";
import { limitsIn, liveResources, withLimits } from "./limits.ts";
import type { ResourceHost } from "./oci-resources.ts";

const host: ResourceHost = {
  cpus: 2,
  swapAccounting: true,
  memoryNodes: "0",
  has: () => true,
  can: () => true,
  deviceNumbers: () => ({ major: 8, minor: 0 }),
};
const told = (change: HostConfig, current: HostConfig = {}) =>
  liveResources(change, withLimits(current, change), host);

test("zero and empty values say nothing, as clients send them for every field", () => {
  const empty = { Memory: 0, CpusetCpus: "", BlkioWeightDevice: [], MemorySwappiness: -1 };
  expect(limitsIn({ ...empty, CpuShares: 5 })).toEqual({ CpuShares: 5 });
  expect(told(empty)).toBeUndefined();
});

test("a limit of processes of 0 or less is none", () => {
  expect(limitsIn({ PidsLimit: -1 })).toEqual({ PidsLimit: 0 });
  expect(told({ PidsLimit: 0 })?.pids).toEqual({ limit: -1 });
  expect(told({ PidsLimit: 7 })?.pids).toEqual({ limit: 7 });
});

test("what the kernel must be told together is told together", () => {
  const current = { Memory: 100 << 20, MemorySwap: 300 << 20, CpuPeriod: 50_000, CpuQuota: 20_000 };
  expect(told({ Memory: 200 << 20 }, current)?.memory).toEqual({
    limit: 200 << 20,
    swap: 300 << 20,
  });
  expect(told({ MemorySwap: 400 << 20 }, current)?.memory).toEqual({
    limit: 100 << 20,
    swap: 400 << 20,
  });
  expect(told({ CpuPeriod: 10_000 }, current)?.cpu).toEqual({ period: 10_000, quota: 20_000 });
  expect(told({ CpuShares: 9 }, current)).toMatchObject({ cpu: { shares: 9 }, memory: {} });
  expect(told({ OomKillDisable: false })?.memory).toEqual({ disableOOMKiller: false });
});

test("contradictions to what is set are Docker's", () => {
  const conflicts: readonly (readonly [HostConfig, HostConfig, string])[] = [
    [{ CpuPeriod: 1000 }, { NanoCpus: 1 }, "Nano CPUs cannot be updated as CPU Period has already"],
    [{ NanoCpus: 1 }, { CpuQuota: 1000 }, "CPU Quota cannot be updated as NanoCPUs has already"],
    [{ MemorySwap: 10 }, { Memory: 11 }, "update the memoryswap at the same time"],
    [{}, { Memory: 11 }, "update the memoryswap at the same time"],
    [{ AutoRemove: true }, { RestartPolicy: { Name: "always" } }, "AutoRemove is enabled"],
  ];
  for (const [current, change, words] of conflicts)
    expect(() => withLimits(current, change)).toThrow(words);
  expect(withLimits({ NanoCpus: 1 }, { CpuQuota: -1 }).CpuQuota).toBe(-1);
});
