/** Requests for networks, on paper. */
import { expect, test } from "bun:test";
import { parsePrefixed } from "./addresses.ts";
import { type CreationHost, type NetworkInput, networkRecord } from "./creation.ts";
import { parsePool } from "./subnets.ts";

const id = "0123456789ab".padEnd(64, "0");
const route = parsePrefixed("10.8.0.0/16")?.subnet;
if (route === undefined) throw new Error("route");
const host: CreationHost = {
  pools: [parsePool("base=172.18.0.0/16,size=24")],
  pools6: [],
  taken: [{ subnet: route, by: "the host's route to 10.8.0.0/16 by tun0", network: false }],
  existing: undefined,
  parents: [],
};
const made = (input: NetworkInput, more: Partial<CreationHost> = {}) =>
  networkRecord(id, { Name: "net", ...input }, { ...host, ...more });
const withSubnet = (config: object) => ({
  IPAM: { Config: [{ Subnet: "10.1.0.0/16", ...config }] },
});

test("a network has its subnet chosen, or as it is asked for, with the first free address as its gateway", () => {
  expect(made({})).toMatchObject({
    ...{ driver: "bridge", bridge: "br-0123456789ab", foreign: false },
    ipam: { chosen: false, config: [{ subnet: "172.18.0.0/24", gateway: "172.18.0.1" }] },
  });
  expect(made(withSubnet({})).ipam).toMatchObject({
    ...{ chosen: true, config: [{ subnet: "10.1.0.0/16", gateway: "10.1.0.1" }] },
  });
  const aux = { AuxiliaryAddresses: { router: "10.1.0.1" } };
  expect(made(withSubnet(aux)).ipam.config[0]?.gateway).toBe("10.1.0.2");
});

test("what a bridge that is there already has is gone on with", () => {
  const { ipam, foreign, bridge } = made(
    { Options: { "com.docker.network.bridge.name": "br0" } },
    { existing: { address: "10.9.0.5/24" } },
  );
  expect({ foreign, bridge }).toEqual({ foreign: true, bridge: "br0" });
  expect(ipam.config).toEqual([{ subnet: "10.9.0.0/24", gateway: "10.9.0.5" }]);
});

const refused: readonly [input: NetworkInput, words: string][] = [
  [{ Name: "" }, "invalid network name: name is empty"],
  [{ Name: "host" }, "operation is not permitted on predefined host network "],
  [{ Name: "a b" }, "invalid network name: a b"],
  [{ Driver: "weave" }, 'plugin "weave" not found'],
  [{ Driver: "host" }, 'only one instance of "host" network is allowed'],
  [withSubnet({ Subnet: "10.1.0.0" }), "invalid subnet 10.1.0.0: invalid CIDR block notation"],
  [withSubnet({ Subnet: "10.1.0.1/16" }), "invalid subnet 10.1.0.1/16: it should be 10.1.0.0/16"],
  [withSubnet({ Subnet: "10.1.0.0/32" }), "it has no room"],
  [
    withSubnet({ Gateway: "10.1.0.0" }),
    "failed to allocate gateway (10.1.0.0): Address already in use",
  ],
  [
    withSubnet({ Gateway: "10.1.255.255" }),
    "failed to allocate gateway (10.1.255.255): Address already in use",
  ],
  [
    withSubnet({ Gateway: "10.1.0.9", AuxiliaryAddresses: { x: "10.1.0.9" } }),
    "failed to allocate secondary ip address (x:10.1.0.9): Address already in use",
  ],
  [
    withSubnet({ AuxiliaryAddresses: { x: "10.1.0.9", y: "10.1.0.9" } }),
    "failed to allocate secondary ip address (y:10.1.0.9): Address already in use",
  ],
  [
    withSubnet({ AuxiliaryAddresses: { x: "10.1.0.0" } }),
    "failed to allocate secondary ip address (x:10.1.0.0): Address already in use",
  ],
  [withSubnet({ Gateway: "10.2.0.1" }), "parent subnet 10.1.0.0/16 doesn't contain this address"],
  [withSubnet({ Gateway: "fd00::1" }), "invalid gateway fd00::1: parent subnet is an IPv4 block"],
  [
    withSubnet({ IPRange: "10.0.0.0/8" }),
    "CIDR block is bigger than its parent subnet 10.1.0.0/16",
  ],
  [withSubnet({ IPRange: "10.2.0.0/24" }), "parent subnet 10.1.0.0/16 doesn't contain ip-range"],
  [withSubnet({ AuxiliaryAddresses: { x: "y" } }), "invalid auxiliary address y: invalid address"],
  [withSubnet({ Subnet: "10.8.1.0/24" }), "overlaps with the host's route to 10.8.0.0/16 by tun0"],
  [
    { Options: { "com.docker.network.bridge.name": 'x" ; drop' } },
    "com.docker.network.bridge.name",
  ],
  [{ Options: { "com.docker.network.bridge.name": "x*" } }, "com.docker.network.bridge.name"],
  [{ Options: { "com.docker.network.bridge.enable_icc": "maybe" } }, "strconv.ParseBool"],
  [{ Options: { "com.docker.network.driver.mtu": "1" } }, "from 68 to 65535"],
  [{ Ingress: true }, "Ingress network can only be global scope network"],
  [{ Scope: "swarm" }, "cannot create a swarm scoped network when swarm is not active"],
  [{ Driver: "overlay" }, "This node is not a swarm manager."],
];

test.each(refused)("%j is refused", (input, words) => {
  expect(() => made(input)).toThrow(words);
});
