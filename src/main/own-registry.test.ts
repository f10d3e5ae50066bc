import { expect, test } from "bun:test";
import { graceOf, parseListenAddress } from "./own-registry.ts";

test("where a registry listens", () => {
  expect(parseListenAddress("127.0.0.1:5001")).toEqual({ host: "127.0.0.1", port: 5001 });
  expect(parseListenAddress("127.0.0.1")).toEqual({ host: "127.0.0.1", port: 5000 });
  expect(parseListenAddress("[::1]:7")).toEqual({ host: "::1", port: 7 });
  // As the well-known registry has it, no address is every address.
  expect(parseListenAddress(":5000")).toEqual({ host: "::", port: 5000 });
  for (const bad of ["", "a:b", "1.2.3.4:99999", "::1:5000", "http://x:1"])
    expect(() => parseListenAddress(bad)).toThrow("it must be ADDRESS[:PORT]");
});

test("how long what is young is spared", () => {
  expect([undefined, "0s", "30m"].map(graceOf)).toEqual([3600_000, 0, 1800_000]);
  expect(() => graceOf("soon")).toThrow("invalid duration");
});
