import { expect, test } from "bun:test";
import type { HealthRecord } from "./container-record.ts";
import { afterProbe, checkHealthConfig, type HealthCheck, healthCheckOf } from "./health.ts";

const check: HealthCheck = {
  args: ["true"],
  interval: 1000,
  timeout: 1000,
  startPeriod: 500,
  startInterval: 100,
  retries: 2,
};
const starting: HealthRecord = { status: "starting", failingStreak: 0, log: [] };
const result = (exitCode: number) => ({ start: "", end: "", exitCode, output: "" });

test("failures count once the start period is over, and a success forgives them", () => {
  const early = afterProbe(starting, check, result(1), 100);
  expect([early.status, early.failingStreak, early.log.length]).toEqual(["starting", 0, 1]);
  const first = afterProbe(early, check, result(1), 600);
  expect([first.status, first.failingStreak]).toEqual(["starting", 1]);
  const second = afterProbe(first, check, result(1), 700);
  expect([second.status, second.failingStreak]).toEqual(["unhealthy", 2]);
  expect(afterProbe(second, check, result(0), 800)).toMatchObject({
    status: "healthy",
    failingStreak: 0,
  });
});

test("five results are kept", () => {
  let health = starting;
  for (let i = 0; i < 9; i++) health = afterProbe(health, check, result(0), i);
  expect(health.log).toHaveLength(5);
});

test("a configuration is completed as Docker completes it", () => {
  expect(healthCheckOf({})).toBeUndefined();
  expect(healthCheckOf({ Healthcheck: { Test: ["NONE"] } })).toBeUndefined();
  expect(healthCheckOf({ Healthcheck: { Test: ["CMD", "a", "b"], Interval: 2e9 } })).toEqual({
    args: ["a", "b"],
    interval: 2000,
    timeout: 30_000,
    startPeriod: 0,
    startInterval: 5000,
    retries: 3,
  });
  const shell = { Shell: ["/bin/bash", "-ec"], Healthcheck: { Test: ["CMD-SHELL", "a && b"] } };
  expect(healthCheckOf(shell)?.args).toEqual(["/bin/bash", "-ec", "a && b"]);
  expect(() => checkHealthConfig({ Interval: 5 })).toThrow("cannot be less than 1ms");
  expect(() => checkHealthConfig({ Test: ["SHELL", "x"] })).toThrow("Unknown type");
});
