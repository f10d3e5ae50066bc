import { expect, test } from "bun:test";
import { ownsEveryId } from "./user-namespace.ts";

test("the host's own user namespace is told by its map", () => {
  expect(ownsEveryId("         0          0 4294967295\n")).toBe(true);
  expect(ownsEveryId("         0       1000          1\n         1     100000      65536\n")).toBe(
    false,
  );
  expect(ownsEveryId("         0     100000 4294867295\n")).toBe(false);
});
