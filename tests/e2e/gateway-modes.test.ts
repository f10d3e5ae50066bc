/** How networks are connected to the outside: Docker's gateway modes, as another machine with a route to containers sees them. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";
import { host } from "../kits/lan.ts";
import { MACHINE, Outside } from "../kits/outside.ts";

const daemon = daemonOfFile();
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

const BRIDGE = "com.docker.network.bridge";
const create = (name: string, ...flags: string[]) => done("network", "create", ...flags, name);

/** Serves "open" at port 80 and "shut" at port 81 of every address, of which only 80 is published. */
async function serve(name: string, network: string): Promise<string> {
  const script =
    "mkdir /a /b; echo open >/a/index.html; echo shut >/b/index.html; httpd -p 81 -h /b; exec httpd -f -p 80 -h /a";
  await done(
    ...["run", "-d", "--name", name, "--network", network, "-p", "18080:80"],
    ...["busybox", "sh", "-c", script],
  );
  const address = await daemon.inspect(
    name,
    "{{range .NetworkSettings.Networks}}{{or .IPAddress .GlobalIPv6Address}}{{end}}",
  );
  await listening(name);
  return address;
}

/** What a container on a network hears from a server. */
async function getFrom(network: string, address: string, port: number): Promise<string> {
  const ask = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${address} ${port}`;
  const run = ["run", "--rm", "--network", network, "busybox", "sh", "-c", ask];
  return (await daemon.berth(...run)).out;
}

/** Waits until both of a container's servers listen. */
async function listening(name: string): Promise<void> {
  const ready = "until netstat -ltn | grep -q :80 && netstat -ltn | grep -q :81; do :; done";
  await done("exec", name, "sh", "-c", ready);
}

afterEach(async () => {
  await daemon.berth("rm", "-f", "web");
  await done("network", "prune", "-f");
});

test("nat: what is published is reached at the host's address alone", async () => {
  await create("plain", "--subnet", "10.230.0.0/24");
  const address = await serve("web", "plain");
  expect(outside.get("198.51.100.1", 18080)).toBe("open");
  expect([outside.getInVain(address, 80), outside.getInVain(address, 81)]).toEqual(["", ""]);
});

test("nat-unprotected: every port is reached at the container's address too, but not from internal networks", async () => {
  await create(
    "bare",
    "--subnet",
    "10.230.0.0/24",
    "-o",
    `${BRIDGE}.gateway_mode_ipv4=nat-unprotected`,
  );
  await create("inner", "--internal");
  const address = await serve("web", "bare");
  expect(outside.get("198.51.100.1", 18080)).toBe("open");
  expect([outside.get(address, 80), outside.get(address, 81)]).toEqual(["open", "shut"]);
  const get = (network: string) => getFrom(network, address, 81);
  expect(await get("bridge")).toContain("shut\n");
  expect(await get("inner")).toBe("");
});

test("routed: what is published is reached at the container's address, under everybody's own", async () => {
  await create("routed", "--subnet", "10.230.0.0/24", "-o", `${BRIDGE}.gateway_mode_ipv4=routed`);
  const address = await serve("web", "routed");
  expect([outside.get(address, 80), outside.getInVain(address, 81)]).toEqual(["open", ""]);
  expect(outside.getInVain("198.51.100.1", 18080)).toBe("");
  expect(outside.run("busybox", "ping", "-c1", "-W3", address)).toContain("1 packets received");
  // What leaves keeps its address.
  const seen = outside.sources(9999);
  const ask = `until nc -w 3 ${MACHINE} 9999 </dev/null; do :; done`;
  await done("exec", "web", "sh", "-c", ask);
  expect(await seen).toBe(address);
  await daemon.kill();
  await daemon.start();
  expect([outside.get(address, 80), outside.getInVain(address, 81)]).toEqual(["open", ""]);
  await done("restart", "-t", "0", "web");
  await listening("web");
  const now = await daemon.inspect("web", "{{.NetworkSettings.Networks.routed.IPAddress}}");
  expect(outside.get(now, 80)).toBe("open");
  await done("network", "disconnect", "routed", "web");
  await done("network", "connect", "routed", "web");
  const last = await daemon.inspect("web", "{{.NetworkSettings.Networks.routed.IPAddress}}");
  expect(outside.get(last, 80)).toBe("open");
  await done("stop", "-t", "0", "web");
  const table = host("nft", "list", "ruleset");
  expect(table).toMatch(/set opened|chain DOCKER/);
  for (const one of [address, now, last]) expect(table).not.toContain(one);
});

test("routed: ports of a container that runs are opened and closed by update, on every network that it is on", async () => {
  await create("routed", "--subnet", "10.230.0.0/24", "-o", `${BRIDGE}.gateway_mode_ipv4=routed`);
  await create("beside", "--subnet", "10.231.0.0/24", "-o", `${BRIDGE}.gateway_mode_ipv4=routed`);
  await serve("web", "routed");
  await done("network", "connect", "beside", "web");
  const pid = await daemon.inspect("web", "{{.State.Pid}}");
  const addresses: string[] = [];
  for (const network of ["routed", "beside"])
    addresses.push(
      await daemon.inspect("web", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`),
    );
  const expectOpen = (...wanted: readonly [http: string, other: string]) => {
    for (const address of addresses)
      for (const [at, said] of wanted.entries())
        expect(
          said === "" ? outside.getInVain(address, 80 + at) : outside.get(address, 80 + at),
        ).toBe(said);
  };
  expectOpen("open", "");
  await done("update", "-p", "18081:81", "web");
  expectOpen("open", "shut");
  await done("update", "--publish-rm", "80", "web");
  expectOpen("", "shut");
  await daemon.kill();
  await daemon.start();
  expectOpen("", "shut");
  expect(await daemon.inspect("web", "{{.State.Pid}}")).toBe(pid);
  await done("network", "disconnect", "beside", "web");
  await done("network", "connect", "beside", "web");
  addresses[1] = await daemon.inspect("web", "{{.NetworkSettings.Networks.beside.IPAddress}}");
  expectOpen("", "shut");
});

