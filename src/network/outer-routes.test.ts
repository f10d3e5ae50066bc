import { expect, test } from "bun:test";
import { formatSubnet } from "./addresses.ts";
import { outerRoutes4, outerRoutes6 } from "./outer-routes.ts";

const shown = (routes: ReturnType<typeof outerRoutes4>) =>
  routes.map(({ subnet, by }) => `${formatSubnet(subnet)} ${by}`);

test("routes of IPv4 but the default one, and those of links that are down", () => {
  const text = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	000012AC	00000000	0001	0	0	0	0000FEFF	0	0	0
gone	0000120A	00000000	0000	0	0	0	0000FEFF	0	0	0
`;
  expect(shown(outerRoutes4(text))).toEqual(["192.0.2.0/24 eth0", "172.18.0.0/15 tun0"]);
});

test("routes of IPv6 but the default one, the host's own addresses and what every link has", () => {
  const none = "00000000000000000000000000000000";
  const text = `fd000000000000000000000000000000 40 ${none} 00 ${none} 00000100 00000002 00000000 00000001     eth0
fe800000000000000000000000000000 40 ${none} 00 ${none} 00000100 00000001 00000000 00000001     eth0
${none} 00 ${none} 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     eth0
00000000000000000000000000000001 80 ${none} 00 ${none} 00000000 00000004 00000000 80200001       lo
fd000000000000000000000000000002 80 ${none} 00 ${none} 00000000 00000003 00000000 80200001     eth0
ff000000000000000000000000000000 08 ${none} 00 ${none} 00000100 00000004 00000000 00000001     eth0
`;
  expect(shown(outerRoutes6(text))).toEqual(["fd00::/64 eth0"]);
});
