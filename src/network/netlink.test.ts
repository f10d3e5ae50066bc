import { expect, test } from "bun:test";
import { attributeAt, attributesOf, MessageBuilder } from "./netlink.ts";

test("an attribute is found where it is, behind others of any length; a cut body has none", () => {
  const body = new MessageBuilder()
    .raw(Uint8Array.of(2, 24, 0, 0))
    .attribute(15, Uint8Array.of(254))
    .text(3, "eth0")
    .u32be(4 | 0x8000, 7)
    .bytes();
  const at = attributeAt(body, 4, 4);
  expect([...body.subarray(at, at + 4)]).toEqual([0, 0, 0, 7]);
  for (const [type, data] of attributesOf(body, 4))
    expect(body.subarray(attributeAt(body, 4, type)).subarray(0, data.length)).toEqual(data);
  expect(attributeAt(body, 4, 5)).toBe(-1);
  expect(attributeAt(body.subarray(0, body.length - 2), 4, 4)).toBe(-1);
  expect(attributeAt(new Uint8Array(8), 4, 0)).toBe(-1);
});
