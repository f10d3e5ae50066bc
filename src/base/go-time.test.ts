import { expect, test } from "bun:test";
import { goTimeText } from "./go-time.ts";

test("times are written as Go writes them", () => {
  const texts = {
    "2026-11-26T07:19:30.280Z": "2026-11-26 07:19:30.28 +0000 UTC",
    "2026-11-26T07:19:30.000000000Z": "2026-11-26 07:19:30 +0000 UTC",
    "2026-11-26T07:19:30.000000001+02:00": "2026-11-26 07:19:30.000000001 +0200 +0200",
    "0001-01-01T00:00:00Z": "0001-01-01 00:00:00 +0000 UTC",
  };
  for (const [time, text] of Object.entries(texts)) expect(goTimeText(time)).toBe(text);
});
