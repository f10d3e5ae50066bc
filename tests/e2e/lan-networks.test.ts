/** Networks on an interface of the host's: macvlan, and ipvlan and VLANs where the kernel has them. */
import { afterAll, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";
import { host, knowsKind, Lan } from "../kits/lan.ts";

const NEIGHBOUR = "10.240.0.254";
const lan = new Lan("blan", NEIGHBOUR);
const ipvlan = knowsKind("ipvlan", lan.parent);
const vlan = knowsKind("vlan", lan.parent);
const daemon = daemonOfFile();

afterAll(() => lan.remove());

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

async function refused(...args: string[]): Promise<string> {
  const { status, err } = await daemon.docker(...args);
  expect(status, args.join(" ")).not.toBe(0);
  return err.trim();
}

const lanNetwork = (name: string, ...flags: string[]) =>
  done("network", "create", "-d", "macvlan", "-o", `parent=${lan.parent}`, ...flags, name);

const sleeper = (name: string, ...flags: string[]) =>
  done("run", "-d", "--name", name, ...flags, "busybox", "sleep", "10000");

const inside = async (name: string, script: string) =>
  (await daemon.berth("exec", name, "sh", "-c", script)).out;

const reaches = async (from: string, to: string) =>
  (await daemon.berth("exec", from, "ping", "-c1", "-W2", to)).status === 0;

const remove = (...names: string[]) => done("rm", "-f", ...names);

test("containers on a macvlan network are neighbours of the LAN's machines and of each other, by addresses and names", async () => {
  await lanNetwork("lan", "--subnet", "10.240.0.0/24", "--gateway", NEIGHBOUR);
  await sleeper("one", "--network", "lan", "--ip", "10.240.0.9");
  await sleeper("two", "--network", "lan", "-p", "8080:80");
  expect(await reaches("one", NEIGHBOUR)).toBe(true);
  expect(await reaches("one", "two")).toBe(true);
  expect(await inside("one", "ip route")).toBe(
    `default via ${NEIGHBOUR} dev eth0 \n10.240.0.0/24 dev eth0 scope link  src 10.240.0.9 \n`,
  );
  const mac = await daemon.inspect("one", "{{.NetworkSettings.Networks.lan.MacAddress}}");
  expect(host("ip", "neighbour", "show", "10.240.0.9")).toContain(mac);
  // A port of such a container is its own: nothing listens on the host for it.
  expect(await done("port", "two")).toBe("");
  expect(await daemon.inspect("two", "{{json .NetworkSettings.Ports}}")).toBe("{}");
  const shown = JSON.parse((await daemon.docker("network", "inspect", "lan")).out)[0];
  expect(shown).toMatchObject({
    ...{ Driver: "macvlan", Internal: false, Options: { parent: lan.parent } },
    IPAM: { Config: [{ Subnet: "10.240.0.0/24", Gateway: NEIGHBOUR }] },
  });
  expect(Object.keys(shown.Containers)).toHaveLength(2);
  expect(await refused("network", "rm", "lan")).toContain("has active endpoints");
  await remove("one", "two");
  await done("network", "rm", "lan");
  expect(lan.there).toBe(true);
});

test("a container with a fixed address is started again at once, although its old interface may not have gone yet", async () => {
  await lanNetwork("again", "--subnet", "10.240.0.0/24");
  await sleeper("same", "--network", "again", "--ip", "10.240.0.9", "--init");
  for (let times = 0; times < 5; times++) await done("restart", "-t", "0", "same");
  expect(await reaches("same", NEIGHBOUR)).toBe(true);
  await remove("same");
  await done("network", "rm", "again");
});

test("a container is on a bridge and on the LAN; who leads out publishes, and each comes and goes while it runs", async () => {
  await done("network", "create", "inner");
  await lanNetwork("outer", "--subnet", "10.240.0.0/24", "--gateway", NEIGHBOUR);
  await sleeper("both", "--network", "name=inner,gw-priority=1", "-p", "127.0.0.1::80");
  const port = await done("port", "both", "80");
  await done("network", "connect", "outer", "both");
  expect(await inside("both", "ip -o link | grep -c eth")).toBe("2\n");
  expect(await reaches("both", NEIGHBOUR)).toBe(true);
  expect(await inside("both", "ip route | grep default")).toContain("dev eth0");
  expect(await done("port", "both", "80")).toBe(port);
  // The LAN's gateway leads now, and what was published waits until the bridge does again.
  await done("network", "disconnect", "outer", "both");
  const { out } = await daemon.docker("network", "connect", "--gw-priority", "5", "outer", "both");
  expect(out).toBe("");
  expect(await inside("both", "ip route | grep default")).toContain(`via ${NEIGHBOUR}`);
  expect(await done("port", "both")).toBe("");
  await done("network", "disconnect", "outer", "both");
  expect(await done("port", "both", "80")).toBe(port);
  await done("exec", "-d", "both", "sh", "-c", "echo hello >/i; httpd -f -p 80 -h /");
  await daemon.until("both", "{{.State.Running}}", "true");
  expect(host("curl", "-sS", "--retry", "20", "--retry-connrefused", `http://${port}/i`)).toBe(
    "hello\n",
  );
  await remove("both");
  await done("network", "rm", "inner", "outer");
});

test("without a parent the containers reach each other alone, and the interface that was made goes with the network", async () => {
  const id = await done("network", "create", "-d", "macvlan", "--subnet", "10.241.0.0/24", "alone");
  const own = `dm-${id.slice(0, 12)}`;
  expect(host("ip", "link", "show", own)).toContain("UP");
  await sleeper("left", "--network", "alone");
  await sleeper("right", "--network", "alone");
  expect(await reaches("left", "right")).toBe(true);
  expect(await inside("left", "ip route")).not.toContain("default");
  expect(
    JSON.parse((await daemon.docker("network", "inspect", "alone")).out)[0].IPAM.Config,
  ).toEqual([{ Subnet: "10.241.0.0/24" }]);
  await remove("left", "right");
  await done("network", "rm", "alone");
  expect(host("ip", "link", "show", own)).toContain("does not exist");
});

test("private keeps containers apart, passthru is for one network and one container", async () => {
  await lanNetwork("apart", "--subnet", "10.240.0.0/24", "-o", "macvlan_mode=private");
  await sleeper("p1", "--network", "apart");
  await sleeper("p2", "--network", "apart");
  expect(await reaches("p1", NEIGHBOUR)).toBe(true);
  expect(await reaches("p1", "p2")).toBe(false);
  const passthru = ["network", "create", "-d", "macvlan", "-o", `parent=${lan.parent}`];
  const through = [...passthru, "-o", "macvlan_mode=passthru", "--subnet", "10.242.0.0/24"];
  expect(await refused(...through, "through")).toContain("cannot use mode passthru");
  await remove("p1", "p2");
  await done("network", "rm", "apart");
  await done(...through, "through");
  expect(await refused(...passthru, "other")).toContain("in mode passthru");
  await sleeper("only", "--network", "through");
  expect(await refused("run", "--network", "through", "busybox", "true")).toContain(
    "failed to create the macvlan port: invalid argument",
  );
  await done("restart", "-t", "0", "only");
  const ids = (await done("ps", "-aq")).split("\n");
  await remove(...ids);
  await done("network", "rm", "through");
});

test("what runs on the LAN stays there while the daemon is killed, and nobody gets its address", async () => {
  await lanNetwork("kept", "--subnet", "10.240.0.0/29", "--gateway", "10.240.0.6");
  const alone = await done("network", "create", "-d", "macvlan", "--subnet", "10.241.0.0/24", "in");
  await sleeper("stays", "--network", "kept", "--ip", "10.240.0.2");
  await done("network", "connect", "in", "stays");
  await daemon.kill();
  expect(host("ip", "link", "show", `dm-${alone.slice(0, 12)}`)).toContain("UP");
  await daemon.start();
  await sleeper("next", "--network", "kept");
  await sleeper("last", "--network", "kept");
  const addresses = await Promise.all(
    ["stays", "next", "last"].map((name) =>
      daemon.inspect(name, "{{.NetworkSettings.Networks.kept.IPAddress}}"),
    ),
  );
  expect(addresses).toEqual(["10.240.0.2", "10.240.0.1", "10.240.0.3"]);
  expect(await reaches("next", "stays")).toBe(true);
  await done("network", "disconnect", "in", "stays");
  await done("network", "connect", "in", "stays");
  await remove("stays", "next", "last");
  await done("network", "rm", "kept", "in");
});

test("a network has several subnets on one parent, each with its gateway", async () => {
  const two = ["--subnet", "10.240.0.0/29", "--subnet", "10.240.1.0/24", "--gateway", "10.240.1.9"];
  await lanNetwork("wide", ...two);
  for (const name of ["w1", "w2", "w3", "w4", "w5", "w6"]) await sleeper(name, "--network", "wide");
  expect(await inside("w5", "ip route | head -1")).toContain("via 10.240.0.1");
  expect(await inside("w6", "ip route | head -1")).toContain("via 10.240.1.9");
  await remove("w1", "w2", "w3", "w4", "w5", "w6");
  await done("network", "rm", "wide");
});

const faults: readonly (readonly [flags: string[], words: string])[] = [
  [["-o", "parent=lo"], "loopback interface is not a valid macvlan parent link"],
  [
    ["-o", "parent=nowhere9"],
    "invalid subinterface vlan name nowhere9, example formatting is eth0.10",
  ],
  [["-o", "parent=nowhere9.10"], "-o parent interface was not found on the host: nowhere9"],
  [
    ["-o", "parent=blan0.x"],
    "unable to parse a valid vlan id from: blan0.x (ex. eth0.10 for vlan 10)",
  ],
  [["-o", "parent=blan0.4095"], "vlan id must be between 1-4094, received: 4095"],
  [
    ["-o", "parent=blan0.1.2"],
    "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received blan0.1.2",
  ],
  [
    ["-o", "parent=blan0", "-o", "macvlan_mode=open"],
    "requested macvlan mode 'open' is not valid, 'bridge' mode is the macvlan driver default",
  ],
];

test.each(faults)("macvlan %j is refused in Docker's words", async (flags, words) => {
  expect(await refused("network", "create", "-d", "macvlan", ...flags, "bad")).toBe(
    `Error response from daemon: ${words}`,
  );
  expect(await done("network", "ls", "-qf", "name=bad")).toBe("");
});

test("a parent that has gone is named when a container starts", async () => {
  const other = new Lan("bgone", "10.243.0.254");
  await done("network", "create", "-d", "macvlan", "-o", `parent=${other.parent}`, "gone");
  other.remove();
  expect(await refused("run", "--rm", "--network", "gone", "busybox", "true")).toContain(
    `the requested parent interface ${other.parent} was not found on the Docker host`,
  );
  await done("network", "rm", "gone");
});

test.skipIf(vlan)("a kernel without VLANs says so, and nothing is left", async () => {
  const parent = `parent=${lan.parent}.10`;
  expect(await refused("network", "create", "-d", "macvlan", "-o", parent, "tagged")).toContain(
    `failed to create ${lan.parent}.10 vlan link: operation not supported`,
  );
  expect(await done("network", "ls", "-qf", "name=tagged")).toBe("");
});

test.skipIf(!vlan)("a VLAN is made for its first network and goes with its last", async () => {
  const tagged = `${lan.parent}.10`;
  const create = ["network", "create", "-d", "macvlan", "-o", `parent=${tagged}`];
  await done(...create, "--subnet", "10.244.0.0/24", "tag1");
  await done(...create, "--subnet", "10.245.0.0/24", "tag2");
  expect(host("ip", "-d", "link", "show", tagged)).toContain("vlan protocol 802.1Q id 10");
  await sleeper("t1", "--network", "tag1");
  await sleeper("t2", "--network", "tag1");
  expect(await reaches("t1", "t2")).toBe(true);
  await remove("t1", "t2");
  await done("network", "rm", "tag1");
  expect(host("ip", "link", "show", tagged)).toContain("UP");
  await done("network", "rm", "tag2");
  expect(host("ip", "link", "show", tagged)).toContain("does not exist");
});

test.skipIf(ipvlan)("a kernel without ipvlan says so when a container starts", async () => {
  await done("network", "create", "-d", "ipvlan", "-o", `parent=${lan.parent}`, "shared");
  expect(await refused("run", "--rm", "--network", "shared", "busybox", "true")).toContain(
    "failed to create the ipvlan port: operation not supported",
  );
  await done("network", "rm", "shared");
});

test.skipIf(!ipvlan).each(["l2", "l3", "l3s"])("ipvlan %s", async (mode) => {
  const parent = ["-o", `parent=${lan.parent}`, "-o", `ipvlan_mode=${mode}`];
  await done("network", "create", "-d", "ipvlan", ...parent, "--subnet", "10.240.0.0/24", "shared");
  await sleeper("s1", "--network", "shared", "--ip", "10.240.0.9");
  await sleeper("s2", "--network", "shared");
  expect(await reaches("s1", "s2")).toBe(true);
  expect(await inside("s1", "ip route | head -1")).toContain(
    mode === "l2" ? "default via 10.240.0.1 dev eth0" : "default dev eth0",
  );
  if (mode === "l2") expect(await reaches("s1", NEIGHBOUR)).toBe(true);
  expect(await refused("network", "create", "-d", "ipvlan", ...parent, "second")).toContain(
    `is already using parent interface ${lan.parent}`,
  );
  await remove("s1", "s2");
  await done("network", "rm", "shared");
});

test("ipvlan's modes and flags are checked, and a MAC address is refused", async () => {
  const create = ["network", "create", "-d", "ipvlan", "-o", `parent=${lan.parent}`];
  expect(await refused(...create, "-o", "ipvlan_mode=l4", "bad")).toContain(
    "requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default",
  );
  expect(await refused(...create, "-o", "ipvlan_flag=open", "bad")).toContain(
    "requested ipvlan flag 'open' is not valid, 'bridge' is the ipvlan driver default",
  );
  await done(...create, "mac");
  const run = ["run", "--rm", "--network", "mac", "--mac-address", "02:42:ac:11:00:09"];
  expect(await refused(...run, "busybox", "true")).toContain(
    "ipvlan interfaces do not support custom mac address assignment",
  );
  await done("network", "rm", "mac");
});
