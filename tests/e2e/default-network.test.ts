/** What the daemon's flags say of the default network, as containers on it see it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { MACHINE, Outside } from "../kits/outside.ts";

const flags = [
  ...["--bip", "172.29.5.1/24", "--fixed-cidr", "172.29.5.128/25", "--mtu", "1400"],
  ...["--ipv6", "--fixed-cidr-v6", "fd00:dead:5::/64", "--icc=false", "--ip", "198.51.100.1"],
  ...["--ip-masq=false", "--default-gateway-v6", "fd00:dead:5::77"],
];
const daemon = daemonOfFile(flags);
let outside: Outside;

beforeAll(async () => {
  outside = await Outside.start(daemon, "outside");
});
afterAll(() => outside.remove());

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

const inside = (name: string, script: string) => done("exec", name, "sh", "-c", script);

test("addresses of both families, their ranges, the way out and the MTU are as the daemon was told", async () => {
  await done("run", "-d", "--name", "one", "busybox", "sleep", "10000");
  expect(await daemon.inspect("one", "{{.NetworkSettings.IPAddress}}")).toMatch(
    /^172\.29\.5\.1[23]\d$/,
  );
  expect(await daemon.inspect("one", "{{.NetworkSettings.GlobalIPv6Address}}")).toStartWith(
    "fd00:dead:5::",
  );
  expect(await inside("one", "cat /sys/class/net/eth0/mtu")).toBe("1400");
  expect(await inside("one", "ip route | grep default")).toContain("via 172.29.5.1 ");
  expect(await inside("one", "ip -6 route | grep default")).toContain("via fd00:dead:5::77 ");
  const shown = JSON.parse((await daemon.docker("network", "inspect", "bridge")).out)[0];
  expect(shown).toMatchObject({
    EnableIPv6: true,
    IPAM: {
      Config: [
        { Subnet: "172.29.5.0/24", IPRange: "172.29.5.128/25", Gateway: "172.29.5.1" },
        {
          ...{ Subnet: "fd00:dead:5::/64", Gateway: "fd00:dead:5::1" },
          AuxiliaryAddresses: { DefaultGatewayIPv6: "fd00:dead:5::77" },
        },
      ],
    },
    Options: {
      "com.docker.network.bridge.enable_icc": "false",
      "com.docker.network.bridge.enable_ip_masquerade": "false",
      "com.docker.network.bridge.host_binding_ipv4": "198.51.100.1",
      "com.docker.network.driver.mtu": "1400",
    },
  });
  expect(await inside("one", "ping -6 -c1 -W5 fd00:dead:5::1")).toContain(" 0% packet loss");
});

test("--icc=false keeps its containers apart, --ip says where ports are published, --ip-masq=false leaves addresses alone", async () => {
  await done(
    "run",
    "-d",
    "--name",
    "two",
    "-p",
    "80",
    "busybox",
    "httpd",
    "-f",
    "-p",
    "80",
    "-h",
    "/etc",
  );
  const two = await daemon.inspect("two", "{{.NetworkSettings.IPAddress}}");
  const ping = await daemon.berth("exec", "one", "ping", "-c1", "-W1", two);
  expect(ping.status).not.toBe(0);
  expect(await done("port", "two", "80")).toMatch(/^198\.51\.100\.1:\d+$/);
  const seen = outside.sources(9998);
  const one = await daemon.inspect("one", "{{.NetworkSettings.IPAddress}}");
  await inside("one", `until nc -w 3 ${MACHINE} 9998 </dev/null; do :; done`);
  expect(await seen).toBe(one);
});

test("what has addresses keeps them when the daemon is killed, and one with other flags goes on with the network", async () => {
  const before = await daemon.inspect("one", "{{json .NetworkSettings.Networks.bridge}}");
  await daemon.kill();
  await daemon.start();
  expect(await daemon.inspect("one", "{{json .NetworkSettings.Networks.bridge}}")).toBe(before);
  await done("run", "-d", "--name", "three", "busybox", "sleep", "10000");
  const six = "{{.NetworkSettings.GlobalIPv6Address}}";
  expect(await daemon.inspect("three", six)).not.toBe(await daemon.inspect("one", six));
});

test("--bridge none: who names no network has none", async () => {
  const other = await new TestDaemon(["--bridge", "none"]).start();
  try {
    const names = (await other.docker("network", "ls", "--format", "{{.Name}}")).out;
    expect(names).toBe("host\nnone\n");
    const links = await other.docker("run", "--rm", "-p", "80", "busybox", "ip", "-o", "link");
    expect(links.out.trim().split("\n")).toHaveLength(1);
    await other.berth("network", "create", "own");
    const own = await other.berth("run", "--rm", "--network", "own", "busybox", "ip", "-o", "link");
    expect(own.out.trim().split("\n")).toHaveLength(2);
    const { err } = await other.docker("network", "inspect", "bridge");
    expect(err).toContain("network bridge not found");
    await other.berth("network", "rm", "own");
  } finally {
    await other.destroy();
  }
});

const faults: readonly (readonly [flags: string[], words: string])[] = [
  [["--icc=maybe"], 'invalid argument "maybe" for "--icc" flag'],
  [
    ["--bip", "10.1.0.1/24", "--default-gateway", "10.2.0.1"],
    "default gateway ip must be part of the network",
  ],
  [
    ["--bip", "10.1.0.1/24", "--fixed-cidr", "10.2.0.0/24"],
    "are not in the bridge's subnet 10.1.0.0/24",
  ],
  [["--ipv6", "--fixed-cidr-v6", "10.1.0.0/24"], "no IPv6 subnet"],
  [["--ip", "here"], 'invalid value "here" for --ip'],
];

test.each(faults)("%j is refused", async (wrong, words) => {
  const other = new TestDaemon(wrong);
  await expect(other.start()).rejects.toThrow(words);
  rmSync(other.directory, { recursive: true });
});
