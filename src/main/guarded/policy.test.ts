/** The policy of a guard: whatever a file says, it is one that can be kept to, or is refused with the file's name. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedJson, damagedText, valueOrFault } from "../../../tests/kits/fuzz.ts";
import { parseGuardPolicy } from "./policy.ts";

const corpus = [
  {
    binds: ["/srv", { path: "/home/ann", readonly: true }],
    ports: ["80", "1024-65535"],
    addresses: ["0.0.0.0/0", "10.1.2.3", "fd00::/8"],
    devices: ["/dev/fuse"],
    privileged: false,
    owners: 200000,
    log: "/var/log/berth-guard.log",
  },
  {},
];

test("damaged policies", async () => {
  const texts = fc.oneof(
    damagedJson(corpus).map((value) => JSON.stringify(value) ?? ""),
    damagedText(corpus.map((one) => JSON.stringify(one))),
  );
  await checkAll(texts, async (text) => {
    const policy = await valueOrFault(() => parseGuardPolicy(text, "guard.json"));
    if (policy === undefined) return;
    for (const { path } of policy.binds) expect(path).toMatch(/^\/(?!.*(^|\/)\.\.?(\/|$))/);
    for (const path of policy.devices) expect(path[0]).toBe("/");
    for (const [first, last] of policy.ports)
      expect(1 <= first && first <= last && last <= 65535).toBe(true);
    for (const { address, prefix } of policy.addresses) {
      const bits = address.includes(":") ? 128 : 32;
      expect(Number.isInteger(prefix) && prefix >= 0 && prefix <= bits).toBe(true);
    }
    expect(typeof policy.privileged).toBe("boolean");
  });
});

test("what is not known is not allowed by being passed over", () => {
  expect(() => parseGuardPolicy('{"privilege":true}', "guard.json")).toThrow("guard.json");
  expect(() => parseGuardPolicy('{"__proto__":{"privileged":true}}', "f").privileged).toThrow("f:");
});
