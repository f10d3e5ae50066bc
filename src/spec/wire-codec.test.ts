import { describe, expect, test } from "bun:test";
import { planOps } from "./wire.ts";
import { encodeRecords, RecordDecoder } from "./wire-codec.ts";
import { helperFrames } from "./wire-helper.ts";

describe("the wire codec", () => {
  test("gives back what it was given, however the stream is cut", () => {
    const spawn = { name: "spawn", id: 7, rundir: "/run/é", handles: [1, 2, 4294967295] } as const;
    const ok = { name: "ok", id: 7, value: 2n ** 63n, data: new Uint8Array([0, 1, 255]) } as const;
    const bytes = encodeRecords(helperFrames, spawn, ok);
    for (const cut of [1, 3, 8, bytes.length]) {
      const decoder = new RecordDecoder(helperFrames);
      const seen: unknown[] = [];
      for (let at = 0; at < bytes.length; at += cut)
        seen.push(...decoder.push(bytes.subarray(at, at + cut)));
      expect(seen).toEqual([spawn, ok]);
      expect(decoder.rest().length).toBe(0);
    }
  });

  test("what it gives and keeps is its own, also when it was given a Buffer", () => {
    const ok = { name: "ok", id: 7, value: 1n, data: new Uint8Array([1, 2, 3]) } as const;
    const chunk = Buffer.from(encodeRecords(helperFrames, ok, ok));
    const decoder = new RecordDecoder(helperFrames);
    const [first] = decoder.push(chunk.subarray(0, chunk.length - 2));
    const last = Buffer.from(chunk.subarray(chunk.length - 2));
    chunk.fill(0xff);
    expect([first, ...decoder.push(last)]).toEqual([ok, ok]);
  });

  test("keeps negative and list values", () => {
    const op = { name: "oom_score_adj", value: -500n } as const;
    expect([...new RecordDecoder(planOps).push(encodeRecords(planOps, op))]).toEqual([op]);
    const exec = { name: "exec", args: ["sh", "-c", ""], env: [] } as const;
    expect([...new RecordDecoder(planOps).push(encodeRecords(planOps, exec))]).toEqual([exec]);
  });

  test("leaves the raw bytes after a frame to the caller", () => {
    const decoder = new RecordDecoder(helperFrames);
    const frame = encodeRecords(helperFrames, { name: "netns_new", id: 1, owner: 0 });
    const joined = new Uint8Array([...frame, 104, 105]);
    expect([...decoder.push(joined)]).toHaveLength(1);
    expect(new TextDecoder().decode(decoder.rest())).toBe("hi");
  });

  test("refuses NUL bytes, numbers that do not fit, and records cut short", () => {
    expect(() => encodeRecords(planOps, { name: "mask", path: "a\0b", params: [] })).toThrow("NUL");
    expect(() => encodeRecords(planOps, { name: "umask", mask: -1 })).toThrow("32-bit");
    const bytes = encodeRecords(planOps, { name: "mask", path: "/proc/kcore", params: [] });
    bytes[8] = 200;
    expect(() => [...new RecordDecoder(planOps).push(bytes)]).toThrow("cut short");
  });
});
