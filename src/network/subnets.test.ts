/** Addresses, subnets and pools. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatAddress, formatSubnet, overlaps, parseAddress, parsePrefixed } from "./addresses.ts";
import { defaultPools, freeSubnet, parsePool } from "./subnets.ts";

const subnet = (text: string) => {
  const parsed = parsePrefixed(text);
  if (parsed === undefined) throw new Error(text);
  return parsed.subnet;
};

test("addresses of both families are read and written alike", () => {
  for (const text of ["0.0.0.0", "255.255.255.255", "::", "::1", "fd00::1:0:0:1", "2001:db8::"]) {
    const { family, value } = parseAddress(text) ?? { family: 4 as const, value: -1n };
    expect(formatAddress(family, value)).toBe(text);
  }
  expect(parseAddress("::ffff:10.0.0.1")?.value).toBe(0xffff0a000001n);
  for (const text of ["1.2.3", "01.2.3.4", "1.2.3.256", "g::", "fe80::1%eth0", ""])
    expect(parseAddress(text)).toBeUndefined();
  fc.assert(
    fc.property(fc.bigInt(0n, (1n << 128n) - 1n), (value) => {
      expect(parseAddress(formatAddress(6, value))).toEqual({ family: 6, value });
    }),
  );
});

test("a free subnet touches nothing that is taken, and thousands of networks find one", () => {
  const taken = [subnet("172.18.0.0/15"), subnet("172.20.0.64/26"), subnet("0.0.0.0/4")];
  const found = freeSubnet(defaultPools, taken);
  expect(found && formatSubnet(found)).toBe("172.20.1.0/24");
  const many: string[] = [];
  for (const list = [...taken]; many.length < 1000; ) {
    const next = freeSubnet(defaultPools, list);
    if (next === undefined || list.some((one) => overlaps(one, next))) break;
    list.push(next);
    many.push(formatSubnet(next));
  }
  expect(new Set(many).size).toBe(1000);
  const small = [parsePool("base=10.0.0.0/28,size=30")];
  const got: string[] = [];
  for (const list = [subnet("10.0.0.4/31")]; ; ) {
    const next = freeSubnet(small, list);
    if (next === undefined) break;
    list.push(next);
    got.push(formatSubnet(next));
  }
  expect(got).toEqual(["10.0.0.0/30", "10.0.0.8/30", "10.0.0.12/30"]);
});

test("a pool that makes no sense is refused with its fault", () => {
  for (const text of [
    "",
    "base=10.0.0.0",
    "base=10.0.0.0/16,size=8",
    "size=24",
    "base=fd00::/8,size=64",
    "base=10.0.0.0/8,size=24,more=1",
  ])
    expect(() => parsePool(text)).toThrow(/^invalid default address pool/);
});
