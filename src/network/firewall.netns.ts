/** berth's table as nft reads it. firewall.test.ts runs this file in a network namespace of its own. */
import { beforeAll, expect, test } from "bun:test";
import { helperOfFile } from "../../tests/kits/helper.ts";
import { NETLINK_NETFILTER, NetlinkChannel } from "./channel.ts";
import {
  additions,
  type NetworkRules,
  type Ruleset,
  removals,
  ruleset,
  tableRemoval,
} from "./firewall.ts";
import type { NetlinkRequest } from "./netlink.ts";

const helper = helperOfFile();
let channel: NetlinkChannel;
beforeAll(() => {
  channel = new NetlinkChannel(helper.kernel);
});

const send = (requests: readonly NetlinkRequest[]) => channel.send(0, requests, NETLINK_NETFILTER);

function nft(words: readonly string[], script = ""): string {
  const { stdout, stderr } = Bun.spawnSync(["nft", ...words], { stdin: Buffer.from(script) });
  expect(stderr.toString()).toBe("");
  return stdout.toString();
}

const plain = {
  ...({ internal: false, icc: true, masquerade: true } as const),
  ...({ mode4: "nat", mode6: "nat", trusted: [] } as const),
};
const networks: readonly NetworkRules[] = [
  { ...plain, bridge: "plain", subnet: "172.30.1.0/24", subnet6: "fd00:0:0:1::/64" },
  { ...plain, bridge: "apart", subnet: "172.30.0.0/24", icc: false, sourceAddress: "10.9.9.9" },
  { ...plain, bridge: "inner", subnet: "10.7.0.0/30", subnet6: "fd00::/64", internal: true },
  { ...plain, bridge: "top", subnet: "255.255.0.0/16", mode4: "routed", mode6: "nat-unprotected" },
  { ...plain, bridge: "open", mode4: "nat-unprotected", mode6: "routed", trusted: ["eth7"] },
];
const contents: Ruleset = {
  networks,
  ports: [
    ...([
      { protocol: "tcp", hostAddress: "0.0.0.0", hostPort: 8080 },
      { protocol: "udp", hostAddress: "127.0.0.1", hostPort: 5353 },
      { protocol: "tcp", hostAddress: "::", hostPort: 8080 },
      { protocol: "udp", hostAddress: "2001:db8::1", hostPort: 5354 },
    ] as const),
  ].map((port) => ({ ...port, containerPort: 513, address: "172.30.1.2", address6: "fd00::2" })),
  opened: [
    { address: "255.255.0.2", protocol: "tcp", port: 80 },
    { address: "fd00::3", protocol: "sctp", port: 81 },
  ],
  held: false,
};

