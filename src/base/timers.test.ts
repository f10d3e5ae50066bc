import { expect, jest, test } from "bun:test";
import { after, pause } from "./timers.ts";

test("what is weeks away does not happen at once, and what is called off never", () => {
  jest.useFakeTimers();
  try {
    const heard: string[] = [];
    after(2 ** 31 + 5000, () => heard.push("late"));
    after(10, () => heard.push("soon"));
    after(10, () => heard.push("never"))();
    jest.advanceTimersByTime(2 ** 31 + 4000);
    expect(heard).toEqual(["soon"]);
    jest.advanceTimersByTime(1000);
    expect(heard).toEqual(["soon", "late"]);
  } finally {
    jest.useRealTimers();
  }
});

test("a pause ends with its signal, and keeps nothing of it", async () => {
  const listeners = new Set<unknown>();
  const abort = new AbortController();
  const signal = new Proxy(abort.signal, {
    get(target, key) {
      if (key === "addEventListener")
        return (name: "abort", listener: () => void) => {
          listeners.add(listener);
          target.addEventListener(name, listener);
        };
      if (key === "removeEventListener")
        return (name: "abort", listener: () => void) => {
          listeners.delete(listener);
          target.removeEventListener(name, listener);
        };
      return Reflect.get(target, key, target);
    },
  });
  for (let i = 0; i < 3; i++) await pause(1, signal);
  expect(listeners.size).toBe(0);
  const long = pause(Number.POSITIVE_INFINITY, signal);
  abort.abort();
  await long;
  await pause(1000, signal);
  expect(listeners.size).toBe(0);
});
