import { expect, test } from "bun:test";
import { encodeRequests, MessageBuilder } from "./netlink.ts";
import { tellsOfLoss } from "./rules-watch.ts";

/** A notice of the kernel's: nfgenmsg, and the table's name. */
function notice(message: number, table: string, port = 0, subsystem = 10): Uint8Array {
  const body = new MessageBuilder()
    .raw(Uint8Array.of(1, 0, 0, 0))
    .text(1, table)
    .bytes();
  const type = (subsystem << 8) | message;
  const bytes = encodeRequests([{ type, flags: 0, body, what: "" }], 1);
  new DataView(bytes.buffer).setUint32(12, port, true);
  return bytes;
}

const DELTABLE = 2;
const DELRULE = 8;
const NEWRULE = 6;

test("what others take out of the table is a loss; what they add, other tables and berth's own changes are none", () => {
  expect(tellsOfLoss(notice(DELTABLE, "berth0"), "berth0")).toBe(true);
  expect(tellsOfLoss(notice(NEWRULE, "berth0"), "berth0")).toBe(false);
  expect(tellsOfLoss(notice(DELRULE, "berth01"), "berth0")).toBe(false);
  expect(tellsOfLoss(notice(DELTABLE, "berth0", 0, 1), "berth0")).toBe(false);
  expect(tellsOfLoss(notice(DELRULE, "berth0", 77), "berth0", new Set([77]))).toBe(false);
  const several = Buffer.concat([notice(NEWRULE, "berth0"), notice(DELRULE, "berth0", 78)]);
  expect(tellsOfLoss(several, "berth0", new Set([77]))).toBe(true);
  expect(tellsOfLoss(several.subarray(0, several.length - 3), "berth0")).toBe(false);
  expect(tellsOfLoss(new Uint8Array(0), "berth0")).toBe(false);
});