test("of IPv6 the mode is its own: routed beside nat", async () => {
  const mode = ["-o", `${BRIDGE}.gateway_mode_ipv6=routed`, "--subnet", "2001:db8:99::/64"];
  await create("mixed", "--ipv6", "--subnet", "10.230.0.0/24", ...mode);
  const address = await serve("web", "mixed");
  const six = await daemon.inspect("web", "{{.NetworkSettings.Networks.mixed.GlobalIPv6Address}}");
  expect([outside.get(six, 80), outside.getInVain(six, 81)]).toEqual(["open", ""]);
  expect([outside.get("198.51.100.1", 18080), outside.getInVain(address, 80)]).toEqual([
    "open",
    "",
  ]);
});

test("a network without IPv4 has a way of its own", async () => {
  const mode = [
    "-o",
    `${BRIDGE}.gateway_mode_ipv6=nat-unprotected`,
    "--subnet",
    "2001:db8:98::/64",
  ];
  await create("six", "--ipv4=false", "--ipv6", ...mode);
  const address = await serve("web", "six");
  expect(address).toStartWith("2001:db8:98::");
  expect(outside.get(address, 81)).toBe("shut");
  expect(await done("exec", "web", "ip", "-4", "-o", "address")).not.toContain("eth0");
  // Of two networks each family has its own way out.
  await done("network", "connect", "bridge", "web");
  const route = (family: string) => done("exec", "web", "ip", family, "route", "show", "default");
  expect(await route("-4")).toContain("dev eth1");
  expect(await route("-6")).toContain("via 2001:db8:98::1 dev eth0");
  await done("restart", "-t", "0", "web");
  expect(await route("-4")).toContain("dev eth1");
  expect(await route("-6")).toContain("via 2001:db8:98::1 dev eth0");
});

test("isolated: the host has no address on an internal network, and its containers reach each other", async () => {
  const mode = ["--internal", "-o", `${BRIDGE}.gateway_mode_ipv4=isolated`];
  const id = await create("cut", "--subnet", "10.230.0.0/24", ...mode);
  await serve("web", "cut");
  expect(host("ip", "-o", "-4", "address", "show", `br-${id.slice(0, 12)}`)).toBe("");
  expect(await getFrom("cut", "web", 80)).toContain("open\n");
  const { IPAM } = JSON.parse((await daemon.docker("network", "inspect", "cut")).out)[0];
  expect(IPAM.Config).toEqual([{ Subnet: "10.230.0.0/24" }]);
});

test("from interfaces that are trusted containers are reached directly", async () => {
  const trusted = `${BRIDGE}.trusted_host_interfaces=none0:${outside.interface}`;
  await create("trusting", "--subnet", "10.230.0.0/24", "-o", trusted);
  const address = await serve("web", "trusting");
  expect(outside.get(address, 81)).toBe("shut");
});

test("containers' way out is another address where an auxiliary one is called so, and the host's may be left out", async () => {
  const aux = ["--aux-address", "DefaultGatewayIPv4=10.230.0.7"];
  const id = await create(
    "elsewhere",
    "--subnet",
    "10.230.0.0/24",
    ...aux,
    "-o",
    `${BRIDGE}.inhibit_ipv4=true`,
  );
  const run = ["run", "--rm", "--network", "elsewhere", "busybox", "ip", "route"];
  expect(await done(...run)).toContain("default via 10.230.0.7 dev eth0");
  expect(host("ip", "-o", "-4", "address", "show", `br-${id.slice(0, 12)}`)).toBe("");
});

const faults: readonly (readonly [flags: string[], words: string])[] = [
  [
    ["-o", `${BRIDGE}.gateway_mode_ipv4=open`],
    `failed to parse ${BRIDGE}.gateway_mode_ipv4 value: open (unknown gateway mode open)`,
  ],
  [
    ["-o", `${BRIDGE}.gateway_mode_ipv6=isolated`],
    "gateway mode 'isolated' can only be used for an internal network",
  ],
  [
    ["-o", `${BRIDGE}.enable_icc=maybe`],
    `failed to parse ${BRIDGE}.enable_icc value: maybe (strconv.ParseBool: parsing "maybe": invalid syntax)`,
  ],
  [
    ["-o", "com.docker.network.driver.mtu=many"],
    'failed to parse com.docker.network.driver.mtu value: many (strconv.Atoi: parsing "many": invalid syntax)',
  ],
  [
    ["-o", "com.docker.network.host_ipv6=x"],
    "failed to parse com.docker.network.host_ipv6 value: x (nil ip)",
  ],
  [["-o", "com.docker.network.enable_ipv4=false", "--ipv6=false"], "IPv4 or IPv6 must be enabled"],
];

test.each(faults)("%j is refused in Docker's words", async (flags, words) => {
  const { status, err } = await daemon.docker("network", "create", ...flags, "bad");
  expect([status, err]).toEqual([1, `Error response from daemon: ${words}\n`]);
});
