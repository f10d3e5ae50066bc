/** What the kernel and iptables-save say, damaged: as much as is whole is read, and reading comes to an end. */
import { expect, test } from "bun:test";
import { checkAll, damaged, damagedText } from "../../tests/kits/fuzz.ts";
import { parseSaved } from "./iptables-changes.ts";
import { attributesOf, decodeAnswers, encodeRequests } from "./netlink.ts";

test("netlink answers and their attributes", async () => {
  const attributes = Buffer.from("09000300657468300000000008000400dc05000004000200", "hex");
  const body = Buffer.concat([new Uint8Array(16), attributes]);
  const two = encodeRequests(
    [
      { type: 16, flags: 0, body, what: "a link" },
      { type: 2, flags: 0, body: new Uint8Array(20), what: "an answer" },
    ],
    7,
  );
  await checkAll(damaged([two]), (bytes) => {
    for (const answer of decodeAnswers(bytes)) expect(answer).toBeObject();
    for (const value of attributesOf(bytes, 16).values())
      expect(value.length).toBeLessThanOrEqual(bytes.length);
  });
});

test("what iptables-save says", async () => {
  const saved =
    '*filter\n:INPUT ACCEPT [0:0]\n:BERTH - [0:0]\n-A INPUT -j BERTH\n-A BERTH -m comment --comment "a b" -j DROP\nCOMMIT\n';
  await checkAll(damagedText([saved]), (text) => {
    for (const chains of parseSaved(text).values())
      for (const rules of chains.values()) for (const rule of rules) expect(rule).toBeString();
  });
});
