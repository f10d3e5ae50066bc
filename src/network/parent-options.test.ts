/** What options say of networks on an interface of the host's. */
import { expect, test } from "bun:test";
import { checkShared, parentOptions, vlanOf } from "./parent-options.ts";

test("what is not asked for is the driver's usual", () => {
  const common = { parent: "eth0", flag: "bridge", mtu: 0 };
  expect(parentOptions("macvlan", { parent: "eth0" })).toEqual({
    ...common,
    ...{ driver: "macvlan", mode: "bridge" },
  });
  expect(parentOptions("ipvlan", { parent: "eth0", macvlan_mode: "vepa" })).toEqual({
    ...common,
    ...{ driver: "ipvlan", mode: "l2" },
  });
});

test("a parent's name is one of the kernel's, whatever else it says", () => {
  for (const parent of ["eth0/..", "a b", "x".repeat(16), 'e"', ".."])
    expect(() => parentOptions("macvlan", { parent })).toThrow("invalid subinterface vlan name");
});

test("a VLAN is named by its interface and its number", () => {
  expect(vlanOf("macvlan", "eth0.10")).toEqual({ parent: "eth0", id: 10 });
  for (const id of [0, 4095, -1])
    expect(() => vlanOf("macvlan", `eth0.${id}`)).toThrow(`between 1-4094, received: ${id}`);
  expect(() => vlanOf("ipvlan", "lo.1")).toThrow("loopback interface");
});

test("networks of macvlan share a parent, but not with passthru; those of ipvlan do not", () => {
  const on = (driver: string, mode: string) => ({ driver, mode, parent: "eth0" });
  const other = (driver: string, mode: string) => [{ ...on(driver, mode), id: "0123456789abcdef" }];
  expect(() => checkShared(on("macvlan", "vepa"), other("macvlan", "bridge"))).not.toThrow();
  expect(() => checkShared(on("macvlan", "passthru"), other("macvlan", "bridge"))).toThrow(
    "cannot",
  );
  expect(() => checkShared(on("macvlan", "bridge"), other("macvlan", "passthru"))).toThrow(
    "in mode passthru",
  );
  expect(() => checkShared(on("ipvlan", "l2"), other("ipvlan", "l2"))).toThrow(
    "network di-0123456789ab is already using parent interface eth0",
  );
});