/** The same, as one would write it for nft. */
const written = `table inet berth9 {
  map published-any { type inet_proto . inet_service : ipv4_addr . inet_service;
    elements = { tcp . 8080 : 172.30.1.2 . 513 } }
  map published-bound { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service;
    elements = { udp . 127.0.0.1 . 5353 : 172.30.1.2 . 513 } }
  map published-any6 { type inet_proto . inet_service : ipv6_addr . inet_service;
    elements = { tcp . 8080 : fd00::2 . 513 } }
  map published-bound6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service;
    elements = { udp . 2001:db8::1 . 5354 : fd00::2 . 513 } }
  set relayed { type inet_proto . inet_service; elements = { tcp . 8080, udp . 5354 } }
  set opened { type ipv4_addr . inet_proto . inet_service; elements = { 255.255.0.2 . tcp . 80 } }
  set opened6 { type ipv6_addr . inet_proto . inet_service; elements = { fd00::3 . sctp . 81 } }
  set bridges { type ifname; elements = { "plain", "apart", "inner", "top", "open" } }
  set internal { type ifname; elements = { "inner" } }
  map into { type ifname : verdict; elements = { "plain" : jump into-plain, "apart" : jump into-apart,
    "inner" : jump into-inner, "top" : jump into-top, "open" : jump into-open } }
  map leaving { type ipv4_addr : verdict; flags interval; elements = { 172.30.1.0/24 : jump leaving-plain,
    172.30.0.0/24 : jump leaving-apart, 10.7.0.0/30 : jump leaving-inner, 255.255.0.0/16 : jump leaving-top } }
  map leaving6 { type ipv6_addr : verdict; flags interval;
    elements = { fd00:0:0:1::/64 : jump leaving-plain, fd00::/64 : jump leaving-inner } }
  chain into-plain {
    ct state established,related accept
    iifname "plain" accept
    ct status dnat accept
    drop
  }
  chain leaving-plain {
    oifname != "plain" meta nfproto ipv4 masquerade
    oifname != "plain" meta nfproto ipv6 masquerade
    oifname "plain" ct status dnat masquerade
  }
  chain into-apart {
    ct state established,related accept
    ct status dnat accept
    drop
  }
  chain leaving-apart {
    oifname != "apart" meta nfproto ipv4 snat ip to 10.9.9.9
    oifname != "apart" meta nfproto ipv6 masquerade
    oifname "apart" ct status dnat masquerade
  }
  chain into-inner {
    iifname "inner" accept
    drop
  }
  chain leaving-inner {
    oifname "inner" ct status dnat masquerade
  }
  chain into-top {
    ct state established,related accept
    iifname "top" accept
    ct status dnat accept
    iifname != @internal meta nfproto ipv4 meta l4proto icmp accept
    iifname != @internal ip daddr . meta l4proto . th dport @opened accept
    iifname != @internal meta nfproto ipv6 accept
    drop
  }
  chain leaving-top {
    oifname != "top" meta nfproto ipv6 masquerade
    oifname "top" ct status dnat masquerade
  }
  chain into-open {
    ct state established,related accept
    iifname "open" accept
    ct status dnat accept
    iifname "eth7" accept
    iifname != @internal meta nfproto ipv4 accept
    iifname != @internal meta nfproto ipv6 meta l4proto ipv6-icmp accept
    iifname != @internal ip6 daddr . meta l4proto . th dport @opened6 accept
    drop
  }
  chain leaving-open {
    oifname != "open" meta nfproto ipv4 masquerade
    oifname "open" ct status dnat masquerade
  }
  chain translate {
    dnat ip to meta l4proto . ip daddr . th dport map @published-bound
    meta nfproto ipv4 dnat ip to meta l4proto . th dport map @published-any
  }
  chain translate6 {
    ip6 daddr ::1 return
    ip6 daddr fe80::/16 return
    ip6 saddr fe80::/16 return
    dnat ip6 to meta l4proto . ip6 daddr . th dport map @published-bound6
    meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @published-any6
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname @internal return
    ip daddr != 127.0.0.0/8 fib daddr type local jump translate
    meta nfproto ipv6 fib daddr type local jump translate6
  }
  chain output {
    type nat hook output priority -100; policy accept;
    meta nfproto ipv4 fib daddr type local jump translate
    meta nfproto ipv6 fib daddr type local jump translate6
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname @internal meta l4proto . th dport @relayed drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    ip saddr vmap @leaving
    ip6 saddr vmap @leaving6
  }
  chain spoofed {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
    iifname @bridges ip saddr 127.0.0.0/8 drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname vmap @into
    iifname @internal drop
  }
}
`;

const listed = () => nft(["list", "ruleset"]);

test("the table is what nft makes of the same words", async () => {
  nft(["-f", "-"], written);
  const expected = listed();
  nft(["flush", "ruleset"]);
  await send(ruleset("berth9", contents));
  expect(listed()).toBe(expected);
  await send(tableRemoval("berth9"));
  expect(listed()).toBe("");
});

test("networks come and go one by one, and leave nothing; where one cannot be, the others are as they were", async () => {
  await send(ruleset("berth9", { ...contents, networks: [] }));
  const empty = listed();
  for (const network of networks) await send(additions("berth9", network));
  // Their chains are in another place; everything else is the same.
  const sorted = (text: string) => text.split("\n").toSorted().join("\n");
  const whole = listed();
  await send(ruleset("berth9", contents));
  expect(sorted(whole)).toBe(sorted(listed()));
  const overlapping: NetworkRules = { ...plain, bridge: "other", subnet: "172.30.0.0/16" };
  await expect(send(additions("berth9", overlapping))).rejects.toThrow("put other into leaving");
  expect(sorted(whole)).toBe(sorted(listed()));
  for (const network of networks) await send(removals("berth9", network));
  expect(listed()).toBe(empty);
  await send(tableRemoval("berth9"));
});

test("a thousand networks and ten thousand ports are made in one transaction", async () => {
  const many = Array.from({ length: 1000 }, (_, at): NetworkRules => {
    const subnet = `10.${at >> 8}.${at & 255}.0/24`;
    return { ...plain, bridge: `br-${at}`, subnet, subnet6: `fd00:0:0:${at.toString(16)}::/64` };
  });
  const ports = Array.from({ length: 10_000 }, (_, at) => {
    const address = `10.0.${at >> 8}.${at & 255}`;
    const host = { protocol: "tcp", hostAddress: "0.0.0.0", hostPort: at + 1 } as const;
    return { ...host, containerPort: 80, address };
  });
  await send(ruleset("berth9", { networks: many, ports, opened: [], held: true }));
  const text = listed();
  expect(text.match(/tcp \. \d+ : /g)).toHaveLength(10_000);
  expect(text.match(/jump leaving-br-/g)).toHaveLength(2000);
  await send(tableRemoval("berth9"));
});
