/** Requests for networks that nobody in their senses makes: a record that holds together, or a Fault. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedJson, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { contains, isMac, parseAddress, parsePrefixed } from "./addresses.ts";
import { type CreationHost, type NetworkInput, networkRecord } from "./creation.ts";
import { parseResolvConf, resolvConfFor } from "./files.ts";
import { familyOptions, isInterfaceName, mtuOption } from "./options.ts";
import { parentOptions } from "./parent-options.ts";
import { AddressPool } from "./pool.ts";
import { localPool, parsePool } from "./subnets.ts";

const host: CreationHost = {
  pools: [parsePool("base=172.18.0.0/16,size=24")],
  pools6: [localPool("test")],
  taken: [],
  existing: undefined,
  parents: [],
};
const id = "0123456789ab".padEnd(64, "0");

const subnets = fc.constantFrom(
  ...[
    "10.1.0.0/16",
    "10.1.2.0/30",
    "10.1.2.0/31",
    "10.1.2.4/32",
    "0.0.0.0/0",
    "10.1.0.0/8",
    "fd00::/64",
  ],
  ...[
    "fd00::/127",
    "::/0",
    "10.1.2.0/29",
    "224.0.0.0/4",
    "127.0.0.0/8",
    "10.1.2.3/24",
    "fe80::/10",
  ],
);
const inside = fc.constantFrom(
  ...[
    "",
    "10.1.0.1",
    "10.1.2.1",
    "10.1.2.2",
    "10.1.2.0/30",
    "10.1.2.3",
    "10.1.255.255",
    "fd00::1",
    "fd00::",
  ],
  ...[
    "::",
    "0.0.0.0",
    "255.255.255.255",
    "10.1.2.8/29",
    "::ffff:10.1.2.1",
    "fd00::/80",
    "10.1.0.0/16",
  ],
);
const odd = (one: fc.Arbitrary<string>) =>
  fc.oneof(
    { weight: 6, arbitrary: one },
    { weight: 1, arbitrary: damagedText(["10.1.2.0/24", "fd00:1::/64", "10.1.2.3"]) },
  );
const config = fc.record(
  {
    Subnet: odd(subnets),
    IPRange: odd(inside),
    Gateway: odd(inside),
    AuxiliaryAddresses: fc.dictionary(fc.constantFrom("a", "b", "__proto__"), odd(inside)),
  },
  { requiredKeys: ["Subnet"] },
);
const prefix = "com.docker.network.";
const optionKeys = [
  ...["bridge.name", "bridge.enable_icc", "bridge.enable_ip_masquerade", "driver.mtu", "host_ipv4"],
  ...[
    "bridge.host_binding_ipv4",
    "container_iface_prefix",
    "bridge.gateway_mode_ipv4",
    "host_ipv6",
  ],
  ...["bridge.gateway_mode_ipv6", "bridge.inhibit_ipv4", "bridge.trusted_host_interfaces"],
  ...["enable_ipv4", "enable_ipv6"],
].map((key) => prefix + key);
const options = fc.dictionary(
  fc.constantFrom(
    ...optionKeys,
    "parent",
    "macvlan_mode",
    "ipvlan_mode",
    "ipvlan_flag",
    "__proto__",
  ),
  fc.oneof(
    fc.constantFrom(
      "",
      "true",
      "0",
      "nat",
      "routed",
      "eth0",
      "eth0.10",
      "l3",
      "bridge",
      "68",
      "-1",
    ),
    fc.constantFrom(
      "65536",
      "1e3",
      "../x",
      "a b",
      "eth0.4095",
      "10.0.0.1",
      "::1",
      "lo",
      "\n",
      '"; drop',
    ),
    damagedText(["eth0.10", "1500", "isolated", "br-lan"]),
  ),
);
const inputs: fc.Arbitrary<NetworkInput> = fc.record(
  {
    Name: fc.oneof(fc.constantFrom("net", "a.b"), damagedText(["front_1"])),
    Driver: fc.constantFrom("", "bridge", "macvlan", "ipvlan", "overlay", "host"),
    EnableIPv4: fc.boolean(),
    EnableIPv6: fc.boolean(),
    Internal: fc.boolean(),
    Options: options,
    IPAM: fc.record({ Config: fc.array(config, { maxLength: 3 }) }, { requiredKeys: [] }),
  },
  { requiredKeys: ["Name"] },
);

test("a network is refused, or has subnets in which its gateways and containers have their places", async () => {
  let made = 0;
  await checkAll(inputs, async (input) => {
    const record = await valueOrFault(() => networkRecord(id, input, host));
    if (record === undefined) return;
    made++;
    // What stands in firewall rules and file names as it is.
    expect(record.name).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/);
    expect(isInterfaceName(record.bridge)).toBe(true);
    expect(record.ipam.config.length).toBeGreaterThan(0);
    for (const one of record.ipam.config) {
      const subnet = parsePrefixed(one.subnet)?.subnet;
      if (subnet === undefined) throw new Error(one.subnet);
      const auxiliary = Object.values(one.auxiliary ?? {});
      for (const text of [one.gateway, ...auxiliary].filter(Boolean)) {
        const address = parseAddress(text);
        expect(address && contains(subnet, address.family, address.value), text).toBe(true);
      }
      const range = parsePrefixed(one.range ?? "")?.subnet;
      const taken = [one.gateway, ...auxiliary];
      const pool = new AddressPool(subnet, { network: "net", range, reserved: taken });
      const address = await valueOrFault(() => pool.allocate());
      const parsed = parseAddress(address ?? "");
      if (address !== undefined) {
        expect(parsed && contains(range ?? subnet, parsed.family, parsed.value)).toBe(true);
        expect(taken).not.toContain(address);
      }
    }
  });
  expect(made).toBeGreaterThan(5);
});

test("values of the wrong kind are refused or passed over", async () => {
  const sound = {
    ...{ Name: "net", Options: { [optionKeys[3] ?? ""]: "1400" }, Labels: { a: "b" } },
    IPAM: { Config: [{ Subnet: "10.1.0.0/16", Gateway: "10.1.0.1", IPRange: "10.1.2.0/24" }] },
  };
  // Types are the API's to check; texts of every kind come through.
  await checkAll(damagedJson([sound.IPAM.Config[0]]), async (one) => {
    const isText = (value: unknown) => typeof value === "string";
    if (typeof one !== "object" || one === null || !Object.values(one).every(isText)) return;
    await valueOrFault(() => networkRecord(id, { ...sound, IPAM: { Config: [one] } }, host));
  });
});

test("every single reader of a text gives a value or a Fault", async () => {
  const seeds = [
    "10.1.2.0/24",
    "fd00:1::/64",
    "base=10.0.0.0/8,size=24",
    "02:42:ac:11:00:02",
    "1500",
  ];
  await checkAll(damagedText(seeds), async (text) => {
    await valueOrFault(() => parsePool(text));
    const parsed = parsePrefixed(text);
    if (parsed !== undefined) expect(parseAddress(parsed.address)?.value).toBe(parsed.value);
    if (isMac(text)) expect(text).toMatch(/^[0-9a-fA-F:.-]+$/);
    for (const key of optionKeys) {
      await valueOrFault(() => familyOptions({ [key]: text }));
      await valueOrFault(() => mtuOption({ [key]: text }));
    }
    for (const driver of ["macvlan", "ipvlan"] as const)
      await valueOrFault(() => parentOptions(driver, { parent: text, [`${driver}_mode`]: text }));
  });
});

test("of whatever the host's resolv.conf says, a container's is lines of sound words", async () => {
  const seeds = [
    "nameserver 10.0.0.1\nsearch a b\noptions ndots:2 timeout:1\n",
    "domain x\n# no\n; no",
  ];
  await checkAll(damagedText(seeds), (text) => {
    const none = { servers: [], search: [], options: [] };
    const conf = resolvConfFor(parseResolvConf(text), none, false, false);
    for (const line of conf.split("\n").filter(Boolean))
      expect(line).toMatch(/^(nameserver|search|options) \S/);
  });
});
