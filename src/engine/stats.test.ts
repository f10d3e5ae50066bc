import { expect, test } from "bun:test";
import type { CgroupUsage } from "../runtime/index.ts";
import { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { hostTimeOf, networksOf, Sampler } from "./stats.ts";

test("the host's time is what Docker adds up: without what is stolen", () => {
  const text =
    "cpu  10 20 30 40 50 60 70 1000 5 6\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nintr 5 0\ncpufreq 1\n";
  expect(hostTimeOf(text)).toEqual({ total: 280 * 10_000_000, processors: 2 });
});

test("interfaces are read from the kernel's table, without the loopback", () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0
  eth0:1116      12    1    2    0     0          0         0       77       3    4    5    0     0       0          0
`;
  expect(networksOf(text)).toEqual({
    eth0: {
      rx_bytes: 1116,
      rx_packets: 12,
      rx_errors: 1,
      rx_dropped: 2,
      tx_bytes: 77,
      tx_packets: 3,
      tx_errors: 4,
      tx_dropped: 5,
    },
  });
});

const none: CgroupUsage = {
  cpu: { total: 0, user: 0, system: 0, periods: 0, throttledPeriods: 0, throttledTime: 0 },
  memory: { usage: 0, limit: Number.POSITIVE_INFINITY, stats: {} },
  pids: { current: 1, limit: Number.POSITIVE_INFINITY },
  io: { bytes: [], operations: [] },
};

function fixture() {
  let reads = 0;
  const cgroups = {
    there: true,
    version: 2,
    usage: () => ({ ...none, cpu: { ...none.cpu, total: ++reads } }),
  };
  const deps = { cgroups, settings: { cgroupParent: "/berth" } } as unknown as EngineDeps;
  const container = new Container({
    id: "a".repeat(64),
    name: "one",
    hostConfig: { NetworkMode: "none" },
    state: { status: "running", startedAt: "now" },
  } as ContainerRecord);
  return { sampler: new Sampler(deps), container, reads: () => reads };
}

test("many streams of a container share its samples; when the last has gone, nothing is read", async () => {
  const { sampler, container, reads } = fixture();
  const abort = new AbortController();
  const streams = Array.from({ length: 20 }, () => sampler.follow(container, abort.signal));
  const first = await Promise.all(streams.map((stream) => stream.next()));
  expect(reads()).toBe(20);
  const second = await Promise.all(streams.map((stream) => stream.next()));
  expect(reads()).toBe(21);
  for (const [index, { value }] of second.entries()) {
    expect(value?.cpu_stats?.cpu_usage?.total_usage).toBe(21);
    // Each is compared with what its own stream has shown before.
    expect(value?.precpu_stats).toEqual(first[index]?.value?.cpu_stats);
  }
  abort.abort();
  for (const stream of streams) expect((await stream.next()).done).toBe(true);
  await Bun.sleep(1100);
  expect(reads()).toBe(21);
});

test("a sample is compared with one of the same run only", async () => {
  const { sampler, container } = fixture();
  const first = await sampler.compared(container);
  expect(first.precpu_stats?.cpu_usage?.total_usage).toBe(1);
  // There has been one lately.
  const next = await sampler.compared(container);
  expect(next.precpu_stats?.cpu_usage?.total_usage).toBe(1);
  expect(next.preread).toBe(first.preread);
  await Bun.sleep(260);
  const later = await sampler.compared(container);
  expect(later.precpu_stats?.cpu_usage?.total_usage).toBe(2);
  container.record.state.startedAt = "later";
  const again = await sampler.compared(container);
  expect(again.precpu_stats?.cpu_usage?.total_usage).toBe(5);
  container.record.state.status = "exited";
  const over = await sampler.compared(container);
  expect([over.read, over.pids_stats]).toEqual(["0001-01-01T00:00:00Z", {}]);
});

test("a stream ends with the container's removal", async () => {
  const { sampler, container } = fixture();
  const stream = sampler.follow(container, new AbortController().signal);
  await stream.next();
  container.tellRemoved();
  expect((await stream.next()).done).toBe(true);
});
