import { expect, test } from "bun:test";
import { goDuration } from "./durations.ts";

test("durations look as Go's do", () => {
  const shown = [0, 1, 1500, 200e6, 1e9, 1.5e9, 60e9, 90e9, 3600e9, 3723.5e9, -5e9].map(goDuration);
  expect(shown.join(" ")).toBe("0s 1ns 1.5µs 200ms 1s 1.5s 1m0s 1m30s 1h0m0s 1h2m3.5s -5s");
});
