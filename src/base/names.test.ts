import { expect, test } from "bun:test";
import { bytesOfName, nameOfBytes, systemPath } from "./names.ts";

test("any bytes become a name and come back, each name its own", () => {
  const seen = new Map<string, string>();
  const fixed = [
    [],
    [0x66, 0xff, 0xfe],
    [0xc3],
    [0xc3, 0xa4],
    [0xed, 0xb2, 0x80],
    [0xf4, 0x8f, 0x9f, 0xbf],
    [0xf0, 0x9f, 0x98, 0x80, 0x80],
  ];
  const random = Array.from({ length: 20_000 }, () =>
    Array.from(
      { length: 1 + Math.floor(Math.random() * 6) },
      () => 1 + Math.floor(Math.random() * 255),
    ),
  );
  for (const bytes of [...fixed, ...random].map((one) => Uint8Array.from(one))) {
    const name = nameOfBytes(bytes);
    expect([...bytesOfName(name)]).toEqual([...bytes]);
    const hex = Buffer.from(bytes).toString("hex");
    expect(seen.get(name) ?? hex).toBe(hex);
    seen.set(name, hex);
    expect(JSON.parse(JSON.stringify(name))).toBe(name);
  }
});

test("text is itself", () => {
  for (const text of ["", "plain", "ä", "\u{10f77f}", "😀", "\ufffd", "\ufeffmark"]) {
    expect(nameOfBytes(new TextEncoder().encode(text))).toBe(text);
    expect(systemPath(text)).toBe(text);
  }
  expect(systemPath("/a\u{10f7ff}")).toEqual(Buffer.from([0x2f, 0x61, 0xff]));
});
