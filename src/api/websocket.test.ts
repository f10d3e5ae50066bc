import { expect, test } from "bun:test";
import { WebSocketReader, webSocketFrame } from "./websocket.ts";

function masked(first: number, text: string, length = text.length): Uint8Array {
  const mask = [1, 2, 3, 4];
  const data = [...Buffer.from(text)].map((byte, i) => byte ^ (mask[i % 4] ?? 0));
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 255];
  return Uint8Array.from([first, ...size, ...mask, ...data]);
}

function read(...pieces: Uint8Array[]): string[] {
  const seen: string[] = [];
  const reader = new WebSocketReader({
    data: (piece) => seen.push(Buffer.from(piece).toString()),
    ping: (payload) => seen.push(`ping ${Buffer.from(payload)}`),
    close: (code) => seen.push(`close ${code}`),
  });
  for (const piece of pieces) reader.push(piece);
  return seen;
}

test("frames are unmasked wherever they are cut", () => {
  const whole = masked(0x82, "x".repeat(300));
  expect(read(whole)).toEqual(["x".repeat(300)]);
  const bytes = [...whole].map((byte) => Uint8Array.of(byte));
  expect(read(...bytes).join("")).toBe("x".repeat(300));
});

test("a fragmented message goes on after a ping in its middle", () => {
  const frames = [masked(0x01, "one"), masked(0x89, "p"), masked(0x80, "two"), masked(0x88, "")];
  expect(read(Buffer.concat(frames))).toEqual(["one", "ping p", "two", "close 1000"]);
});

test("what breaks the protocol closes with 1002, and nothing after it counts", () => {
  const broken = [
    Uint8Array.of(0x82, 0x01, 0x41),
    masked(0xc2, "reserved bit"),
    masked(0x83, "unknown kind"),
    masked(0x80, "continues nothing"),
    masked(0x09, "ping in parts"),
    masked(0x89, "p".repeat(126)),
  ];
  for (const bytes of broken) expect(read(bytes, masked(0x82, "more"))).toEqual(["close 1002"]);
  expect(read(masked(0x01, "a"), masked(0x82, "b"))).toEqual(["a", "close 1002"]);
});

test("lengths are written in the shortest of their three forms", () => {
  expect([...webSocketFrame(2, Uint8Array.of(7))]).toEqual([0x82, 1, 7]);
  expect([...webSocketFrame(2, new Uint8Array(126)).slice(0, 4)]).toEqual([0x82, 126, 0, 126]);
  const long = webSocketFrame(2, new Uint8Array(65_536));
  expect([...long.slice(0, 10)]).toEqual([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
});
