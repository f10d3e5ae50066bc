/** The allocator against a model that knows only sets, with daemons that die at any moment. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parsePrefixed } from "./addresses.ts";
import { AddressPool } from "./pool.ts";

const subnet = (text: string) => {
  const parsed = parsePrefixed(text);
  if (parsed === undefined) throw new Error(text);
  return parsed.subnet;
};

type Step =
  | { readonly what: "allocate" | "crash" }
  | { readonly what: "claim" | "release"; readonly host: number };

const steps = fc.array(
  fc.oneof(
    fc.constantFrom<Step>({ what: "allocate" }, { what: "allocate" }, { what: "crash" }),
    fc.record({ what: fc.constantFrom("claim" as const, "release" as const), host: fc.nat(17) }),
  ),
  { maxLength: 80 },
);

test("no address is handed out twice, and none is lost, whatever is asked for and whenever the daemon dies", () => {
  const make = () =>
    new AddressPool(subnet("10.1.0.0/28"), {
      network: "model",
      range: subnet("10.1.0.8/29"),
      reserved: ["10.1.0.1", "10.1.0.9"],
    });
  const free = ["8", "10", "11", "12", "13", "14"].map((host) => `10.1.0.${host}`);
  fc.assert(
    fc.property(steps, (list) => {
      let pool = make();
      // What endpoints' records say: all that outlives a daemon.
      const records = new Set<string>();
      for (const step of list) {
        const address = "host" in step ? `10.1.0.${step.host}` : "";
        if (step.what === "crash") {
          pool = make();
          for (const one of records) expect(pool.claim(one)).toBe(true);
        } else if (step.what === "allocate") {
          const left = free.filter((one) => !records.has(one));
          if (left.length === 0)
            expect(() => pool.allocate()).toThrow(/no available IPv4 addresses/);
          else {
            const got = pool.allocate();
            expect(left).toContain(got);
            records.add(got);
          }
        } else if (step.what === "claim") {
          const host = Number(address.split(".")[3]);
          const able = host < 16 && host !== 1 && host !== 9 && !records.has(address);
          expect(pool.claim(address)).toBe(able);
          if (able) records.add(address);
        } else {
          pool.release(address);
          records.delete(address);
        }
        expect(pool.inUse).toBe(records.size > 0);
      }
    }),
    { numRuns: 500 },
  );
});

test("an address that was given back comes last, and a subnet of IPv6 is as good", () => {
  const pool = new AddressPool(subnet("fd00::/64"), { network: "six", reserved: ["fd00::1"] });
  const first = pool.allocate();
  expect(first).toBe("fd00::2");
  pool.release(first);
  expect(pool.allocate()).toBe("fd00::3");
});
