import { expect, test } from "bun:test";
import { encodeRequests, MessageBuilder } from "./netlink.ts";
import { tellsOfLoss } from "./rules-watch.ts";

/** A notice of the kernel's: nfgenmsg, and the table's name. */
function notice(message: number, table: string, subsystem = 10): Uint8Array {
  const body = new MessageBuilder()
    .raw(Uint8Array.of(1, 0, 0, 0))
    .text(1, table)
    .bytes();
  const type = (subsystem << 8) | message;
  return encodeRequests([{ type, flags: 0, body, what: "" }], 1);
}

const berth0 = new Set(["berth0"]);
const DELTABLE = 2;
const DELRULE = 8;
const NEWRULE = 6;

test("what is taken out of the table is a loss; what is added is none, nor are other tables", () => {
  expect(tellsOfLoss(notice(DELTABLE, "berth0"), berth0)).toBe(true);
  expect(tellsOfLoss(notice(NEWRULE, "berth0"), berth0)).toBe(false);
  expect(tellsOfLoss(notice(DELRULE, "berth01"), berth0)).toBe(false);
  expect(tellsOfLoss(notice(DELTABLE, "berth0", 1), berth0)).toBe(false);
  const several = Buffer.concat([notice(NEWRULE, "berth0"), notice(DELRULE, "berth0")]);
  expect(tellsOfLoss(several, berth0)).toBe(true);
  expect(tellsOfLoss(several.subarray(0, several.length - 3), berth0)).toBe(false);
  expect(tellsOfLoss(new Uint8Array(0), berth0)).toBe(false);
});
