import { expect, test } from "bun:test";
import { DetachWatcher, parseDetachKeys } from "./detach-keys.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

test("the sequence detaches wherever it is cut; its beginning alone passes on", () => {
  const watcher = new DetachWatcher(parseDetachKeys(""));
  expect(watcher.feed(bytes(97, 16))).toEqual({ pass: bytes(97), detached: false });
  expect(watcher.feed(bytes(98))).toEqual({ pass: bytes(16, 98), detached: false });
  expect(watcher.feed(bytes(16))).toEqual({ pass: bytes(), detached: false });
  expect(watcher.feed(bytes(17))).toEqual({ pass: bytes(), detached: true });
});

test("sequences are read as Docker writes them", () => {
  expect(parseDetachKeys("ctrl-a,x,ctrl-@")).toEqual([1, 120, 0]);
  expect(() => parseDetachKeys("ctrl-")).toThrow("Invalid detach keys (ctrl-) provided");
});
