import { expect, test } from "bun:test";
import type { ContainerRecord } from "./container-record.ts";
import { nextDelay, policyHolds } from "./restarts.ts";

function record(policy: string, exitCode: number, restartCount = 0, most = 0): ContainerRecord {
  return {
    hostConfig: { RestartPolicy: { Name: policy, MaximumRetryCount: most } },
    state: { exitCode },
    restartCount,
  } as ContainerRecord;
}

test("each policy wants what Docker's does", () => {
  expect(policyHolds(record("no", 1), false)).toBe(false);
  expect(policyHolds(record("always", 0), true)).toBe(true);
  expect(policyHolds(record("unless-stopped", 0), false)).toBe(true);
  expect(policyHolds(record("unless-stopped", 0), true)).toBe(false);
  expect(policyHolds(record("on-failure", 0), false)).toBe(false);
  expect(policyHolds(record("on-failure", 1, 99), false)).toBe(true);
  expect(policyHolds(record("on-failure", 1, 1, 2), false)).toBe(true);
  expect(policyHolds(record("on-failure", 1, 2, 2), false)).toBe(false);
});

test("the pause doubles up to a minute, and a long run resets it", () => {
  expect(nextDelay(0, 5)).toBe(100);
  expect(nextDelay(100, 5)).toBe(200);
  expect(nextDelay(51_200, 5)).toBe(60_000);
  expect(nextDelay(60_000, 10_000)).toBe(100);
});
